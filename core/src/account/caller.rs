//! Caller of a use case: the account, its groups, the token's scope, the client address.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Account, AccountId, Group, Groups, Token, TokenId};

/// Scope of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Whatever the account may do, from a log-in.
    Account,
    /// Only the cdn family, from `/level3/login`.
    Cdn,
    /// Everything that the account may do, within the limits of an API token.
    Api,
    /// Only the console, from a log-in there.
    Console,
    /// Only the cdn pages of the console, from a customer's log-in there.
    ConsoleCdn,
}

impl Scope {
    /// All scopes, by the number that stores keep. Tokens of other numbers are of a later version and open nothing here.
    pub const ALL: [Self; 5] = [Self::Account, Self::Cdn, Self::Api, Self::Console, Self::ConsoleCdn];

    /// Whether it opens the console, and nothing but that.
    pub fn is_console(self) -> bool {
        matches!(self, Self::Console | Self::ConsoleCdn)
    }

    /// As a number for a store.
    pub fn id(self) -> i64 {
        match self {
            Self::Account => 0,
            Self::Cdn => 1,
            Self::Api => 2,
            Self::Console => 3,
            Self::ConsoleCdn => 4,
        }
    }

    /// The scope of that number.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.id() == id)
    }
}

/// Limits of an API token on what its owner may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenLimits {
    /// Groups that the token opens, where its owner has them.
    pub groups: Groups,
    /// Apps of the configuration centre that it opens, by name; `None` for all.
    pub apps: Option<Vec<String>>,
    /// Profiles of these apps that it opens; `None` for all, and for what concerns a whole app.
    pub profiles: Option<Vec<String>>,
    /// Whether it opens the cdn family.
    pub cdn: bool,
}

impl TokenLimits {
    fn opens_app(&self, app: &str) -> bool {
        self.apps.as_ref().is_none_or(|apps| apps.iter().any(|name| name == app))
    }

    fn opens_profile(&self, profile: &str) -> bool {
        self.profiles.as_ref().is_none_or(|profiles| profiles.iter().any(|name| name == profile))
    }
}

/// Part of the configuration centre that a use case is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach<'a> {
    /// A profile of the app.
    Profile(&'a str),
    /// Profiles of the app, of which each is asked about by itself.
    SomeProfiles,
    /// The app as a whole.
    App,
}

/// An authenticated account, as it was when the request began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Account id; the host's own numbering under another authenticator.
    pub id: AccountId,
    /// Log-in name, as it appears in the audit trail.
    pub name: String,
    /// Mail address; names the caller as a customer of the cdns.
    pub mail: String,
    /// Permission groups that the caller holds; those of an API token that its owner has, too.
    pub groups: Groups,
    /// Scope of the token it came with.
    pub scope: Scope,
    /// Limits of the API token it came with.
    pub limits: Option<Arc<TokenLimits>>,
    /// The token it came with; `None` when the host authenticates.
    pub token: Option<TokenId>,
    /// Client address, behind trusted proxies too.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// The caller that a token makes of its account.
    pub(crate) fn of_token(token: Token, account: Account, address: Option<IpAddr>) -> Self {
        let Account { id, name, mail, groups, .. } = account;
        let groups = token.limits.as_ref().map_or(groups, |limits| groups.within(limits.groups));
        let Token { id: token, scope, limits, .. } = token;
        Self { id, name, mail, groups, scope, limits, token: Some(token), address }
    }

    /// Whether it holds `group`, and its token reaches that far. A cdn token opens no group's rights.
    pub fn holds(&self, group: Group) -> bool {
        let reaches = match self.scope {
            Scope::Account => true,
            Scope::Api => group != Group::Cdn || self.opens_cdn(),
            Scope::Cdn | Scope::Console | Scope::ConsoleCdn => false,
        };
        reaches && self.groups.holds(group)
    }

    /// Whether its token opens the cdn family.
    pub(crate) fn opens_cdn(&self) -> bool {
        match self.scope {
            Scope::Account | Scope::Cdn => true,
            Scope::Api => self.limits.as_ref().is_some_and(|limits| limits.cdn),
            Scope::Console | Scope::ConsoleCdn => false,
        }
    }

    /// Whether its token opens an app, or that part of it; without an app, whether it opens all of them.
    pub(crate) fn opens_app(&self, app: Option<&str>, reach: Reach<'_>) -> bool {
        match self.scope {
            Scope::Account => true,
            Scope::Cdn | Scope::Console | Scope::ConsoleCdn => false,
            Scope::Api => self.limits.as_ref().is_some_and(|limits| {
                let opens_app = app.map_or(limits.apps.is_none(), |app| limits.opens_app(app));
                let opens_reach = match reach {
                    Reach::Profile(profile) => limits.opens_profile(profile),
                    Reach::SomeProfiles => true,
                    Reach::App => limits.profiles.is_none(),
                };
                opens_app && opens_reach
            }),
        }
    }
}
