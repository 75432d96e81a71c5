//! What is read from standard input and written to standard output.

use std::io::{BufRead, ErrorKind, Write};

use crate::failure::Failure;

/// One line of standard input.
pub(crate) fn password() -> Result<String, Failure> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::failed("the password on standard input", error))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::usage("--password-stdin: standard input holds no password"));
    }
    Ok(password.to_owned())
}

/// A line on standard output; a reader that went away is no failure.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed("standard output", error)),
        _ => Ok(()),
    }
}
