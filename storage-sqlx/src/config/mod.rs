//! Apps, grants, items with their versions, and releases.

mod app;
mod grant;
mod item;
mod release;
