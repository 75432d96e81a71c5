//! Profiles of apps.

use crate::document::Entry;

/// The entries of a profile of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Name of the app.
    pub app: String,
    /// Name of the profile.
    pub profile: String,
    /// The entries, in their order.
    pub entries: Vec<Entry>,
}
