//! Use cases of the configuration centre.

mod authoring;
pub(crate) mod delivery;
