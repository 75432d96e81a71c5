//! Cases of imports.

pub(crate) mod document;
pub(crate) mod row_id;
