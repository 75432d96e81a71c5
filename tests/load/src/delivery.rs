//! How fast configuration arrives at many nodes.
//!
//! Needs `wrk` for reads and `strace` to count reads of the database. `server/benches/delivery` builds and runs it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::http::Result;
use crate::server::{APP, Publisher, Server};
use crate::watchers::{MARK, Watchers, register};
use crate::{reads, times};

/// How long a server is left alone before its memory is looked at.
const REST: Duration = Duration::from_secs(3);
/// Between publishes: longer than the server's own interval of writing down what it sent.
const PAUSE: Duration = Duration::from_millis(300);

/// What is measured of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program to serve with
    #[arg(long)]
    program: PathBuf,
    /// How many nodes watch; one measurement for each number, the last with a crash of the server
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    watchers: Vec<usize>,
    /// How often something is published
    #[arg(long, default_value_t = 200)]
    publishes: usize,
    /// The length of the published values in bytes
    #[arg(long, default_value_t = 100)]
    value: usize,
    /// How long each kind of read is measured; 0 leaves them out
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// Measures it, and prints what was measured.
pub(crate) async fn measure(args: Args) -> Result<()> {
    if args.seconds > 0 {
        reading(&args).await?;
    }
    for (at, count) in args.watchers.iter().enumerate() {
        watching(&args, *count, at + 1 == args.watchers.len()).await?;
    }
    Ok(())
}

fn value(args: &Args, number: usize) -> String {
    format!("{:x<width$}", format!("{MARK}{number}."), width = args.value)
}

async fn reading(args: &Args) -> Result<()> {
    println!("== reads, 64 connections, {} s each, a value of {} bytes", args.seconds, args.value);
    let server = Server::start(&args.program, "").await?;
    let reads = reads::prepare(&server, &value(args, 0)).await?;
    for read in &reads {
        let rate = reads::measure(server.address, read, args.seconds).await?;
        println!("   {:26} {rate:9.0} a second", read.name);
    }
    let pause = async {
        sleep(Duration::from_secs(3)).await;
        Ok(())
    };
    let (idle, ()) = reads::file_reads(server.id(), pause).await?;
    for read in &reads {
        let (reading, rate) = reads::file_reads(server.id(), reads::measure(server.address, read, 3)).await?;
        let requests = rate * 3.0;
        println!(
            "   {:26} {reading} file reads and locks in {requests:.0} requests, {idle} without any",
            read.name
        );
    }
    Ok(())
}

async fn watching(args: &Args, count: usize, crash: bool) -> Result<()> {
    println!("== {count} watchers, {} publishes of {} bytes", args.publishes, args.value);
    let mut server = Server::start(&args.program, "").await?;
    let mut publisher = Publisher::new(&server, APP).await?;
    let key = publisher.app_key(APP).await?;
    publisher.publish(APP, &value(args, 0)).await?;
    let begun = Instant::now();
    register(server.address, &key, count).await?;
    println!("   registered in {:.1} s", begun.elapsed().as_secs_f64());
    sleep(REST).await;
    let without = server.memory()?;
    let begun = Instant::now();
    let mut watchers = Watchers::open(server.address, &key, count);
    let opened = watchers.opened().await?;
    println!("   connected in {:.1} s", (opened.last - begun).as_secs_f64());
    sleep(REST).await;
    watchers.forget();
    let nodes = f64::from(u32::try_from(count)?);
    let each = |memory: f64| (memory - without) / 1024.0 / nodes;
    println!("   memory of an idle watcher: {:.1} KiB", each(server.memory()?));

    // The server closes connections that are idle for long.
    publisher.connection = server.login().await?;
    let (mut from_asked, mut from_first, mut from_answered) = (Vec::new(), Vec::new(), Vec::new());
    for number in 1..=args.publishes {
        let published = publisher.publish(APP, &value(args, number)).await?;
        let heard = watchers.heard(number).await?;
        from_asked.push(heard.last - published.asked);
        from_first.push(heard.last - heard.first);
        from_answered.push(heard.last.saturating_duration_since(published.answered));
        sleep(PAUSE).await;
    }
    times::head("until the slowest watcher has the value");
    times::show("from the request to publish", &mut from_asked);
    times::show("from the first watcher", &mut from_first);
    times::show("from the answer", &mut from_answered);
    println!("   memory of a watcher after that: {:.1} KiB", each(server.memory()?));
    if crash {
        crashing(args, &mut server, publisher, &mut watchers).await?;
    }
    Ok(())
}

async fn crashing(
    args: &Args,
    server: &mut Server,
    mut publisher: Publisher,
    watchers: &mut Watchers,
) -> Result<()> {
    sleep(REST).await;
    watchers.forget();
    let killed = Instant::now();
    server.kill9();
    server.again().await?;
    let ready = killed.elapsed();
    let opened = watchers.opened().await?;
    let back = opened.last - killed;
    sleep(REST).await;
    let sent = opened.values + watchers.forget();
    let (ready, back) = (ready.as_secs_f64(), back.as_secs_f64());
    println!(
        "   kill -9 and start: ready after {ready:.2} s, all watchers back after {back:.2} s, {sent} values sent again"
    );
    // A new login: the old connection ended.
    publisher.connection = server.login().await?;
    let number = args.publishes + 1;
    let published = publisher.publish(APP, &value(args, number)).await?;
    let heard = watchers.heard(number).await?;
    let last = (heard.last - published.asked).as_secs_f64() * 1000.0;
    println!("   a publish after that reached all of them in {last:.0} ms");
    Ok(())
}
