//! Measures a real server on the same machine, with the program given: how fast configuration arrives at many nodes, and how
//! fast purges are confirmed by real edges. `server/benches` has a script for each, which builds and runs it.

mod delivery;
mod edges;
mod http;
mod nacos;
mod origin;
mod reads;
mod server;
mod times;
mod watchers;

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::http::Result;

/// What to measure.
#[derive(Debug, Parser)]
enum Load {
    /// Configuration at many nodes
    Delivery(delivery::Args),
    /// Purges by real edges
    Edges(edges::Args),
}

fn main() -> Result<()> {
    let load = Load::parse();
    // The server inherits it.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    // One thread: the rest of the machine is the server's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match load {
            Load::Delivery(args) => delivery::measure(args).await,
            Load::Edges(args) => edges::measure(args).await,
        }
    })
}
