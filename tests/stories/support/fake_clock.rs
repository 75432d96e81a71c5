//! Fake clock: the wall clock of programs, set by a test while they run. Their monotonic clock is the real one.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pilothouse_test_support::skip_test;

use super::installation::{chmod, faketime};

/// Clock of programs that were started with it. A server or an agent is started anew with the clock as it is then.
#[derive(Clone, Debug)]
pub(crate) struct FakeClock {
    library: PathBuf,
    file: PathBuf,
}

impl FakeClock {
    /// A clock that is right until it is set, kept in a file of this folder; without libfaketime the test is left out.
    pub(crate) fn new_or_skip(test: &str, folder: &Path, name: &str) -> Option<Self> {
        let Some(library) = faketime() else {
            skip_test(test, "libfaketime is not installed");
            return None;
        };
        let clock = Self { library, file: folder.join(name) };
        clock.set(0);
        Some(clock)
    }

    /// Sets it so many seconds ahead, or back. Programs that run see it within a second.
    pub(crate) fn set(&self, seconds: i64) {
        let written = self.file.with_extension("new");
        fs::write(&written, format!("{seconds:+}\n")).unwrap();
        chmod(&written, 0o644);
        fs::rename(written, &self.file).unwrap();
    }

    /// Starts a program with this clock.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.envs(self.variables());
    }

    /// Environment of a program with this clock. The times of files stay the real ones. The file is read again in every whole
    /// second: a duration of 1 would be every other.
    fn variables(&self) -> [(&'static str, OsString); 5] {
        [
            ("LD_PRELOAD", self.library.clone().into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_CACHE_DURATION", "0".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
        ]
    }

    /// Arguments of `env` that start a program with this clock: it must not change its user any more, since the library shares
    /// memory with what the first process becomes.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> {
        self.variables().into_iter().map(|(name, value)| {
            let mut argument = OsString::from(format!("{name}="));
            argument.push(value);
            argument
        })
    }

    /// Removes what the library keeps of a process that was killed, and that one of another user with its number would stumble
    /// over.
    pub(crate) fn forget(process: u32) {
        for name in ["faketime_shm_", "sem.faketime_sem_"] {
            // Most processes had no clock of a test.
            let _ = fs::remove_file(format!("/dev/shm/{name}{process}"));
        }
    }
}
