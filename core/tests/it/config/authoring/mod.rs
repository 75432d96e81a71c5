//! Authoring of configuration: apps, grants, items and their validators.

mod app;
mod audit;
mod change_set;
mod fixture;
mod grant;
mod item;
mod permission;
mod publish;
mod search;
mod validator;
