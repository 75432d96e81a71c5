//! Apps, grants, app keys, items, and races of their use cases.

pub(crate) mod app;
pub(crate) mod change_set;
pub(crate) mod grant;
pub(crate) mod item;
pub(crate) mod key;
pub(crate) mod permission;
pub(crate) mod race;
pub(crate) mod shared_namespace;
