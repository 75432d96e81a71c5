//! The program: commands, crashes, shutdown, load.

mod backup;
mod campaign;
mod check;
mod clock;
mod commands;
mod console;
mod crash;
mod documented_clients;
mod every_family;
mod identity;
mod idle_connections;
mod import;
mod io_errors;
mod metrics;
mod overload;
mod power_loss;
mod requests;
mod restore;
mod service_manager;
mod shutdown;
mod stuck_stream;
mod terminal;
mod tls_reload;
mod unwritable_log;
mod webhooks;
