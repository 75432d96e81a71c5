//! Logs that edges ship themselves, piece by piece.
//!
//! An edge's log is one stream that never begins anew: an offset counts the bytes of all its files so far, before
//! compression. What was taken ends with a whole line, and the next piece begins there or earlier; so an edge that rotates
//! its file goes on counting, one that lost an answer sends again, and one that knows nothing sends an empty piece and is
//! told. How far a stream was taken is a source like that of a file.

use std::fmt;

use super::Domain;
use super::ingest::{Batch, EdgeRef, SourceChange};
use super::source::SourceKey;
use super::traffic::Traffic;
use crate::secret::{sign, verify};
use crate::{Error, Result};

/// The key of every stream: an edge has one, and no file has this.
const STREAM: SourceKey = *b"the shipped log.";
/// So many bytes that were taken last are compared with what is sent again.
const TAIL: usize = 64;
/// What is longer without a line end is no line of a log, and is skipped.
const LONGEST_LINE: usize = 1 << 20;
/// How often a piece is tried that another server takes at the same time.
const ATTEMPTS: usize = 3;

/// An edge that may ship its log.
#[derive(Clone, PartialEq, Eq)]
pub struct LogShipper {
    /// The cdn it belongs to, by name.
    pub cdn: String,
    /// Its name.
    pub edge: String,
    /// What it proves itself with; nobody else's.
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

impl Traffic<'_> {
    /// Refuses whoever is not the edge: without a key of any edge as not authenticated, with another edge's as not
    /// permitted, whether or not there is such an edge.
    pub fn authenticate_edge(&self, cdn: &str, edge: &str, key: Option<&str>) -> Result<()> {
        self.shipper(cdn, edge, key).map(|_| ())
    }

    /// Takes in a piece of an edge's log that begins at `offset` of its stream, and answers the offset it is to go on at:
    /// after the last whole line. What was taken before is not taken again. It is durable on return.
    ///
    /// Refuses a key as [`Traffic::authenticate_edge`] does; an offset beyond the one wanted, which it names; a piece that
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
        let (edge, domains) = self.edge(cdn, edge).await?;
        let stream = Stream { cdn, edge, domains, offset, piece };
        for _ in 1..ATTEMPTS {
            match self.take(&stream).await {
                // Perhaps the same piece, sent twice: then there is nothing left to be done.
                Err(Taking::Raced) => {}
                Err(Taking::Failed(error)) => return Err(error),
                Ok(next) => return Ok(next),
            }
        }
        self.take(&stream).await.map_err(|failed| match failed {
            Taking::Raced => Error::conflict("this log is shipped twice at once"),
            Taking::Failed(error) => error,
        })
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
        let &Stream { cdn, ref edge, ref domains, offset, piece } = stream;
        let known = self.sources(edge, &[STREAM]).await?;
        let (change, wanted, tail) = match known.sources.into_iter().next() {
            Some(source) => (SourceChange::Continued(source.id, source.length), source.length, source.state),
            None => (SourceChange::New(known.seen), 0, Vec::new()),
        };
        if piece.is_empty() {
            return Ok(wanted);
        }
        if offset > wanted {
            return Err(Error::conflict(format!("offset: {wanted} is wanted next, not {offset}")).into());
        }
        let before = usize::try_from(wanted - offset).unwrap_or(usize::MAX);
        let Some((again, new)) = piece.split_at_checked(before) else { return Ok(wanted) };
        let compared = again.len().min(tail.len());
        if again[again.len() - compared..] != tail[tail.len() - compared..] {
            let why = format!(
                "offset: the bytes before {wanted} are not those that were taken; offsets never begin anew"
            );
            return Err(Error::conflict(why).into());
        }
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
            state: taken[taken.len().saturating_sub(TAIL)..].to_vec(),
            ..Batch::default()
        };
        let batch = self.0.log_reader()?.read(cdn, batch, domains, new[..end].to_vec()).await?;
        match self.record(batch).await {
            Ok(_) => Ok(length),
            Err(Error::Conflict(_)) => Err(Taking::Raced),
            Err(error) => Err(error.into()),
        }
    }
}

/// A piece that arrived.
struct Stream<'a> {
    cdn: &'a str,
    edge: EdgeRef,
    domains: Vec<Domain>,
    offset: i64,
    piece: &'a [u8],
}

/// Why a piece was not taken.
enum Taking {
    /// Another one was, meanwhile.
    Raced,
    Failed(Error),
}

impl From<Error> for Taking {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
