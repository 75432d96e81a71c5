//! Texts of the pages, each in both languages: one that lacks a language does not compile.

/// Defines a table of texts: its type, and the texts of each language.
macro_rules! table {
    ($table:ident, $english_table:ident, $chinese_table:ident; $($name:ident: $english:literal, $chinese:literal;)+) => {
        /// Texts of one language.
        #[derive(Debug)]
        pub(crate) struct $table {
            $(pub(crate) $name: &'static str,)+
        }

        /// The English texts.
        pub(crate) static $english_table: $table = $table { $($name: $english,)+ };
        /// The Chinese texts.
        pub(crate) static $chinese_table: $table = $table { $($name: $chinese,)+ };
    };
}

mod admin;
mod config;
mod delivery;
mod named;
mod ops;
mod table;

pub(crate) use table::{CHINESE, ENGLISH, Texts};
