//! What can go wrong.

/// The answer of everything that can go wrong.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument of the builder.
    #[error("{0}")]
    Setup(String),
    /// The server does not accept the app key: it was deleted, or is another app's.
    #[error("the app key was refused: {0}")]
    Refused(String),
    /// No server answered as one should, and there is no snapshot to go on with.
    #[error("no server could be used: {0}")]
    Unreachable(String),
    /// A value is not what the program expects of it.
    #[error("the value of {key}")]
    Value {
        /// Its key.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}
