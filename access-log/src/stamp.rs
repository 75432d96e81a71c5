//! Stamps of lines: which moment of a request its time is.

use std::fmt;

/// Moment of a request that the time of its line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stamp {
    /// Begin of the request, as Varnish and Apache write it.
    Begin,
    /// End of the response, as nginx writes it.
    #[default]
    End,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begin => "begin",
            Self::End => "end",
        })
    }
}
