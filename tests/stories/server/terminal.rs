//! What a person sees and types: passwords on a terminal, the first steps, the version.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, Signal};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::{ApiClient, EdgeLog, Installation, PASSWORD, ROOT, TIMEOUT, with_logging_edges};

/// A terminal with a command on it.
struct Terminal {
    /// The side of the person.
    keyboard: File,
    /// The side of the command.
    line: OwnedFd,
    child: ProcessGuard,
    seen: String,
}

impl Terminal {
    fn start(installation: &Installation, arguments: &[&str]) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let line = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let on_line = || Stdio::from(line.try_clone().unwrap());
        let mut command = installation.command(arguments);
        command.stdin(on_line()).stdout(on_line()).stderr(on_line());
        let child = ProcessGuard::spawn(&mut command).unwrap();
        // The test holds the line, too, so that its end is never read.
        fcntl_setfl(&keyboard, fcntl_getfl(&keyboard).unwrap() | OFlags::NONBLOCK).unwrap();
        Self { keyboard: File::from(keyboard), line, child, seen: String::new() }
    }

    fn shows_what_is_typed(&self) -> bool {
        tcgetattr(&self.line).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Reads until this text was shown.
    fn wait_for(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        let deadline = Instant::now() + TIMEOUT;
        while !self.seen.contains(text) {
            match self.keyboard.read(&mut buffer) {
                Ok(read) => self.seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < deadline, "{text:?} is not shown: {}", self.seen);
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.keyboard, "{line}").unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        let status = self.child.wait_for_exit(TIMEOUT);
        status.unwrap_or_else(|| panic!("the command does not end: {}", self.seen)).code()
    }
}

const CREATE: [&str; 5] = ["create-superuser", "--name", ROOT, "--mail", "root@example.com"];

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_not_shown() {
    let installation = Installation::sqlite();
    let mut terminal = Terminal::start(&installation, &CREATE);
    terminal.wait_for("Password: ");
    assert!(!terminal.shows_what_is_typed());
    terminal.type_line(PASSWORD);
    terminal.wait_for("The same again: ");
    terminal.type_line(PASSWORD);
    terminal.wait_for("made the account root with every right");
    assert_eq!(terminal.exit_code(), Some(0));
    assert!(terminal.shows_what_is_typed(), "the terminal is as before");
    assert!(!terminal.seen.contains(PASSWORD), "{}", terminal.seen);
    let server = installation.serve().await;
    ApiClient::new(&[&server]).login(ROOT).await;
}

#[test]
fn passwords_that_differ_are_refused() {
    let installation = Installation::sqlite();
    let mut terminal = Terminal::start(&installation, &CREATE);
    terminal.wait_for("Password: ");
    terminal.type_line(PASSWORD);
    terminal.wait_for("The same again: ");
    terminal.type_line("another long password");
    terminal.wait_for("password: the two differ");
    assert_eq!(terminal.exit_code(), Some(2));
    assert!(!installation.file("data").exists(), "nothing was made");
}

#[test]
fn an_interrupt_restores_the_terminal() {
    let installation = Installation::sqlite();
    let mut terminal = Terminal::start(&installation, &CREATE);
    terminal.wait_for("Password: ");
    assert!(!terminal.shows_what_is_typed());
    // The line is no controlling terminal here, so that the signal is sent as the kernel would send it.
    terminal.child.signal(Signal::INT);
    assert_eq!(terminal.exit_code(), Some(1));
    assert!(terminal.shows_what_is_typed());
}

/// The command that a new server prints makes the account in its store, from any folder.
#[test]
fn the_printed_command_works_as_it_is() {
    let installation = Installation::sqlite();
    std::fs::write(installation.file("my settings.toml"), "password_min_length = 9\n").unwrap();
    let (port, log) = (pilothouse_test_support::free_port(), installation.file("log"));
    let mut command = installation.command(&["--config", "my settings.toml", "serve"]);
    command.env("PILOTHOUSE_LISTEN", format!("127.0.0.1:{port}")).stdout(File::create(&log).unwrap());
    let _server = ProcessGuard::spawn(command.stderr(Stdio::null())).unwrap();
    let deadline = Instant::now() + TIMEOUT;
    let printed = loop {
        let text = std::fs::read_to_string(&log).unwrap();
        let line =
            text.lines().find(|line| line.contains("create-superuser")).map(|line| line.trim().to_owned());
        if let Some(line) = line.filter(|_| text.contains("Then log in")) {
            break line;
        }
        assert!(Instant::now() < deadline, "no command is printed: {text}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(printed.contains("--config '/") && printed.contains(" --data-dir /"), "{printed}");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("{printed} --password-stdin")]).current_dir("/").env_clear();
    let made = crate::support::run(&mut shell, "12345678\n");
    assert!(made.stderr.contains("at least 9 characters"), "the settings are the server's: {made:?}");
    assert_eq!(crate::support::run(&mut shell, PASSWORD).code, Some(0));
    let again = crate::support::run(&mut shell, PASSWORD);
    assert!(again.stderr.contains("already exists"), "{again:?}");
}

#[test]
fn the_version_names_the_commit() {
    let printed = Installation::sqlite().run(&["--version"], "");
    let version = format!("pilothouse {}", env!("CARGO_PKG_VERSION"));
    let commit = std::process::Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8(output.stdout).unwrap());
    let rest = printed.stdout.trim().strip_prefix(&version).unwrap();
    match commit {
        Some(commit) => {
            let shown = rest.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')')).unwrap();
            assert!(shown.len() == 12 && commit.starts_with(shown), "{printed:?} of {commit}");
        }
        None => assert_eq!(rest, "", "{printed:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shipping_shows_its_progress_and_ends_with_what_was_shipped() {
    let installation = with_logging_edges(Installation::sqlite(), Path::new("/nowhere/edge.tsv"));
    let server = installation.serve().await;
    let mut log = EdgeLog::new(installation.file("edge.tsv"));
    log.write(100);
    let length = fs::metadata(&log.path).unwrap().len();
    let url = server.url();
    let edge = ["ship", "--cdn", "level3", "--edge", "edge-2", "--file", "edge.tsv", "--url", &url];
    let ship = [&edge[..], &["--key", "env:TEST_EDGE_KEY"]].concat();
    let mut terminal = Terminal::start(&installation, &ship);
    let progress = format!("{} KiB shipped, up to offset {length}", length.div_ceil(1024));
    terminal.wait_for(&progress);
    assert!(!terminal.seen.contains('\n'), "one line that is written over: {}", terminal.seen);
    terminal.child.signal(Signal::INT);
    assert_eq!(terminal.exit_code(), Some(0));
}
