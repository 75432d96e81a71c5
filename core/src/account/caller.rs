//! Who is calling, and from where.

use std::net::IpAddr;

use super::{AccountId, Group, Groups, TokenId};

/// How far a token reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The whole account.
    Account,
    /// Only the cdn family, from `/level3/login`.
    Cdn,
}

/// An authenticated account, as it was when the request began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// Its mail.
    pub mail: String,
    /// What it may do.
    pub groups: Groups,
    /// How far its token reaches.
    pub scope: Scope,
    /// The token it came with; `None` when the host authenticates.
    pub token: Option<TokenId>,
    /// Where the request comes from.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// Whether it holds `group`, and its token reaches that far. A cdn token opens no group's rights.
    pub fn holds(&self, group: Group) -> bool {
        self.scope == Scope::Account && self.groups.holds(group)
    }
}
