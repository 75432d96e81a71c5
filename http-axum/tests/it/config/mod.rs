//! API of the configuration centre.

pub(crate) mod apollo;
mod apollo_shared;
mod audit;
mod authoring;
mod changesets;
mod delivery;
mod exchange;
mod follow;
mod forgotten;
mod get_calls;
mod grey_hold;
mod parameters;
mod pending;
mod permissions;
mod spellings;
