//! `/cdn/hosts`: hosts that edges were asked for and that no customer has.

use askama::Template;
use pilothouse_core::cdn::{NamedUnregisteredHost, OTHER_HOSTS};

use crate::cdn::figure::scaled;
use crate::failure::Answer;
use crate::page::{Page, Visitor, html};

#[derive(Template)]
#[template(path = "hosts.html")]
struct HostsPage {
    page: Page,
    hosts: Vec<NamedUnregisteredHost>,
}

/// Whether the row is that of all hosts beyond the limit.
fn is_rest(host: &NamedUnregisteredHost) -> bool {
    host.host.host == OTHER_HOSTS
}

/// The list.
pub(crate) async fn get_hosts(visitor: Visitor) -> Answer {
    let mut hosts = visitor.pilothouse().log_intake().unregistered(&visitor.caller, None).await?;
    hosts.sort_by_key(|host| std::cmp::Reverse(host.host.lines));
    let page = visitor.page(visitor.t.delivery().hosts).await?;
    html(&HostsPage { page, hosts })
}
