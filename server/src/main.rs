//! The Pilothouse server and its commands.
//!
//! `pilothouse` alone is `pilothouse serve`. Exit status: 0 done, 1 failed, 2 wrong usage or settings.

mod archive;
mod args;
mod command;
mod compose;
mod edge_config;
mod edge_logs;
mod failure;
mod folder;
mod follow;
mod ingest;
mod logging;
mod metrics;
mod prompt;
mod reader;
mod recorder;
mod serve;
mod settings;
mod terminal;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::settings::Settings;

/// How long threads that wait for a disk may go on at the end.
const FAREWELL: Duration = Duration::from_millis(500);

/// Gives back to the system what it no longer needs: the C library's keeps the 19 MiB of each password hash per thread.
/// Without huge pages, since thousands of connections have buffers that are hardly used: 17 KiB a watcher instead of 30.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("pilothouse: {failure}");
            failure.status()
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let command = args.command.unwrap_or_default();
    // These two need neither settings nor a store.
    let command = match command {
        Command::Openapi => return command::openapi(),
        Command::EdgeConfig(options) => return edge_config::edge_config(options),
        command => command,
    };
    let settings = Settings::load(args.settings)?;
    logging::start(settings.log_format);
    // Postgres and TLS share one provider; without a default one, the first use would have to guess.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed("the runtime", error))?;
    let done = runtime.block_on(async {
        match command {
            Command::Serve(serve) => serve::serve(settings, serve).await,
            Command::Worker => serve::work(settings).await,
            Command::Ingest(options) => command::ingest(settings, options).await,
            Command::Sync => command::sync(settings).await,
            Command::Migrate => command::migrate(settings).await,
            Command::CreateSuperuser(account) => command::create_superuser(settings, account).await,
            Command::Backup { file } => command::backup(settings, &file).await,
            Command::Watch(options) => watch::watch(settings, options).await,
            Command::Openapi | Command::EdgeConfig(_) => Ok(()),
        }
    });
    // A log that is just being read is safe to drop.
    runtime.shutdown_timeout(FAREWELL);
    done
}
