//! Texts of the pages, each in both languages: one that lacks a language does not compile.

mod named;
mod table;

pub(crate) use table::{CHINESE, ENGLISH, Texts};
