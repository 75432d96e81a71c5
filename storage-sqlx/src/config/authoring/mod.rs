//! Apps, grants, app keys and items with their versions.

mod app;
mod change_set;
mod grant;
mod item;
mod item_row;
mod key;
mod shared_namespace;
