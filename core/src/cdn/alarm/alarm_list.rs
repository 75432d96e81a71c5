//! Lists of alarms: of all customers and edges for operators, of its own domains for a customer.

use super::alarm_row::{Alarm, AlarmKind};
use crate::account::{AccountId, Caller, Group};
use crate::cdn::customers::{check_cdn_name, domain_name};
use crate::{Listing, Page, Pilothouse, Result, check_text};

/// An alarm as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmOverview {
    /// The alarm itself.
    pub alarm: Alarm,
    /// Mail of the customer; empty of edges, and where the account was deleted.
    pub mail: String,
}

/// Filter of a list of alarms; an absent field matches every alarm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmFilter {
    /// Only those of domains of this customer.
    pub account_id: Option<AccountId>,
    /// Only open ones, or only ended ones.
    pub is_open: Option<bool>,
    /// Only those of this kind.
    pub kind: Option<AlarmKind>,
    /// Only those of the domain with this name.
    pub domain: Option<String>,
    /// Only those of edges of the cdn with this name.
    pub cdn: Option<String>,
    /// Only those of edges with this name.
    pub edge: Option<String>,
}

impl AlarmFilter {
    /// Whether an alarm passes.
    pub fn accepts(&self, alarm: &Alarm) -> bool {
        let Self { account_id, is_open, kind, domain, cdn, edge } = self;
        let (of_account, of_domain, of_cdn, of_edge) = alarm.subject.columns();
        account_id.is_none_or(|account_id| account_id == of_account)
            && is_open.is_none_or(|is_open| is_open == alarm.ended.is_none())
            && kind.is_none_or(|kind| kind == alarm.kind)
            && domain.as_ref().is_none_or(|domain| domain == of_domain)
            && cdn.as_ref().is_none_or(|cdn| cdn == of_cdn)
            && edge.as_ref().is_none_or(|edge| edge == of_edge)
    }
}

/// Filter of a list of alarms, as callers name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmQuery {
    /// Mail of a customer.
    pub login_email: Option<String>,
    /// Only open ones, or only ended ones.
    pub is_open: Option<bool>,
    /// Kind of the alarms.
    pub kind: Option<AlarmKind>,
    /// Name of a domain.
    pub domain: Option<String>,
    /// Name of a cdn.
    pub cdn: Option<String>,
    /// Name of an edge, 1 to 64 bytes.
    pub edge: Option<String>,
}

/// The use cases of alarms.
#[derive(Clone, Copy, Debug)]
pub struct Alarms<'a>(pub(crate) &'a Pilothouse);

impl Alarms<'_> {
    /// A page of alarms: with group 8 those of all customers and edges, or of one customer; else those of the caller's own
    /// domains, also of names that it held once.
    pub async fn list(
        &self,
        caller: &Caller,
        query: &AlarmQuery,
        page: Page,
    ) -> Result<Listing<AlarmOverview>> {
        let AlarmQuery { login_email, is_open, kind, domain, cdn, edge } = query;
        self.0.require_cdn_scope(caller)?;
        let domain = domain.as_ref().map(|domain| domain_name("domain", domain)).transpose()?;
        if let Some(cdn) = cdn {
            check_cdn_name("cdn", cdn)?;
        }
        if let Some(edge) = edge {
            check_text("edge", edge, 1, 64, false)?;
        }
        let mut snapshot = self.0.storage().read().await?;
        let mut account_id = None;
        if login_email.is_some() || !caller.holds(Group::Cdn) {
            let customer = self.0.customer_of(&mut *snapshot, caller, login_email.as_deref()).await?;
            account_id = Some(customer.account_id);
        }
        let (cdn, edge) = (cdn.clone(), edge.clone());
        let filter = AlarmFilter { account_id, is_open: *is_open, kind: *kind, domain, cdn, edge };
        let rows = snapshot.alarms().list(&filter, page).await?;
        let total =
            if page.total { Some(snapshot.alarms().count(&filter, 0, i64::MAX).await?) } else { None };
        Ok(Listing::new(rows, total))
    }
}
