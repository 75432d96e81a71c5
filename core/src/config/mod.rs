//! The configuration centre: apps, the grants on them, their configuration items with every version, and releases.

mod app;
mod grant;
mod history;
mod item;
mod node;
mod release;
#[cfg(feature = "jsonschema")]
mod schema;
mod validator;

pub use app::{App, AppId, AppRepository, Apps, NewApp, UpdateApp};
pub use grant::{ALL, Grant, GrantId, GrantRepository, Grants, NewGrant, Permission};
pub use item::{Content, Item, ItemId, ItemName, ItemRepository, ItemVersion, Items, Published};
pub use node::{Node, Nodes};
pub use release::{
    Release, ReleaseId, ReleaseKind, ReleaseRepository, ReleaseState, Released, Releases, Selector,
};
