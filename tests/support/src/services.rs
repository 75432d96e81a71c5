use std::io::Write;

use crate::{EdgeProgram, Postgres};

/// Whether a missing service fails the test (`PILOTHOUSE_TEST_SERVICES=require`) instead of leaving it out.
pub fn services_required() -> bool {
    std::env::var_os("PILOTHOUSE_TEST_SERVICES").is_some_and(|value| value == "require")
}

/// Says on standard error that a test was left out, also when the test harness hides the output of passing tests.
///
/// # Panics
/// When services are required: nothing may be left out then.
pub fn leave_out(test: &str, reason: &str) {
    assert!(!services_required(), "{test}: {reason}, and PILOTHOUSE_TEST_SERVICES=require");
    // The harness captures `eprintln!`, not what is written to the stream itself. One write, so that lines of parallel
    // tests do not mix. Nobody can be told when even that fails.
    let _ = std::io::stderr().lock().write_all(format!("left out: {test}: {reason}\n").as_bytes());
}

/// The Postgres that this test process shares, or `None` (see [`leave_out`]) when Postgres is not installed.
///
/// # Panics
/// When Postgres is not installed but required, or is installed and does not start.
pub fn postgres_or_skip(test: &str) -> Option<&'static Postgres> {
    installed(test).then(Postgres::start)
}

/// A [`Postgres::durable`] for one test, or `None` (see [`leave_out`]) when Postgres is not installed.
///
/// # Panics
/// When Postgres is not installed but required, or is installed and does not start.
pub fn durable_postgres_or_skip(test: &str) -> Option<Postgres> {
    installed(test).then(Postgres::durable)
}

/// Whether every program of an edge is installed; where not, the test is left out (see [`leave_out`]).
///
/// # Panics
/// When one is not installed but required.
pub fn edges_or_skip(test: &str) -> bool {
    let missing = [EdgeProgram::Varnish, EdgeProgram::Nginx].into_iter().find(|one| !one.is_installed());
    if let Some(program) = missing {
        leave_out(test, &format!("{program:?} or a module of it is not installed"));
    }
    missing.is_none()
}

fn installed(test: &str) -> bool {
    let installed = Postgres::is_installed();
    if !installed {
        leave_out(test, "Postgres is not installed");
    }
    installed
}
