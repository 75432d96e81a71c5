//! Edges whose lease control answers as a test says.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use pilothouse_core::ports::{EdgeControl, ProviderError, SessionStart};

/// The answer of an edge to calls about its session.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Every call answers as the port's documentation says.
    Answers,
    /// Every call fails.
    Fails(ProviderError),
    /// No call is ever answered.
    Hangs,
    /// It refuses sessions up to this number: another server had one.
    InLaterSession(i64),
}

/// Edges whose sessions and leases are in memory, and that answer as a test says.
#[derive(Debug, Default)]
pub struct ScriptedEdges {
    behaviours: Mutex<BTreeMap<String, Behaviour>>,
    /// The session of each edge, and whether it was granted a lease in it.
    sessions: Mutex<BTreeMap<String, (i64, bool)>>,
    /// Edges whose next session begins without the state of the one before.
    lost_state: Mutex<Vec<String>>,
}

impl ScriptedEdges {
    /// Sets how an edge answers from now on.
    pub fn set(&self, edge: &str, behaviour: Behaviour) {
        self.behaviours.lock().unwrap_or_else(PoisonError::into_inner).insert(edge.to_owned(), behaviour);
    }

    /// Session of an edge, and whether it has a lease in it.
    pub fn session(&self, edge: &str) -> (i64, bool) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)[edge]
    }

    /// Whether an edge has a lease.
    pub fn is_leased(&self, edge: &str) -> bool {
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(edge)
            .is_some_and(|(_, leased)| *leased)
    }

    /// Ends the lease, as when it is not renewed in time.
    pub fn end_lease(&self, edge: &str) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get_mut(edge).unwrap().1 = false;
    }

    /// Makes an edge lose its state, as after a restart.
    pub fn lose_state(&self, edge: &str) {
        self.lost_state.lock().unwrap_or_else(PoisonError::into_inner).push(edge.to_owned());
    }

    async fn answer(&self, edge: &str) -> Result<(), ProviderError> {
        let behaviour = self
            .behaviours
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(edge)
            .cloned()
            .unwrap_or(Behaviour::Answers);
        match behaviour {
            Behaviour::Answers | Behaviour::InLaterSession(_) => Ok(()),
            Behaviour::Fails(error) => Err(error),
            Behaviour::Hangs => std::future::pending().await,
        }
    }
}

#[async_trait]
impl EdgeControl for ScriptedEdges {
    async fn begin_session(
        &self,
        edge: &str,
        session: i64,
        _epoch: i64,
    ) -> Result<SessionStart, ProviderError> {
        self.answer(edge).await?;
        if let Some(Behaviour::InLaterSession(last)) =
            self.behaviours.lock().unwrap_or_else(PoisonError::into_inner).get(edge)
            && session <= *last
        {
            return Ok(SessionStart::Deferred(*last));
        }
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(edge.to_owned(), (session, false));
        let mut lost_state = self.lost_state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = lost_state.len();
        lost_state.retain(|name| name != edge);
        Ok(if lost_state.len() < before { SessionStart::Fresh } else { SessionStart::Resumed })
    }

    async fn grant(&self, edge: &str, session: i64) -> Result<bool, ProviderError> {
        self.answer(edge).await?;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let current = sessions.get_mut(edge).filter(|(current, _)| *current == session);
        Ok(current.map(|current| current.1 = true).is_some())
    }

    async fn renew(&self, edge: &str, session: i64) -> Result<bool, ProviderError> {
        self.answer(edge).await?;
        Ok(self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(edge) == Some(&(session, true)))
    }
}
