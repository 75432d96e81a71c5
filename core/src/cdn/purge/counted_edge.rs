//! Gauge of edges by their state.

use super::edge::EdgeState;

/// Counts an edge by its state, among those that this process leads.
#[derive(Default)]
pub(super) struct CountedEdge(Option<EdgeState>);

impl CountedEdge {
    pub(super) fn set(&mut self, state: Option<EdgeState>) {
        if self.0 == state {
            return;
        }
        let gauge = |state: EdgeState| metrics::gauge!("pilothouse_edges", "state" => state.as_str());
        if let Some(state) = state {
            gauge(state).increment(1);
        }
        if let Some(before) = std::mem::replace(&mut self.0, state) {
            gauge(before).decrement(1);
        }
    }
}

impl Drop for CountedEdge {
    fn drop(&mut self) {
        self.set(None);
    }
}
