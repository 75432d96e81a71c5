//! Failures of a provider's calls.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Failure of a provider call. The texts are shown to customers: no secret, no internal address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// This provider never can.
    #[error("{provider} cannot {operation}")]
    Unsupported {
        /// Name of the cdn or vendor.
        provider: String,
        /// Operation that was asked for: `purge`, `preload`, `list domains`.
        operation: &'static str,
    },
    /// The provider could not be reached, or says that it cannot at present. Nothing was done: a vendor may be called again
    /// without a look at what it has.
    #[error("{0}")]
    Unavailable(String),
    /// The provider asked to slow down. Nothing was done.
    #[error("{reason}")]
    Throttled {
        /// Words of the provider.
        reason: String,
        /// Time after which it may be called again, where it says one.
        after: Option<Duration>,
    },
    /// The quota of a day is used up. Nothing was done.
    #[error("the quota of {pool} is used up until {}", until.format("%Y-%m-%d %H:%M UTC"))]
    QuotaUsed {
        /// Name of the quota, in the words of the vendor.
        pool: String,
        /// Time at which it begins anew.
        until: DateTime<Utc>,
    },
    /// The provider does not accept the credentials, or the clock that they were signed by. Nothing was done.
    #[error("the credentials are not accepted: {0}")]
    Credentials(String),
    /// An item is of a domain that is not the account's, or not served. Of a whole call: it is found by halving.
    #[error("{0}")]
    NotYours(String),
    /// The provider refused; trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// The call holds more than the provider takes at a time. Nothing was done.
    #[error("{0}")]
    TooBig(String),
    /// No answer came, or none that says whether the call was done.
    #[error("{0}")]
    Ambiguous(String),
}

impl ProviderError {
    /// Name of the kind in metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "unsupported",
            Self::Unavailable(_) => "unavailable",
            Self::Throttled { .. } => "throttled",
            Self::QuotaUsed { .. } => "quota_used",
            Self::Credentials(_) => "credentials",
            Self::NotYours(_) => "not_yours",
            Self::Refused(_) => "refused",
            Self::TooBig(_) => "too_big",
            Self::Ambiguous(_) => "ambiguous",
        }
    }

    /// Whether the same may succeed later.
    pub fn may_be_retried(&self) -> bool {
        match self {
            Self::Unavailable(_)
            | Self::Throttled { .. }
            | Self::QuotaUsed { .. }
            | Self::Credentials(_)
            | Self::TooBig(_)
            | Self::Ambiguous(_) => true,
            Self::Unsupported { .. } | Self::NotYours(_) | Self::Refused(_) => false,
        }
    }
}
