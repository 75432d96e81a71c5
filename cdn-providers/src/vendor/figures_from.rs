//! Source of a vendor's traffic, as its settings choose it.

use serde::Deserialize;

/// Source of a vendor's traffic. Figures and logs do not agree, and one domain's would be added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FiguresFrom {
    /// The vendor's own figures.
    #[default]
    Vendor,
    /// Its logs, which somebody ingests.
    Logs,
}
