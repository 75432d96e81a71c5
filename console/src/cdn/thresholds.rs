//! `/cdn/thresholds`: what a customer wants to be told of its domains.

use std::borrow::Borrow;

use askama::Template;
use chrono::DateTime;
use pilothouse_core::Error;
use pilothouse_core::account::AccountId;
use pilothouse_core::cdn::{Share, Threshold};
use serde::Deserialize;

use crate::cdn::figure::{millionths_in_percent, scaled};
use crate::cdn::whose::Whose;
use crate::failure::{Answer, Failure, is_correctable};
use crate::form::{Form, Query, filled, part};
use crate::page::{Page, Visitor, html, html_again};

/// Requests of a bucket below which shares say nothing, where none are given.
const MIN_REQUESTS: i64 = 100;

/// Customer, and the domain that is edited.
#[derive(Default, Deserialize)]
pub(crate) struct Shown {
    #[serde(default)]
    customer: String,
    #[serde(default)]
    edit: String,
}

/// Thresholds of a domain, as they are typed; an empty one is not compared with.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Typed {
    #[serde(default)]
    customer: String,
    domain: String,
    #[serde(default)]
    bandwidth: String,
    /// In percent.
    #[serde(default)]
    errors: String,
    /// In percent.
    #[serde(default)]
    hits: String,
    #[serde(default)]
    min_requests: String,
}

struct Row {
    domain: String,
    threshold: Option<Threshold>,
    /// Fields of the form, of the threshold that is edited.
    typed: Option<Typed>,
}

#[derive(Template)]
#[template(path = "thresholds.html")]
struct ThresholdsPage {
    page: Page,
    whose: Whose,
    rows: Vec<Row>,
}

fn share(share: impl Borrow<Option<Share>>) -> String {
    let share = *share.borrow();
    share.map(|Share(millionths)| format!("{} %", millionths_in_percent(millionths))).unwrap_or_default()
}

fn bandwidth(threshold: &Threshold) -> String {
    threshold.bandwidth.map(|bits| scaled(bits, "bit/s")).unwrap_or_default()
}

impl Typed {
    fn of(threshold: Option<&Threshold>, domain: &str, customer: &str) -> Self {
        let share = |share: Option<Share>| {
            share.map(|Share(millionths)| millionths_in_percent(millionths)).unwrap_or_default()
        };
        Self {
            customer: customer.to_owned(),
            domain: domain.to_owned(),
            bandwidth: threshold
                .and_then(|one| one.bandwidth)
                .map(|bits| bits.to_string())
                .unwrap_or_default(),
            errors: share(threshold.and_then(|one| one.error_ratio)),
            hits: share(threshold.and_then(|one| one.hit_ratio)),
            min_requests: threshold.map_or(MIN_REQUESTS, |one| one.min_requests).to_string(),
        }
    }

    fn threshold(&self) -> Result<Threshold, Error> {
        let number = |field: &'static str, text: &str| {
            let wrong = |_| Error::invalid(field, "must be a whole number");
            filled(text).map(|text| text.parse::<i64>().map_err(wrong)).transpose()
        };
        let share = |field: &'static str, text: &str| {
            let wrong = || Error::invalid(field, "must be from 0 to 100 percent");
            let percent = filled(text).map(|text| text.parse::<f64>().map_err(|_| wrong())).transpose()?;
            percent.map(|percent| Share::of_fraction(field, percent / 100.0).map_err(|_| wrong())).transpose()
        };
        Ok(Threshold {
            account_id: AccountId::UNSAVED,
            domain: self.domain.clone(),
            bandwidth: number("bandwidth", &self.bandwidth)?,
            error_ratio: share("errors", &self.errors)?,
            hit_ratio: share("hits", &self.hits)?,
            min_requests: number("min_requests", &self.min_requests)?.unwrap_or(MIN_REQUESTS),
            changed: DateTime::UNIX_EPOCH,
        })
    }
}

async fn list(
    visitor: &Visitor,
    customer: &str,
    edit: &str,
    typed: Option<Typed>,
) -> Result<ThresholdsPage, Failure> {
    let whose = Whose::of(visitor, customer).await?;
    let mut thresholds = Vec::new();
    if !whose.mail.is_empty() {
        thresholds = visitor.pilothouse().thresholds().list(&visitor.caller, Some(&whose.mail), None).await?;
    }
    let row = |domain: &String| {
        let threshold = thresholds.iter().find(|threshold| threshold.domain == *domain).cloned();
        let is_edited = domain == edit;
        let known = || Typed::of(threshold.as_ref(), domain, &whose.mail);
        let typed = is_edited.then(|| typed.clone().unwrap_or_else(known));
        Row { domain: domain.clone(), threshold, typed }
    };
    let rows = whose.domains.iter().map(row).collect();
    let page = visitor.page(visitor.t.delivery().thresholds).await?;
    Ok(ThresholdsPage { page, whose, rows })
}

/// The list.
pub(crate) async fn get_thresholds(visitor: Visitor, Query(shown): Query<Shown>) -> Answer {
    html(&list(&visitor, &shown.customer, &shown.edit, None).await?)
}

/// Sets the thresholds of a domain.
pub(crate) async fn post_threshold(visitor: Visitor, Form(form): Form<Typed>) -> Answer {
    match set(&visitor, &form).await {
        Ok(()) => Ok(visitor.done(&format!("/cdn/thresholds?customer={}", part(&form.customer)), "saved")),
        Err(error) if is_correctable(&error) => {
            let (customer, domain) = (form.customer.clone(), form.domain.clone());
            let mut again = list(&visitor, &customer, &domain, Some(form)).await?;
            again.page = again.page.with_problem(&error);
            html_again(&again, &error)
        }
        Err(error) => Err(error.into()),
    }
}

async fn set(visitor: &Visitor, form: &Typed) -> Result<(), Error> {
    let threshold = form.threshold()?;
    let customer = filled(&form.customer);
    visitor.pilothouse().thresholds().set(&visitor.caller, customer, threshold).await.map(|_| ())
}

/// A domain of a customer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    #[serde(default)]
    customer: String,
    domain: String,
}

/// Deletes the thresholds of a domain.
pub(crate) async fn post_delete(visitor: Visitor, Form(form): Form<Delete>) -> Answer {
    let Delete { customer, domain } = form;
    visitor.pilothouse().thresholds().delete(&visitor.caller, filled(&customer), &domain).await?;
    Ok(visitor.done(&format!("/cdn/thresholds?customer={}", part(&customer)), "deleted"))
}
