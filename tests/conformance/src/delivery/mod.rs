//! Releases, nodes, delivery records, races of releases, and a random model of configuration delivery.

pub(crate) mod acknowledgement;
pub mod model;
pub(crate) mod node;
pub(crate) mod pending;
pub(crate) mod race;
pub(crate) mod release;
pub(crate) mod rollout;
