//! Changes that a dry run found, to be shown before they are made.

use std::collections::HashMap;

use pilothouse_core::config::{Applied, Change, ChangeAction, Item, ItemChange};

use crate::config::diff::{DiffLine, between};
use crate::failure::Failure;

/// The most changes that are shown.
const SHOWN: usize = 200;
/// The most bytes of values that are compared, which bounds the time it takes.
const COMPARED: usize = 4 << 20;

/// Preview of changes, in the order given.
#[derive(Default)]
pub(super) struct Planned {
    pub(super) rows: Vec<PlannedRow>,
    /// Number of changes that are not shown.
    pub(super) more: usize,
    /// Number of changes that change something.
    pub(super) changing: usize,
    /// Number of changes that cannot be made.
    pub(super) refused: usize,
}

/// Preview of one change.
pub(super) struct PlannedRow {
    pub(super) key: String,
    pub(super) action: ChangeAction,
    pub(super) diff: Vec<DiffLine>,
    /// Reason why it cannot be done; empty where it can.
    pub(super) error: String,
}

/// Takes the answer of a dry run apart; what stays the same is left out.
pub(super) async fn planned(
    applied: Applied,
    changes: Vec<Change>,
    items: Vec<Item>,
) -> Result<Planned, Failure> {
    let compared = tokio::task::spawn_blocking(move || {
        let mut new: HashMap<String, ItemChange> =
            changes.into_iter().map(|change| (change.key, change.item)).collect();
        let mut old: HashMap<String, String> =
            items.into_iter().map(|item| (item.key, item.current.content.value)).collect();
        let (mut planned, mut bytes) = (Planned::default(), 0);
        for change in applied.changes {
            let error = change.error.map(|error| error.to_string()).unwrap_or_default();
            planned.refused += usize::from(!error.is_empty());
            if change.action == ChangeAction::Same && error.is_empty() {
                continue;
            }
            planned.changing += 1;
            if planned.rows.len() >= SHOWN {
                planned.more += 1;
                continue;
            }
            let before = old.remove(&change.key).unwrap_or_default();
            let after = match new.remove(&change.key) {
                Some(ItemChange::Content(content)) => content.value.unwrap_or_else(|| before.clone()),
                _ => String::new(),
            };
            bytes += before.len() + after.len();
            let diff = if bytes > COMPARED { Vec::new() } else { between(&before, &after) };
            planned.rows.push(PlannedRow { key: change.key, action: change.action, diff, error });
        }
        planned
    });
    compared
        .await
        .map_err(|error| pilothouse_core::Error::Internal(format!("comparing values: {error}")).into())
}
