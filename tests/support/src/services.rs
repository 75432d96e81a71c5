use std::io::Write;
use std::path::PathBuf;

use crate::{EdgeProgram, Postgres};

/// Whether a missing service fails the test (`PILOTHOUSE_TEST_SERVICES=require`) instead of skipping it.
pub fn services_required() -> bool {
    std::env::var_os("PILOTHOUSE_TEST_SERVICES").is_some_and(|value| value == "require")
}

/// Reports on standard error that a test is skipped, even when the test harness captures the output of passing tests.
///
/// # Panics
/// When services are required, so that no test may be skipped.
pub fn skip_test(test: &str, reason: &str) {
    assert!(!services_required(), "{test}: {reason}, and PILOTHOUSE_TEST_SERVICES=require");
    // The harness captures `eprintln!`, but not direct writes to the stream. A single write keeps the lines of parallel tests
    // apart. An error of standard error itself cannot be reported.
    let _ = std::io::stderr().lock().write_all(format!("skipped: {test}: {reason}\n").as_bytes());
}

/// Returns the shared server of [`Postgres::start`], or skips the test with `None` when Postgres is not installed.
///
/// # Panics
/// When Postgres is not installed but required, or is installed and does not start.
pub fn postgres_or_skip(test: &str) -> Option<&'static Postgres> {
    is_postgres_installed_or_skip(test).then(Postgres::start)
}

/// Starts a [`Postgres::durable`] server, or skips the test with `None` when Postgres is not installed.
///
/// # Panics
/// When Postgres is not installed but required, or is installed and does not start.
pub fn durable_postgres_or_skip(test: &str) -> Option<Postgres> {
    is_postgres_installed_or_skip(test).then(Postgres::durable)
}

/// Whether the software of every kind of edge is installed; otherwise the test is skipped.
///
/// # Panics
/// When one is not installed but required.
pub fn edges_or_skip(test: &str) -> bool {
    let missing =
        [EdgeProgram::Varnish, EdgeProgram::Nginx].into_iter().find(|program| !program.is_installed());
    if let Some(program) = missing {
        skip_test(test, &format!("{program:?} or a module of it is not installed"));
    }
    missing.is_none()
}

/// Folder of Apollo's stock clients (`PILOTHOUSE_TEST_CLIENTS`, which `./test` sets), or `None` to skip the test when the
/// variable is not set.
///
/// # Panics
/// When they are not installed but required.
pub fn stock_clients_or_skip(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PILOTHOUSE_TEST_CLIENTS").map(PathBuf::from);
    if folder.is_none() {
        skip_test(test, "PILOTHOUSE_TEST_CLIENTS is not set to the folder of Apollo's clients");
    }
    folder
}

fn is_postgres_installed_or_skip(test: &str) -> bool {
    let installed = Postgres::is_installed();
    if !installed {
        skip_test(test, "Postgres is not installed");
    }
    installed
}
