//! Webhooks.

pub(crate) mod delivery;
