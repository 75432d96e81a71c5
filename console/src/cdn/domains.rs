//! `/cdn/domains`: a customer's domains by cdn.

use askama::Template;
use pilothouse_core::cdn::{Cdn, CdnDomains};
use serde::Deserialize;

use crate::cdn::whose::Whose;
use crate::failure::Answer;
use crate::form::{Form, Query, filled, part};
use crate::page::{Page, Visitor, html};

/// Customer.
#[derive(Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    customer: String,
}

#[derive(Template)]
#[template(path = "domains.html")]
struct DomainsPage {
    page: Page,
    whose: Whose,
    held: Vec<CdnDomains>,
    /// Cdns on which domains can be added, for a holder of group 8.
    cdns: Vec<Cdn>,
}

/// The list.
pub(crate) async fn get_domains(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    let whose = Whose::of(&visitor, &shown.customer).await?;
    let (pilothouse, caller) = (visitor.pilothouse(), &visitor.caller);
    let mut held = Vec::new();
    if !whose.mail.is_empty() {
        held = pilothouse.domains().list(caller, &whose.mail).await?.1;
    }
    let cdns = if whose.is_operator { pilothouse.cdns().list(caller).await? } else { Vec::new() };
    let page = visitor.page(visitor.t.domains).await?;
    html(&DomainsPage { page, whose, held, cdns })
}

/// Domains to be added, one a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    customer: String,
    cdn: String,
    domains: String,
}

/// Claims domains for a customer.
pub(crate) async fn post_domains(visitor: Visitor, Form(form): Form<Add>) -> Answer {
    let names = form.domains.split([',', '\n', ' ', '\r']).filter_map(filled).map(str::to_owned);
    let names: Vec<_> = names.collect();
    visitor.pilothouse().domains().add(&visitor.caller, &form.customer, &form.cdn, &names).await?;
    Ok(visitor.done(&format!("/cdn/domains?customer={}", part(&form.customer)), "created"))
}
