//! Test doubles of the domain's ports.

mod blobs;
mod clock;
mod edges;
mod provider;
mod releases;
mod storage;
mod vendor;

pub use blobs::{MemoryBlobs, sha256};
pub use clock::ManualClock;
pub use edges::{Behaviour, ScriptedEdges};
pub use provider::{Reply, ScriptedProvider, unavailable};
pub use releases::MemoryReleases;
pub use storage::FaultyStorage;
pub use vendor::{ScriptedVendor, VendorReply};
