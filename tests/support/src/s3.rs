use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{ProcessGuard, skip_test};

/// S3 server over a folder of its own, which refuses what is not signed with [`S3Server::SECRET_KEY`].
#[derive(Debug)]
pub struct S3Server {
    /// Port on 127.0.0.1.
    pub port: u16,
    folder: TempDir,
    _process: ProcessGuard,
}

impl S3Server {
    /// Access key that requests name.
    pub const ACCESS_KEY: &str = "pilothouse";
    /// Secret that requests are signed with.
    pub const SECRET_KEY: &str = "a secret of the tests";

    /// Starts the server that `./test` has built (in `PILOTHOUSE_TEST_CLIENTS`) with one empty bucket, or skips the test with
    /// `None` when the variable is not set.
    ///
    /// # Panics
    /// When it is not built but required, or does not start.
    pub fn start_or_skip(test: &str, bucket: &str) -> Option<Self> {
        let Some(programs) = std::env::var_os("PILOTHOUSE_TEST_CLIENTS") else {
            skip_test(test, "PILOTHOUSE_TEST_CLIENTS is not set to the folder with the S3 server");
            return None;
        };
        let program = PathBuf::from(programs).join("s3-server/debug/s3-server");
        let folder = TempDir::new().expect("a folder can be made");
        std::fs::create_dir(folder.path().join(bucket)).expect("a folder can be made");
        let mut command = Command::new(&program);
        command.arg(folder.path()).args(["127.0.0.1:0", Self::ACCESS_KEY, Self::SECRET_KEY]);
        command.stdout(Stdio::piped());
        let started = ProcessGuard::spawn(&mut command);
        let mut process = started.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut address = String::new();
        let output = process.child.stdout.take().expect("its output is a pipe");
        BufReader::new(output).read_line(&mut address).expect("the S3 server tells its address");
        let port = address.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("the S3 server does not start: {address:?}"));
        Some(Self { port, folder, _process: process })
    }

    /// File that an object is kept in; a key that ends in a slash names a folder of them.
    pub fn object(&self, bucket: &str, key: &str) -> PathBuf {
        self.folder.path().join(bucket).join(key)
    }
}
