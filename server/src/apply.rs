//! `pilothouse apply`: makes profiles equal to a folder of files.

mod difference;
mod folder;
mod http_config_server;

use std::io::{IsTerminal, Write};

use crate::args::Apply;
use crate::failure::Failure;
use crate::terminal::print;
use difference::{changes, lines};
use folder::{FolderProfile, profiles};
use http_config_server::HttpConfigServer;

/// Makes every profile of the folder equal to its files, and prints what differed. All of it is tried before anything is
/// changed. With `--dry-run` nothing is, and a difference is exit status 3.
pub(crate) async fn apply(options: Apply) -> Result<(), Failure> {
    let server = HttpConfigServer::new(&options)?;
    let (folder, notes) = profiles(&options.folder)?;
    for note in notes {
        // Nobody may read it any more.
        let _ = writeln!(std::io::stderr(), "left out: {note}");
    }
    let mut progress = Progress::new(folder.len());
    let mut differing = Vec::new();
    let mut keys = 0;
    for profile in folder {
        progress.show("compared");
        let current = server.items(&profile).await?;
        let changes = changes(&profile, &current)?;
        if changes.is_empty() {
            continue;
        }
        let planned = server.apply(&profile, &changes, true).await?;
        progress.clear();
        for line in lines(&profile, &current, &changes) {
            print(&line)?;
        }
        planned.refuse_errors(&profile)?;
        keys += changes.len();
        differing.push((profile, changes));
    }
    progress.clear();
    if options.dry_run && keys > 0 {
        return Err(Failure::would_change(format!(
            "{keys} keys of {} profiles would change",
            differing.len()
        )));
    }
    let mut progress = Progress::new(differing.len());
    for (profile, changes) in &differing {
        progress.show("applied");
        let change_set = server.apply(profile, changes, false).await?.change_set;
        progress.clear();
        let FolderProfile { app, profile, .. } = profile;
        print(&format!("{app}/{profile}: change set {change_set}"))?;
    }
    if keys == 0 { print("nothing differs") } else { Ok(()) }
}

/// Progress on a terminal; elsewhere nothing is shown.
struct Progress {
    is_terminal: bool,
    done: usize,
    all: usize,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), done: 0, all }
    }

    /// Shows which profile is being worked on.
    fn show(&mut self, what: &str) {
        self.done += 1;
        if self.is_terminal {
            // A terminal that went away is no reason to stop.
            let _ = write!(std::io::stderr(), "\r\x1b[K{what}: profile {} of {}", self.done, self.all);
        }
    }

    /// Removes the progress from the terminal.
    fn clear(&self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
