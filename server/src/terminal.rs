//! Terminal input and output: the password, and lines for people.

use std::io::{BufRead, ErrorKind, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

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

/// A new password, asked for twice on the terminal without showing it.
pub(crate) async fn ask_new_password() -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("--password-stdin: is required where standard input is no terminal"));
    }
    let failed = |error| Failure::failed("the terminal", error);
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let hidden = Hidden::begin().map_err(failed)?;
    let asked = tokio::task::spawn_blocking(|| -> std::io::Result<[String; 2]> {
        Ok([ask("Password: ")?, ask("The same again: ")?])
    });
    let asked = tokio::select! {
        asked = asked => asked,
        // The thread that reads ends with the process; the terminal must be as before by then.
        _ = interrupted.recv() => return Err(Failure::died("interrupted")),
    };
    drop(hidden);
    let [password, again] = asked.map_err(std::io::Error::other).and_then(|asked| asked).map_err(failed)?;
    if password.is_empty() {
        return Err(Failure::usage("password: must not be empty"));
    }
    if password != again {
        return Err(Failure::usage("password: the two differ"));
    }
    Ok(password)
}

/// Asks on standard error, since standard output may lead elsewhere.
fn ask(prompt: &str) -> std::io::Result<String> {
    let mut terminal = std::io::stderr();
    terminal.write_all(prompt.as_bytes())?;
    terminal.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    terminal.write_all(b"\n")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// A line on standard output; a reader that went away is no failure.
pub(crate) fn print(line: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed("standard output", error)),
        _ => Ok(()),
    }
}
