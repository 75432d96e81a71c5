//! States, actions and phases of a file order, by their names on the wire.

use crate::ops::{Revert, Status};

/// Defines an enum with a stable name for each variant, which is stored and sent.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every variant, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Name on the wire and in the store.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Parses the name on the wire.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == name)
            }
        }
    };
}
pub(super) use named;

named! {
    /// State of a file order.
    OrderState {
        /// Not ordered.
        Pending = "pending",
        /// Ordered, and no agent has it yet.
        Queued = "queued",
        /// An agent has leased it.
        Running = "running",
        /// The file was hashed again and is the new content.
        Succeeded = "succeeded",
        /// The file is the old content.
        Failed = "failed",
        /// Cancelled before anything was touched.
        Cancelled = "cancelled",
        /// Its deadline passed before anything was touched.
        Expired = "expired",
        /// The lease ended when the swap may have begun; the agent's next word resolves it.
        Unknown = "unknown",
        /// The file is neither the old nor the new content.
        Conflict = "conflict",
        /// A revert was ordered, or is leased.
        Reverting = "reverting",
        /// The old file is back.
        Reverted = "reverted",
        /// The file is still the new content.
        RevertFailed = "revert_failed",
    }
}

named! {
    /// Action of an order on its file.
    OrderAction {
        /// Replaces or creates the file.
        Update = "update",
        /// Puts back what the update replaced.
        Revert = "revert",
        /// Tells what an update would do.
        Plan = "plan",
    }
}

named! {
    /// Phase of an attempt; the order is that of the procedure.
    Phase {
        /// Whatever can be refused is refused.
        Preflight = "preflight",
        /// The content is fetched.
        Download = "download",
        /// The old file is kept.
        Backup = "backup",
        /// The new file is written beside the old one.
        Stage = "stage",
        /// The staged file is checked.
        Check = "check",
        /// The file may have been replaced.
        Swap = "swap",
        /// The reload runs, and the report on it must arrive.
        Confirm = "confirm",
    }
}

/// The status of an update that is reverted: one that was asked for while it ran, did run.
fn ran(held: Status) -> Status {
    if held == Status::Running { Status::Succeeded } else { held }
}

impl OrderState {
    /// Whether an order in this state was given and has not ended.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Reverting | Self::Unknown)
    }

    /// Status and revert as `/api/task_status` shows them. `held` is the status before, which a revert leaves; `action` is
    /// what the order asked for last, which tells the conflict of an update from that of a revert.
    pub(super) fn status(self, action: OrderAction, held: Status) -> (Status, Revert) {
        match self {
            Self::Pending | Self::Queued => (Status::Pending, Revert::None),
            Self::Running => (Status::Running, Revert::None),
            Self::Succeeded => (Status::Succeeded, Revert::None),
            Self::Cancelled | Self::Expired => (Status::Cancelled, Revert::None),
            Self::Unknown => (Status::Unknown, Revert::None),
            Self::Conflict if action == OrderAction::Revert => (Status::Failed, Revert::Failed),
            Self::Failed | Self::Conflict => (Status::Failed, Revert::None),
            Self::Reverting => (ran(held), Revert::Asked),
            Self::Reverted => (ran(held), Revert::Done),
            Self::RevertFailed => (ran(held), Revert::Failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        assert!(OrderState::ALL.iter().all(|one| OrderState::from_name(one.as_str()) == Some(*one)));
        assert!(OrderAction::ALL.iter().all(|one| OrderAction::from_name(one.as_str()) == Some(*one)));
        assert!(Phase::ALL.is_sorted() && Phase::from_name("confirm") == Some(Phase::Confirm));
        assert_eq!(OrderState::from_name("done"), None);
    }
}
