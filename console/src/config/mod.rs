//! Pages of the configuration centre: apps, a profile's items, publishing, rollouts, nodes.

mod app;
mod apps;
mod change_set;
mod change_sets;
mod compare;
mod diff;
mod files;
mod inbox;
mod item;
mod members;
mod node;
mod nodes;
mod planned;
mod profile;
mod publish;
mod release;
mod releases;
mod rollback;
mod search;
mod text;
mod write;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use pilothouse_core::config::{ItemName, Permission};

use crate::confirm::confirmed;
use crate::failure::Failure;
use crate::page::Visitor;
use crate::state::ConsoleState;

const PROFILE: &str = "/apps/{app}/profiles/{profile}";
/// The longest form with the text of a profile, or with its keys: as a form escapes them.
const TEXT_BODY: usize = 8 << 20;
/// The longest form with a file.
const FILE_BODY: usize = 64 << 20;

pub(crate) fn routes() -> Router<ConsoleState> {
    let at = |path: &str| format!("{PROFILE}{path}");
    Router::new()
        .route("/inbox", get(inbox::get_inbox))
        .route("/inbox/approve", post(inbox::post_approve))
        .route("/inbox/reject", post(inbox::post_reject))
        .route("/inbox/promote", post(inbox::post_promote))
        .route("/inbox/abort", post(inbox::post_abort))
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
        .route(&at("/releases/{id}/rollback"), get(rollback::get_rollback).post(rollback::post_rollback))
        .route(&at("/nodes"), get(nodes::get_nodes))
        .route(&at("/nodes/node"), get(node::get_node))
        .merge(change_set_routes())
        .merge(file_routes())
}

fn change_set_routes() -> Router<ConsoleState> {
    let at = |path: &str| format!("{PROFILE}{path}");
    Router::new()
        .route(
            &at("/text"),
            get(text::get_text).post(text::post_text).layer(DefaultBodyLimit::max(TEXT_BODY)),
        )
        .route(&at("/changesets"), get(change_sets::get_change_sets))
        .route(&at("/changesets/{id}"), get(change_set::get_change_set))
        .route(&at("/changesets/{id}/approve"), post(change_set::post_approve))
        .route(&at("/changesets/{id}/discard"), post(change_set::post_discard))
        .route(&at("/changesets/{id}/publish"), get(change_set::get_publish).post(change_set::post_publish))
        .route("/compare", get(compare::get_compare))
        .route("/compare/copy", post(compare::post_copy).layer(DefaultBodyLimit::max(TEXT_BODY)))
        .route("/search", get(search::get_search))
}

fn file_routes() -> Router<ConsoleState> {
    let at = |path: &str| format!("{PROFILE}{path}");
    Router::new()
        .route(
            &at("/files"),
            get(files::get_files).post(files::post_file).layer(DefaultBodyLimit::max(FILE_BODY)),
        )
        .route(&at("/export"), get(files::get_export))
}

/// A profile of an app, and what the caller may there.
pub(crate) struct Place {
    pub(crate) app: String,
    pub(crate) profile: String,
    /// Whether it may change items.
    pub(crate) develops: bool,
    /// Whether it may approve, publish and delete.
    pub(crate) manages: bool,
    /// Whether nobody approves their own change there.
    pub(crate) four_eyes: bool,
}

impl Place {
    pub(crate) async fn of(visitor: &Visitor, app: String, profile: String) -> Result<Self, Failure> {
        let grants = visitor.pilothouse().grants();
        let held = grants.held(&visitor.caller, &app, Some(&profile)).await?;
        Ok(Self::with(visitor, app, profile, held))
    }

    /// A profile on which the caller has that permission.
    pub(crate) fn with(visitor: &Visitor, app: String, profile: String, held: Option<Permission>) -> Self {
        let four_eyes = visitor.pilothouse().settings().four_eyes_profiles.contains(&profile);
        let (develops, manages) = (held >= Some(Permission::Develop), held == Some(Permission::Manage));
        Self { app, profile, develops, manages, four_eyes }
    }

    /// Whether the caller may approve and publish what it changes itself.
    pub(crate) fn publishes_own(&self) -> bool {
        self.manages && !self.four_eyes
    }

    pub(crate) fn item(&self, key: &str) -> ItemName {
        ItemName { app: self.app.clone(), profile: self.profile.clone(), key: key.to_owned() }
    }

    /// Path of the profile below the console's prefix. Neither name needs escaping.
    pub(crate) fn path(&self) -> String {
        format!("/apps/{}/profiles/{}", self.app, self.profile)
    }
}
