//! Texts of the pages, each in both languages: one that lacks a language does not compile.

#[macro_use]
mod table;

mod admin;
mod delivery;
mod named;
mod ops;

pub(crate) use table::{CHINESE, ENGLISH, Texts};
