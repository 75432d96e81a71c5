//! Failed log-ins: counts by name and address within a window.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use pilothouse_core::ports::Storage;

use crate::rows::moment;

/// Failures are counted by name, address and both, within the window.
pub(crate) async fn failures_count(storage: Arc<dyn Storage>) {
    let (here, there) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::BROADCAST));
    let mut work = storage.begin().await.unwrap();
    let failures = work.login_failures();
    for (n, (name, address)) in (0..).zip([("ann", here), ("ann", there), ("bob", here), ("ann", here)]) {
        failures.insert(name, address, moment(n)).await.unwrap();
    }
    assert_eq!(failures.count(Some("ann"), Some(here), moment(-1), moment(9)).await.unwrap(), 2);
    assert_eq!(failures.count(Some("ann"), None, moment(-1), moment(9)).await.unwrap(), 3);
    assert_eq!(failures.count(None, Some(here), moment(-1), moment(9)).await.unwrap(), 3);
    assert_eq!(
        failures.count(Some("ann"), None, moment(1), moment(9)).await.unwrap(),
        1,
        "`since` itself does not count"
    );
    assert_eq!(failures.oldest(None, Some(here), moment(0), moment(9)).await.unwrap(), Some(moment(2)));
    assert_eq!(failures.oldest(Some("eve"), None, moment(-1), moment(9)).await.unwrap(), None);
    failures.prune(moment(1), moment(9)).await.unwrap();
    assert_eq!(failures.count(None, None, moment(-1), moment(9)).await.unwrap(), 2);
    failures.insert("ann", here, moment(10)).await.unwrap();
    assert_eq!(
        failures.count(None, None, moment(-1), moment(9)).await.unwrap(),
        2,
        "of a clock that was ahead"
    );
    assert_eq!(failures.oldest(None, None, moment(9), moment(9)).await.unwrap(), None);
    failures.prune(moment(1), moment(9)).await.unwrap();
    assert_eq!(failures.count(None, None, moment(-1), moment(99)).await.unwrap(), 2);
}
