//! Gauge of what is left of a vendor's quotas.

use crate::ports::{Operation, Quota};

/// What this process shows of one vendor: only the server that speaks to it shows anything, so that figures of several servers,
/// and of several accounts at one vendor, can be added.
#[derive(Debug, Default)]
pub(super) struct QuotaGauge {
    vendor: &'static str,
    shown: Vec<(Operation, i64)>,
}

impl QuotaGauge {
    /// Shows these quotas of a vendor in place of those that were shown: the least of each operation.
    pub(super) fn show(&mut self, vendor: &'static str, quotas: &[Quota]) {
        let mut left: Vec<(Operation, i64)> = Vec::new();
        for quota in quotas {
            match left.iter_mut().find(|(operation, _)| *operation == quota.operation) {
                Some((_, least)) => *least = (*least).min(quota.left),
                None => left.push((quota.operation, quota.left)),
            }
        }
        for (operation, before) in &self.shown {
            change(self.vendor, *operation, -*before);
        }
        for (operation, now) in &left {
            change(vendor, *operation, *now);
        }
        self.vendor = vendor;
        self.shown = left;
    }
}

impl Drop for QuotaGauge {
    fn drop(&mut self) {
        for (operation, before) in &self.shown {
            change(self.vendor, *operation, -*before);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
fn change(vendor: &'static str, operation: Operation, by: i64) {
    let labels = [("vendor", vendor), ("operation", operation.as_str())];
    metrics::gauge!("pilothouse_vendor_quota_left", &labels).increment(by as f64);
}
