#![doc = include_str!("../README.md")]

mod apply;
mod args;
mod authorities;
mod backup;
mod bucket_blobs;
mod check;
mod command;
mod compose;
mod connections;
mod console;
mod data_folder;
mod edge_config;
mod edge_logs;
mod environment;
mod failure;
mod folder_blobs;
mod folder_releases;
mod import;
mod ingest;
mod logging;
mod metrics;
mod object_storage;
mod process_metrics;
mod proxy;
mod repeated_lines;
mod restore;
mod running_hash;
mod serve;
mod service_manager;
mod settings;
mod ship;
mod terminal;
mod tls;
mod watch;
mod webhook;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::Failure;
use crate::settings::Settings;

/// Time limit of threads that wait for a disk at the end.
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
            // Nobody may read it any more; the exit status says the same.
            let _ = writeln!(std::io::stderr(), "pilothouse: {failure}");
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
    let _log = logging::start(settings.log_format);
    // Postgres and TLS share one provider; without a default one, the first use would have to guess.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed("the runtime", error))?;
    let done = runtime.block_on(async {
        match command {
            Command::Serve(serve) => serve::serve(settings, serve).await,
            Command::Worker => serve::work(settings).await,
            Command::Ship(options) => ship::ship(options).await,
            Command::Apply(options) => apply::apply(options).await,
            Command::Ingest(options) => command::ingest(settings, options).await,
            Command::ForgetLog(options) => command::forget_log(settings, options).await,
            // Boxed: it is large, and each of the others would take its room on the stack.
            Command::Import(options) => Box::pin(command::import(settings, options)).await,
            Command::Sync => command::sync(settings).await,
            Command::Migrate => command::migrate(settings).await,
            Command::CreateSuperuser(account) => command::create_superuser(settings, account).await,
            Command::Backup { file, keep } => backup::backup(settings, &file, keep).await,
            Command::Restore { file, replace } => restore::restore(settings, &file, replace).await,
            Command::RenewEpoch => restore::renew_epoch(settings).await,
            Command::Check => check::check(settings).await,
            Command::Watch(options) => watch::watch(settings, options).await,
            Command::Openapi | Command::EdgeConfig(_) => Ok(()),
        }
    });
    // A log that is just being read is safe to drop.
    runtime.shutdown_timeout(FAREWELL);
    done
}
