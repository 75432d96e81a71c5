//! Releases, nodes, delivery records and pending work.

mod acknowledgement;
mod node;
mod pending;
mod release;
mod release_row;
mod rollout;
