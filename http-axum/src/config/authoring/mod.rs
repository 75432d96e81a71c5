//! Apps, grants, app keys and configuration items.

mod app;
mod apply;
mod changeset;
mod compare;
mod copy;
mod export;
mod history;
mod import;
mod item;
mod key;
mod mine;
mod names;
mod query;
mod search;
mod share;
mod userauth;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(in crate::config) use query::ConfigQuery;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(compare::config_compare))
        .routes(routes!(mine::app_mine))
        .routes(routes!(copy::config_copy))
        .routes(routes!(export::config_export))
        .routes(routes!(import::config_import))
        .routes(routes!(search::config_search))
        .routes(routes!(names::userauth_names))
        .routes(routes!(app::app_create))
        .routes(routes!(app::app_del))
        .routes(routes!(app::app_update))
        .routes(routes!(app::app_list))
        .routes(routes!(userauth::userauth_create))
        .routes(routes!(userauth::userauth_list))
        .routes(routes!(userauth::userauth_profiles))
        .routes(routes!(userauth::userauth_del))
        .routes(routes!(userauth::userauth_update_permission))
        .routes(routes!(item::config_create))
        .routes(routes!(item::config_update))
        .routes(routes!(item::config_del))
        .routes(routes!(item::config_approve))
        .routes(routes!(item::config_rollback))
        .routes(routes!(apply::config_apply))
        .routes(routes!(changeset::changeset_list))
        .routes(routes!(changeset::changeset_get))
        .routes(routes!(changeset::changeset_approve))
        .routes(routes!(changeset::changeset_discard))
        .routes(routes!(query::config_query_with_key))
        .routes(routes!(query::config_query))
        .routes(routes!(query::config_profiles))
        .routes(routes!(history::config_history))
        .routes(routes!(history::config_diff))
        .routes(routes!(key::app_key_create))
        .routes(routes!(key::app_key_list))
        .routes(routes!(key::app_key_del))
        .routes(routes!(share::app_share))
}
