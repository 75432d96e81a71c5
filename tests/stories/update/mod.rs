//! Updates of files on machines by real agents.

mod blobs;
mod chaos;
mod rollout;
