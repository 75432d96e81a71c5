//! The customer that a page is about: the caller itself, or for a holder of group 8 whoever is chosen.

use pilothouse_core::account::Group;
use pilothouse_core::{Error, Page as Rows};

use crate::failure::Failure;
use crate::form::filled;
use crate::page::Visitor;

/// The customer that a page is about, and what may be chosen there.
pub(crate) struct Whose {
    /// Mail of the customer; empty where there is none.
    pub(crate) mail: String,
    /// Customers that may be chosen, for a holder of group 8; else none.
    pub(crate) choices: Vec<String>,
    /// Names of its domains.
    pub(crate) domains: Vec<String>,
    /// Whether it may refresh and preload.
    pub(crate) operations: bool,
    /// Whether the caller acts for every customer.
    pub(crate) is_operator: bool,
}

impl Whose {
    /// Refuses a caller that is no customer and acts for none.
    pub(crate) async fn of(visitor: &Visitor, asked: &str) -> Result<Self, Failure> {
        let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
        let own = pilothouse.customers().own(caller).await?;
        let is_operator = caller.holds(Group::Cdn);
        let (mut mail, mut operations) =
            own.map_or_else(|| (String::new(), false), |own| (own.mail, own.operations));
        let mut choices = Vec::new();
        if is_operator {
            let all = pilothouse.customers().list(caller, Rows::at(0, Rows::MAX)).await?.rows;
            let first = || all.first().map(|overview| overview.customer.mail.clone());
            if let Some(asked) = filled(asked) {
                mail = asked.to_owned();
            } else if mail.is_empty() {
                mail = first().unwrap_or_default();
            }
            let chosen = all.iter().find(|overview| overview.customer.mail == mail);
            operations = chosen.map_or(operations, |overview| overview.customer.operations);
            choices = all.into_iter().map(|overview| overview.customer.mail).collect();
        } else if mail.is_empty() {
            return Err(Error::Forbidden.into());
        }
        let mut domains = Vec::new();
        if !mail.is_empty() {
            domains = pilothouse.domains().names(caller, Some(&mail)).await?;
        }
        Ok(Self { mail, choices, domains, operations, is_operator })
    }
}
