//! Apps, grants, items with their versions, releases, keys, nodes, and what became of releases there.

mod app;
mod delivery;
mod grant;
mod item;
mod key;
mod node;
mod release;
