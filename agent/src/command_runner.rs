//! Commands that the settings declare: run without a shell, with a time limit, a clean environment and capped output.

use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Access;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::settings::CommandSettings;

/// Placeholder of the staged file in `argv`.
pub(crate) const STAGED: &str = "{staged}";
/// Bytes of output that are kept; the rest is read and dropped.
const MOST_OUTPUT: usize = 4096;
/// Search path of commands, since the environment of the agent is not handed on.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Interval at which the end of the command is looked for.
const INTERVAL: Duration = Duration::from_millis(10);

/// Runs a command to its end. The error says how it ended, with the beginning of its output.
///
/// Standard input is empty. A command that takes too long is killed with its process group. A process that it leaves behind
/// after a success goes on, and its output is not waited for.
pub(crate) fn run(name: &str, settings: &CommandSettings, staged: Option<&str>) -> Result<(), String> {
    let (reader, writer) =
        std::io::pipe().map_err(|error| format!("{name}: no pipe for its output: {error}"))?;
    let child = {
        let copy = writer.try_clone().map_err(|error| format!("{name}: no pipe for its output: {error}"))?;
        command(settings, staged, writer, copy).spawn()
    };
    let child =
        child.map_err(|error| format!("{name}: {} could not be started: {error}", settings.argv[0]))?;
    let mut running = Running { child, output: Vec::new(), reader: Some(reader) };
    let status = running.wait(settings.timeout).map_err(|error| format!("{name}: {error}"))?;
    let output = String::from_utf8_lossy(&running.output).trim().escape_debug().to_string();
    let output = if output.is_empty() { output } else { format!(": {output}") };
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{name} {}{output}", ended(status))),
        None => {
            Err(format!("{name} took longer than {} s and was killed{output}", settings.timeout.as_secs()))
        }
    }
}

/// Program that a command would start, looked for as it would be.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(is_program);
    }
    SEARCH_PATH.split(':').map(|folder| PathBuf::from(folder).join(program)).find(is_program)
}

fn command(
    settings: &CommandSettings,
    staged: Option<&str>,
    output: std::io::PipeWriter,
    errors: std::io::PipeWriter,
) -> Command {
    let argument = |argument: &String| match staged {
        Some(staged) => argument.replace(STAGED, staged),
        None => argument.clone(),
    };
    let mut command = Command::new(&settings.argv[0]);
    command.args(settings.argv[1..].iter().map(argument));
    command.env_clear().env("PATH", SEARCH_PATH).env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
    command
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

struct Running {
    child: Child,
    output: Vec<u8>,
    reader: Option<PipeReader>,
}

impl Running {
    /// Waits for the end; `None` when the time limit came first.
    fn wait(&mut self, timeout: Duration) -> std::io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.read_waiting()?;
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                // It fails only when the command has just ended by itself.
                let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
                self.child.wait()?;
                return Ok(None);
            }
            if !self.read_some(INTERVAL)? && self.reader.is_none() {
                std::thread::sleep(INTERVAL);
            }
        }
    }

    /// Reads what the pipe holds, at most its capacity: a process that was left behind may write for ever.
    fn read_waiting(&mut self) -> std::io::Result<()> {
        for _ in 0..16 {
            if !self.read_some(Duration::ZERO)? {
                break;
            }
        }
        Ok(())
    }

    /// Waits for output and reads some; false when there was none.
    fn read_some(&mut self, wait: Duration) -> std::io::Result<bool> {
        let Some(reader) = &mut self.reader else { return Ok(false) };
        let timeout = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        let mut polled = [PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN)];
        if poll(&mut polled, Some(&timeout))? == 0 {
            return Ok(false);
        }
        let mut buffer = [0; 8192];
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            self.reader = None;
            return Ok(false);
        }
        let room = MOST_OUTPUT.saturating_sub(self.output.len()).min(count);
        self.output.extend_from_slice(&buffer[..room]);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> CommandSettings {
        let argv = ["sh", "-c", script, "sh", STAGED].map(str::to_owned).to_vec();
        CommandSettings { argv, timeout: Duration::from_secs(1) }
    }

    #[test]
    fn a_command_succeeds_or_says_how_it_ended() {
        assert_eq!(run("a", &shell("exit 0"), None), Ok(()));
        let told = run("a", &shell("echo wrong >&2; exit 3"), None);
        assert_eq!(told, Err("a ended with status 3: wrong".to_owned()));
        assert_eq!(run("a", &shell("kill -9 $$"), None), Err("a was ended by signal 9".to_owned()));
        let missing =
            CommandSettings { argv: vec!["no-such-program".to_owned()], timeout: Duration::from_secs(1) };
        assert!(run("a", &missing, None).unwrap_err().contains("could not be started"));
    }

    #[test]
    fn a_command_gets_the_staged_file_and_nothing_else() {
        assert_eq!(run("a", &shell("test \"$1\" = '/a b'"), Some("/a b")), Ok(()));
        assert_eq!(run("a", &shell("test -z \"$HOME$CARGO_MANIFEST_DIR\""), None), Ok(()));
        assert_eq!(run("a", &shell("test -z \"$(cat)\""), None), Ok(()), "standard input is empty");
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_its_children() {
        let before = Instant::now();
        let told = run("a", &shell("sleep 60 & sleep 60"), None).unwrap_err();
        assert!(told.contains("longer than 1 s"), "{told}");
        assert!(before.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_command_that_leaves_a_process_behind_is_not_waited_for() {
        let before = Instant::now();
        assert_eq!(run("a", &shell("sleep 5 & exit 0"), None), Ok(()));
        assert!(before.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn much_output_is_capped() {
        let told = run("a", &shell("head -c 10000000 /dev/zero | tr '\\0' x; exit 1"), None).unwrap_err();
        assert!(told.len() < 2 * MOST_OUTPUT, "{}", told.len());
    }
}
