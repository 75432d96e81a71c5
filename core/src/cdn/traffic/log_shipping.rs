//! Logs that edges ship themselves, piece by piece.
//!
//! An edge's log is one stream that never begins anew: an offset counts the bytes of all its files so far, before
//! compression. What was taken ends with a whole line, and the next piece begins there or earlier; so an edge that rotates
//! its file goes on counting, one that lost an answer sends again, and one that knows nothing sends an empty piece and is
//! told. How far a stream was taken is a source like that of a file.

use std::fmt;

use super::log_gap::write_gap;
use super::log_hosts::LogHosts;
use super::log_intake::{Batch, EdgeRef, LogIntake, SourceChange};
use super::log_source::{LogSource, LogSourceId, SourceKey};
use crate::account::{Caller, Entry, Group};
use crate::ports::LockKey;
use crate::secret::{sign, verify};
use crate::{Error, Result};

/// The key of every stream: an edge has one, and no file has this.
pub(crate) const STREAM: SourceKey = *b"the shipped log.";
/// So many bytes that were taken first, and last, are compared with what is sent again.
const COMPARED: usize = 64;
/// Longest line in bytes: more without a line end is no line of a log, and is skipped.
const LONGEST_LINE: usize = 1 << 20;
/// Attempts at a piece that another server takes at the same time.
const ATTEMPTS: usize = 3;

/// An edge that may ship its log.
#[derive(Clone, PartialEq, Eq)]
pub struct LogShipper {
    /// The cdn it belongs to, by name.
    pub cdn: String,
    /// Name of the edge within its cdn.
    pub edge: String,
    /// Key that it authenticates with; no other edge has the same.
    pub key: String,
    /// Whether its log is followed as a file already: then it must not be shipped too, or it would count twice.
    pub is_followed: bool,
}

impl fmt::Debug for LogShipper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("LogShipper");
        shown.field("cdn", &self.cdn).field("edge", &self.edge).finish_non_exhaustive()
    }
}

impl LogIntake<'_> {
    /// Refuses whoever is not the edge: without a key of any edge as not authenticated, with another edge's as not
    /// permitted, whether or not there is such an edge.
    pub fn authenticate_edge(&self, cdn: &str, edge: &str, key: Option<&str>) -> Result<()> {
        self.shipper(cdn, edge, key).map(|_| ())
    }

    /// Takes in a piece of an edge's log that begins at `offset` of its stream, and answers the offset it is to go on at:
    /// after the last whole line. What was taken before is not taken again. It is durable on return.
    ///
    /// Refuses a key as [`LogIntake::authenticate_edge`] does; an offset beyond the one wanted, which it names; a piece that
    /// differs from what was taken before.
    pub async fn ship(
        &self,
        cdn: &str,
        edge: &str,
        key: Option<&str>,
        offset: i64,
        piece: &[u8],
    ) -> Result<i64> {
        let shipper = self.shipper(cdn, edge, key)?;
        if offset < 0 {
            return Err(Error::invalid("offset", "must not be negative"));
        }
        if shipper.is_followed {
            return Err(Error::conflict("the log of this edge is followed as a file"));
        }
        let edge = self.edge(cdn, edge).await?;
        let hosts = self.recent_hosts(edge.cdn_id).await?;
        let stream = Stream { cdn, edge, hosts, offset, piece };
        let taken = self.take_in_turn(&stream).await;
        match &taken {
            Ok(_) if piece.is_empty() => self.shipper_seen(&stream.edge).await?,
            Err(Taking::Refused(reason)) => self.shipper_refused(&stream.edge, reason).await?,
            Ok(_) | Err(_) => {}
        }
        taken.map_err(|failed| match failed {
            Taking::Raced => Error::conflict("this log is shipped twice at once"),
            Taking::Refused(reason) => Error::conflict(reason),
            Taking::Failed(error) => error,
        })
    }

    /// Takes a piece, again where another one was taken at the same time: perhaps that was the same, sent twice, and then there
    /// is nothing left to be done.
    async fn take_in_turn(&self, stream: &Stream<'_>) -> Result<i64, Taking> {
        for _ in 1..ATTEMPTS {
            match self.take(stream).await {
                Err(Taking::Raced) => {}
                taken => return taken,
            }
        }
        self.take(stream).await
    }

    /// Gives up the bytes of an edge's shipped log from `from`, the offset wanted next, to before `to`, where it has lost
    /// them; answers the offset wanted next. Needs group 8, and is written into the audit trail.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn skip(&self, caller: &Caller, cdn: &str, edge: &str, from: i64, to: i64) -> Result<i64> {
        self.0.require(caller, Group::Cdn)?;
        if from < 0 {
            return Err(Error::invalid("from", "must not be negative"));
        }
        if to <= from {
            return Err(Error::invalid("to", "must be greater than from"));
        }
        let ships = |shipper: &LogShipper| shipper.cdn == cdn && shipper.edge == edge && !shipper.is_followed;
        if !self.0.settings().log_shippers.iter().any(ships) {
            return Err(Error::not_found("the edge that ships its log"));
        }
        let EdgeRef { cdn_id, edge: name } = self.edge(cdn, edge).await?;
        let mut work = self.0.write_as(caller).await?;
        work.lock(LockKey::Traffic).await?;
        let held = work.log_sources().find(cdn_id, &name, &[STREAM]).await?.into_iter().next();
        let wanted = held.as_ref().map_or(0, |source| source.length);
        if wanted != from {
            return Err(Error::conflict(format!("from: {wanted} is wanted next, not {from}")));
        }
        // What comes next has other bytes before it, so that there is no tail to compare them with.
        let head = held.as_ref().map(|source| StreamEnds::decode(&source.state).head).unwrap_or_default();
        let source = LogSource {
            id: held.as_ref().map_or(LogSourceId::UNSAVED, |source| source.id),
            cdn_id,
            edge: name,
            key: STREAM,
            length: to,
            state: StreamEnds { head, tail: Vec::new() }.encode(),
            counters: held.as_ref().map(|source| source.counters).unwrap_or_default(),
            recorded: self.0.clock().now(),
            skipped: held.as_ref().map_or(0, |source| source.skipped).saturating_add(to - from),
        };
        if held.is_none() {
            work.log_sources().insert(&source).await?;
        } else if !work.log_sources().update(&source, from).await? {
            return Err(Error::conflict("this log was shipped meanwhile"));
        }
        let reason = format!("the bytes from {from} to before {to} of the shipped log were given up");
        write_gap(&mut *work, &EdgeRef { cdn_id, edge: source.edge.clone() }, &reason, source.recorded)
            .await?;
        let entry = Entry::new("cdn.log_skip", format!("{cdn}/{edge} {from}-{to}"));
        work.record(entry).await?;
        work.commit().await?;
        Ok(to)
    }

    fn shipper(&self, cdn: &str, edge: &str, key: Option<&str>) -> Result<&LogShipper> {
        let shippers = &self.0.settings().log_shippers;
        let presented = key.ok_or(Error::Unauthenticated)?;
        // Every key is compared, and each in a time that does not depend on where it differs.
        let secret = self.0.settings().secret.derive("edge keys");
        let signature = sign(&secret, &[presented.as_bytes()]);
        let own = |shipper: &&LogShipper| verify(&secret, &[shipper.key.as_bytes()], &signature);
        let own: Vec<_> = shippers.iter().filter(own).collect();
        if own.is_empty() {
            return Err(Error::Unauthenticated);
        }
        let named = own.into_iter().find(|shipper| shipper.cdn == cdn && shipper.edge == edge);
        named.ok_or(Error::Forbidden)
    }

    async fn take(&self, stream: &Stream<'_>) -> Result<i64, Taking> {
        let &Stream { cdn, ref edge, ref hosts, offset, piece } = stream;
        let known = self.sources(edge, &[STREAM]).await?;
        let (change, wanted, ends) = match known.sources.into_iter().next() {
            Some(source) => {
                let change = SourceChange::Continued(source.id, source.length);
                (change, source.length, StreamEnds::decode(&source.state))
            }
            None => (SourceChange::New(known.seen), 0, StreamEnds::default()),
        };
        if piece.is_empty() {
            return Ok(wanted);
        }
        if offset > wanted {
            return Err(Taking::Refused(format!("offset: {wanted} is wanted next, not {offset}")));
        }
        let before = usize::try_from(wanted - offset).unwrap_or(usize::MAX);
        if !ends.agree_with(offset, piece, before) {
            let why = format!(
                "offset: the bytes before {wanted} are not those that were taken; offsets never begin anew"
            );
            return Err(Taking::Refused(why));
        }
        let Some((_, new)) = piece.split_at_checked(before) else { return Ok(wanted) };
        let end = match new.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => last + 1,
            None if new.len() > LONGEST_LINE => new.len(),
            None => return Ok(wanted),
        };
        let taken = &piece[..before + end];
        let length = wanted.saturating_add(i64::try_from(end).unwrap_or(i64::MAX));
        let batch = Batch {
            edge: edge.clone(),
            change,
            key: STREAM,
            length,
            state: ends.after(wanted, new, taken).encode(),
            ..Batch::default()
        };
        let reader = self.0.log_reader()?;
        let lines = || new[..end].to_vec();
        let mut read = reader.read(cdn, batch.clone(), hosts, lines()).await?;
        if read.first_line.is_some_and(|first| first < hosts.former_since) {
            read = reader.read(cdn, batch, &self.hosts(edge.cdn_id).await?, lines()).await?;
        }
        match self.record(read).await {
            Ok(_) => Ok(length),
            Err(Error::Conflict(_)) => Err(Taking::Raced),
            Err(error) => Err(error.into()),
        }
    }
}

/// Bytes that a stream began with, and those that were taken last.
#[derive(Debug, Default, PartialEq, Eq)]
struct StreamEnds {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl StreamEnds {
    /// Decodes a stored state. One of at most [`COMPARED`] bytes is a tail alone, of a stream whose beginning was not stored yet.
    fn decode(state: &[u8]) -> Self {
        match state.split_at_checked(1 + COMPARED) {
            Some((head, tail)) => {
                let length = usize::from(head[0]).min(COMPARED);
                Self { head: head[1..=length].to_vec(), tail: tail.to_vec() }
            }
            None => Self { head: Vec::new(), tail: state.to_vec() },
        }
    }

    fn encode(&self) -> Vec<u8> {
        // At most [`COMPARED`].
        let mut state = vec![u8::try_from(self.head.len()).unwrap_or_default()];
        state.extend_from_slice(&self.head);
        state.resize(1 + COMPARED, 0);
        state.extend_from_slice(&self.tail);
        state
    }

    /// Whether a piece that begins at `offset`, with `before` bytes that were taken already, agrees with what was taken.
    fn agree_with(&self, offset: i64, piece: &[u8], before: usize) -> bool {
        let again = &piece[..piece.len().min(before)];
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.head.len());
        let is_head = self.head[from..].iter().zip(again).all(|(one, other)| one == other);
        let compared = again.len().min(self.tail.len());
        let ends_at_tail = again.len() == before;
        let is_tail = || again[again.len() - compared..] == self.tail[self.tail.len() - compared..];
        is_head && (!ends_at_tail || is_tail())
    }

    /// Ends after `new` was taken at the offset `wanted`, where `taken` ends with it.
    fn after(self, wanted: i64, new: &[u8], taken: &[u8]) -> Self {
        let mut head = self.head;
        if usize::try_from(wanted).is_ok_and(|wanted| wanted == head.len()) {
            head.extend(new.iter().take(COMPARED - head.len()));
        }
        Self { head, tail: taken[taken.len().saturating_sub(COMPARED)..].to_vec() }
    }
}

/// A piece that arrived.
struct Stream<'a> {
    cdn: &'a str,
    edge: EdgeRef,
    hosts: LogHosts,
    offset: i64,
    piece: &'a [u8],
}

/// Reason why a piece was not taken.
enum Taking {
    /// Another one was, meanwhile.
    Raced,
    /// It does not fit what was taken before.
    Refused(String),
    Failed(Error),
}

impl From<Error> for Taking {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_stream_are_stored_and_older_states_are_read() {
        for (head, tail) in
            [(&b""[..], &b""[..]), (b"one\n", b"one\n"), (&[b'h'; COMPARED], &[b't'; COMPARED])]
        {
            let ends = StreamEnds { head: head.to_vec(), tail: tail.to_vec() };
            assert_eq!(StreamEnds::decode(&ends.encode()), ends);
        }
        let old = StreamEnds::decode(&[b'x'; COMPARED]);
        assert_eq!((old.head.len(), old.tail.len()), (0, COMPARED));
    }
}
