//! Rows for tests, told apart by a number, and functions that insert them.

use chrono::{DateTime, Utc};
use pilothouse_core::config::ItemName;

pub use crate::account::account::{account, add_account};
pub use crate::account::audit::audit_row;
pub use crate::authoring::app::{add_app, app};
pub use crate::authoring::grant::grant;
pub use crate::authoring::item::{add_item, version};
pub use crate::customers::cdn::add_cdn;
pub use crate::customers::customer::{add_customer, customer};
pub use crate::customers::domain::add_domain;
pub use crate::delivery::node::node;
pub use crate::delivery::release::release;
pub use crate::ops::machine::machine;
pub use crate::ops::task::task;
pub use crate::purge::job::job;
pub use crate::traffic::series::cell;
pub use crate::webhook::delivery::webhook_delivery;

/// Text that a careless store breaks: quotes, an emoji, a combining mark, placeholders and wildcards of SQL.
pub const AWKWARD: &str = "it's \"quoted\" \\ %_ $1 ?1 :x 🚀 e\u{301} 更新";

/// The moment `micros` microseconds after 2016-11-30 02:07:55.123456 UTC.
pub fn moment(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_480_471_675_123_456 + micros).unwrap_or_default()
}

/// The name of an item in the profile `dev`.
pub fn item_name(app: &str, key: &str) -> ItemName {
    ItemName { app: app.to_owned(), profile: "dev".to_owned(), key: key.to_owned() }
}
