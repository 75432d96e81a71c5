//! Load generator: measures a real server on the same machine, as latency of configuration delivery to many nodes, of
//! sets of changes and lists of them, of purges on real edges and on vendors, of updates by many agents, of pages of the console, and of
//! reads beside a storm of log-ins. `server/benches` has a script for each, which builds and runs it.

mod agents;
mod bare;
mod console;
mod delivery;
mod edges;
mod http;
mod installed_agents;
mod latency;
mod nacos;
mod origin;
mod reads;
mod release_lists;
mod release_reads;
mod releases;
mod server;
mod storm;
mod tls;
mod update_agent;
mod vendor_limits;
mod vendors;
mod watchers;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::http::Result;

/// Command line of the load generator: one subcommand per measurement.
#[derive(Debug, Parser)]
enum Load {
    /// Measure orders to many agents, and downloads of their content
    Agents(agents::Args),
    /// Serve a task list without more, to measure beside
    Bare(bare::Args),
    /// Measure pages of the console
    Console(console::Args),
    /// Measure the delivery of configuration to many nodes
    Delivery(delivery::Args),
    /// Measure purges on real edges
    Edges(edges::Args),
    /// Measure releases: publishes of sets, memory of readers, and lists
    Releases(releases::Args),
    /// Measure reads during a storm of log-ins, and beside idle connections
    Storm(storm::Args),
    /// Measure purges on vendors, beside the time that their limits allow
    Vendors(vendors::Args),
}

fn main() -> Result<()> {
    let load = Load::parse();
    // Every watcher needs a file descriptor here and one in the server, which inherits the limit.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    let runtime = match load {
        Load::Bare(_) => tokio::runtime::Builder::new_multi_thread().enable_all().build()?,
        // A single thread, to leave the other processors to the server.
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    runtime.block_on(async {
        match load {
            Load::Agents(args) => agents::measure(args).await,
            Load::Bare(args) => bare::serve(args).await,
            Load::Console(args) => console::measure(args).await,
            Load::Delivery(args) => delivery::measure(args).await,
            Load::Edges(args) => edges::measure(args).await,
            Load::Releases(args) => releases::measure(args).await,
            Load::Storm(args) => storm::measure(args).await,
            Load::Vendors(args) => vendors::measure(args).await,
        }
    })
}
