//! Tables of the configuration centre.

mod authoring;
mod delivery;
