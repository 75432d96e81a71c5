//! Share of one customer in a vendor's quotas, as its settings choose it.

use pilothouse_core::{Error, Result};

/// Percentage that limits nobody, the default.
pub(crate) fn whole_share() -> u8 {
    100
}

/// Refuses a percentage outside 1 to 100.
pub(crate) fn check_share(percent: u8) -> Result<()> {
    if (1..=100).contains(&percent) {
        return Ok(());
    }
    Err(Error::invalid("cdn.share_per_customer", format!("must be 1 to 100, not {percent}")))
}
