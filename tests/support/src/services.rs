use std::io::Write;

use crate::Postgres;

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

fn installed(test: &str) -> bool {
    let installed = Postgres::is_installed();
    if !installed {
        leave_out(test, "Postgres is not installed");
    }
    installed
}
