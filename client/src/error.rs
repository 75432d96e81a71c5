//! Client errors, and the text of an error with its causes.

/// Result of a client call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of a client call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Invalid argument of the builder; the text names the argument.
    #[error("{0}")]
    Setup(String),
    /// App key refused by the server: it was deleted, or belongs to another app.
    #[error("the app key was refused: {0}")]
    Refused(String),
    /// No server answered as a Pilothouse server does, and there is no snapshot to start from.
    #[error("no server could be reached: {0}")]
    Unreachable(String),
    /// Value that cannot be parsed as the requested type.
    #[error("cannot parse the value of {key}")]
    Value {
        /// Configuration key of the value.
        key: String,
        /// Error of the JSON deserializer, with line and column.
        source: serde_json::Error,
    },
}

/// Renders an error and its causes, outermost first, separated by colons.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
