//! Progress of an order: who is told of its steps, and may stop it before the file is replaced.

use std::fmt::Debug;

use crate::error::Refusal;

/// Step of an order, before which [`Progress::reached`] is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// The old file is kept.
    Backup,
    /// The new file is written beside the old one.
    Stage,
    /// The staged file is checked.
    Check,
    /// The file is replaced; nothing stops it afterwards.
    Swap,
}

/// Who is told of the steps of an order.
pub trait Progress: Debug + Send + Sync {
    /// Called before a step; an error stops the order, and the file stays as it is.
    fn reached(&self, step: Step) -> Result<(), Refusal>;

    /// Called after the swap and the reload of an order with a confirm window in seconds; an error puts the old file back.
    fn confirmed(&self, within: u32) -> Result<(), String>;
}

/// Nobody: an order without a server.
#[derive(Debug)]
pub(crate) struct Alone;

impl Progress for Alone {
    fn reached(&self, _step: Step) -> Result<(), Refusal> {
        Ok(())
    }

    fn confirmed(&self, _within: u32) -> Result<(), String> {
        Ok(())
    }
}
