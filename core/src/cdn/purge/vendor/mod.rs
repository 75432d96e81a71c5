//! Batches of vendors: what waits is cut, sent within the vendor's limits, and asked about until it has ended.

mod batch;
mod call_bucket;
mod cut;
mod hand_over;
mod open_calls;
mod outcome;
mod poll_times;
mod questions;
mod quota_gauge;
mod share;
mod speaker;
mod spending;
mod steps;
mod vendor_calls;
mod vendor_memory;

pub use batch::{BatchItem, BatchState, VendorBatch, VendorBatchRepository};
pub(super) use hand_over::hand_over;
pub use spending::{VendorSpending, VendorSpendingRepository};
pub use vendor_calls::VendorCalls;
