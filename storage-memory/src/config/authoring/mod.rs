//! Apps, grants, app keys and items with their versions.

mod app;
pub(super) mod change_set;
mod grant;
pub(super) mod item;
mod key;
mod shared_namespace;
