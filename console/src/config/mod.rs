//! Pages of the configuration centre: apps, a profile's items, publishing, rollouts, nodes.

mod app;
mod apps;
mod diff;
mod item;
mod members;
mod nodes;
mod profile;
mod publish;
mod release;
mod releases;
mod write;

use axum::Router;
use axum::routing::{get, post};
use pilothouse_core::config::{ItemName, Permission};

use crate::confirm::confirmed;
use crate::failure::Failure;
use crate::page::Visitor;
use crate::state::ConsoleState;

pub(crate) fn routes() -> Router<ConsoleState> {
    const PROFILE: &str = "/apps/{app}/profiles/{profile}";
    let at = |path: &str| format!("{PROFILE}{path}");
    Router::new()
        .route("/apps", get(apps::get_apps).post(apps::post_app))
        .route("/apps/{app}", get(app::get_app))
        .route("/apps/{app}/profiles", get(app::get_profile))
        .route("/apps/{app}/members", confirmed(post(members::post_member)))
        .route("/apps/{app}/members/delete", confirmed(post(members::post_member_delete)))
        .route("/apps/{app}/keys", confirmed(post(members::post_key)))
        .route("/apps/{app}/keys/delete", confirmed(post(members::post_key_delete)))
        .route("/apps/{app}/delete", confirmed(post(app::post_delete)))
        .route(PROFILE, get(profile::get_profile).post(write::post_create))
        .route(&at("/update"), post(write::post_update))
        .route(&at("/approve"), post(write::post_approve))
        .route(&at("/delete"), post(write::post_delete))
        .route(&at("/item"), get(item::get_item))
        .route(&at("/rollback"), post(write::post_rollback))
        .route(&at("/publish"), get(publish::get_publish).post(publish::post_publish))
        .route(&at("/releases"), get(releases::get_releases))
        .route(&at("/releases/{id}"), get(release::get_release))
        .route(&at("/releases/{id}/live"), get(release::get_live))
        .route(&at("/releases/{id}/promote"), post(release::post_promote))
        .route(&at("/releases/{id}/abort"), post(release::post_abort))
        .route(&at("/nodes"), get(nodes::get_nodes))
}

/// A profile of an app, and what the caller may there.
pub(crate) struct Place {
    pub(crate) app: String,
    pub(crate) profile: String,
    /// Whether it may approve, publish and delete.
    pub(crate) manages: bool,
    /// Whether nobody approves their own change there.
    pub(crate) four_eyes: bool,
}

impl Place {
    pub(crate) async fn of(visitor: &Visitor, app: String, profile: String) -> Result<Self, Failure> {
        let grants = visitor.pilothouse().grants();
        let held = grants.held(&visitor.caller, &app, Some(&profile)).await?;
        let four_eyes = visitor.pilothouse().settings().four_eyes_profiles.contains(&profile);
        Ok(Self { app, profile, manages: held == Some(Permission::Manage), four_eyes })
    }

    pub(crate) fn item(&self, key: &str) -> ItemName {
        ItemName { app: self.app.clone(), profile: self.profile.clone(), key: key.to_owned() }
    }

    /// Path of the profile below the console's prefix. Neither name needs escaping.
    pub(crate) fn path(&self) -> String {
        format!("/apps/{}/profiles/{}", self.app, self.profile)
    }
}
