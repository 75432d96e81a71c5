//! `/admin/system`: state of the server that answers.

use askama::Template;
use pilothouse_core::{Readiness, SystemInfo};

use crate::failure::Answer;
use crate::page::{Page, Visitor, html};

#[derive(Template)]
#[template(path = "system.html")]
struct SystemPage {
    page: Page,
    system: SystemInfo,
}

/// The page.
pub(crate) async fn get_system(visitor: Visitor) -> Answer {
    let system = visitor.pilothouse().system().info(&visitor.caller).await?;
    let page = visitor.page(visitor.t.admin().system).await?;
    html(&SystemPage { page, system })
}
