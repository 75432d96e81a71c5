//! Log server: the port to the server that a log is shipped to, and to whoever watches the shipping.

use std::time::Duration;

use pilothouse_access_log::Notice;

use super::ShipError;

/// Server that takes the log of one edge, with the time and the attention of the program that ships it. Its methods may block;
/// each that ends with [`ShipError::Stopped`] ends the shipping.
pub trait LogServer {
    /// Sends whole lines, gzipped, that begin at `offset` of the edge's stream, and returns the offset wanted next. No bytes
    /// ask for that offset.
    fn send(&mut self, offset: u64, gzip: &[u8]) -> Result<u64, SendError>;

    /// Waits before attempt number `attempt` at what the server was not available for; an error gives up.
    fn wait_for_server(&mut self, attempt: u32, unavailable: &Unavailable) -> Result<(), ShipError>;

    /// Waits until the log is looked at again.
    fn wait_for_lines(&mut self) -> Result<(), ShipError>;

    /// Receives what happens.
    fn report(&mut self, event: ShipEvent<'_>);
}

/// Failure of sending a piece.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SendError {
    /// Worth repeating: no answer, or one that says so.
    Unavailable(Unavailable),
    /// Conflict with what the server has of the stream, in its words (the code 7).
    Conflict(String),
    /// Refusal that no repetition changes, in the server's words.
    Refused(String),
    /// The program stops.
    Stopped,
}

/// Reason why a server is not available.
#[derive(Clone, Debug)]
pub struct Unavailable {
    /// Cause.
    pub why: String,
    /// Time after which the server wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// Event of shipping a log.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShipEvent<'e> {
    /// Shipping goes on at this offset of the stream.
    Began {
        /// Offset up to which the stream was taken.
        offset: u64,
    },
    /// The server has taken a piece, durably.
    Shipped {
        /// Offset up to which the stream was taken.
        offset: u64,
        /// Length of the piece in bytes, before compression.
        bytes: u64,
    },
    /// The server wants what it had taken before once more, as after its restore from a backup.
    Rewinding {
        /// Offset wanted next.
        from: u64,
        /// Offset up to which it was shipped.
        to: u64,
    },
    /// Lines longer than 1 MiB are left out, but for their line ends.
    LeftOut {
        /// Their length in bytes.
        bytes: u64,
    },
    /// The operator is to be told of a file.
    Notice(&'e Notice),
    /// The log cannot be read; it is tried again.
    Unreadable(&'e ShipError),
}
