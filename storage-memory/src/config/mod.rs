//! Apps, grants, items with their versions, and releases.

mod app;
mod grant;
mod item;
mod release;

use pilothouse_core::config::{App, Grant, Release};

use crate::state::Table;
use item::Held;

#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigState {
    apps: Table<App>,
    pub(crate) grants: Table<Grant>,
    items: Table<Held>,
    releases: Table<Release>,
}
