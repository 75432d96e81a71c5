//! How fast configuration arrives at many nodes.
//!
//! Needs `wrk` for reads and `strace` to count reads of the database; with `--nacos` it measures r-nacos beside it.
//! `server/benches/delivery` builds and runs it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::http::{Connection, Result};
use crate::nacos::Nacos;
use crate::reads::Read;
use crate::server::{APP, Published, Publisher, Server, busy, memory};
use crate::watchers::{Heard, MARK, Tell, Watchers, register};
use crate::{nacos, reads, times, watchers};

/// How often each kind of read is measured; the median is shown.
const ROUNDS: usize = 3;
/// How long a server is left alone before its memory is looked at.
const REST: Duration = Duration::from_secs(3);

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
    /// The program r-nacos, to measure beside
    #[arg(long)]
    nacos: Option<PathBuf>,
}

/// Measures it, and prints what was measured.
pub(crate) async fn measure(args: Args) -> Result<()> {
    if args.seconds > 0 {
        reading(&args).await?;
    }
    for (at, count) in args.watchers.iter().enumerate() {
        watching(&args, *count, at + 1 == args.watchers.len()).await?;
        if let Some(program) = &args.nacos {
            watching_nacos(&args, program, *count).await?;
        }
    }
    Ok(())
}

fn value(args: &Args, number: usize) -> String {
    format!("{:x<width$}", format!("{MARK}{number}."), width = args.value)
}

async fn reading(args: &Args) -> Result<()> {
    let seconds = args.seconds;
    println!("== reads, 64 connections, {ROUNDS} times {seconds} s each, a value of {} bytes", args.value);
    let server = Server::start(&args.program, "").await?;
    let reads = reads::prepare(&server, &value(args, 0)).await?;
    let nacos = match &args.nacos {
        Some(program) => Some(Nacos::start(program, &value(args, 0)).await?),
        None => None,
    };
    let beside = Read::open("r-nacos, /cs/configs", nacos::target());
    let mut all: Vec<_> = reads.iter().map(|read| (server.address, server.id(), read)).collect();
    all.extend(nacos.iter().map(|nacos| (nacos.address, nacos.id(), &beside)));
    // By turns, so that all of them meet what else the machine does.
    let mut rates = vec![Vec::new(); all.len()];
    let mut costs = rates.clone();
    for _ in 0..ROUNDS {
        for (at, (address, process, read)) in all.iter().enumerate() {
            let before = busy(*process)?;
            let rate = reads::measure(*address, read, seconds).await?;
            let busy = busy(*process)?.saturating_sub(before);
            rates[at].push(rate);
            costs[at].push(busy.as_secs_f64() * 1e6 / (rate * Duration::from_secs(seconds).as_secs_f64()));
        }
    }
    let medians = |each: Vec<Vec<f64>>| each.into_iter().map(median).collect::<Vec<_>>();
    let (rates, costs) = (medians(rates), medians(costs));
    for ((_, _, read), (rate, cost)) in all.iter().zip(rates.iter().zip(&costs)) {
        let compared = match (&nacos, rates.last(), costs.last()) {
            (Some(_), Some(rates), Some(costs)) => {
                format!("; {:.2} × the rate of r-nacos, {:.2} × its cost", rate / rates, cost / costs)
            }
            _ => String::new(),
        };
        println!("   {:26} {rate:7.0} a second, {cost:4.1} µs of processor each{compared}", read.name);
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

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
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
    let (address, key) = (server.address, Arc::<str>::from(key));
    let open = |number, tell| watchers::watch(address, key.clone(), number, tell);
    let watchers = opened(server.id(), count, open).await?;

    // The server closes connections that are idle for long.
    publisher.connection = server.login().await?;
    let (mut times, before) = (Times::default(), busy(server.id())?);
    for number in 1..=args.publishes {
        let published = publisher.publish(APP, &value(args, number)).await?;
        times.add(published, watchers.heard(number).await?);
        sleep(pause(count)).await;
    }
    times.show();
    times::show_busy("each", busy(server.id())?.saturating_sub(before), args.publishes);
    if crash {
        crashing(args, &mut server, publisher, &watchers).await?;
    }
    Ok(())
}

async fn watching_nacos(args: &Args, program: &Path, count: usize) -> Result<()> {
    println!("== r-nacos, {count} watchers, {} publishes of {} bytes", args.publishes, args.value);
    let nacos = Nacos::start(program, &value(args, 0)).await?;
    let address = nacos.address;
    let watchers = opened(nacos.id(), count, |number, tell| nacos::watch(address, number, tell)).await?;
    let (mut times, before) = (Times::default(), busy(nacos.id())?);
    for number in 1..=args.publishes {
        let mut connection = Connection::open(address, "").await?;
        let published = nacos::publish(&mut connection, &value(args, number)).await?;
        times.add(published, watchers.heard(number).await?);
        sleep(pause(count)).await;
    }
    times.show();
    times::show_busy("each", busy(nacos.id())?.saturating_sub(before), args.publishes);
    Ok(())
}

/// Opens watchers, and says how much memory one takes of the process they watch.
async fn opened<T>(process: u32, count: usize, watch: impl Fn(usize, Tell) -> T) -> Result<Watchers>
where
    T: Future<Output = ()> + Send + 'static,
{
    sleep(REST).await;
    let without = memory(process)?;
    let begun = Instant::now();
    let watchers = Watchers::open(count, watch);
    watchers.opened().await?;
    println!("   connected in {:.1} s", begun.elapsed().as_secs_f64());
    sleep(REST).await;
    watchers.forget();
    let each = (memory(process)? - without) / 1024.0 / f64::from(u32::try_from(count)?);
    println!("   memory of an idle watcher: {each:.1} KiB");
    Ok(watchers)
}

/// After a publish until the next: longer than the server's own interval of writing down what it sent, and than watchers
/// that poll need to be back.
fn pause(count: usize) -> Duration {
    Duration::from_millis(300 + count as u64 / 10)
}

/// Until the slowest watcher has the value.
#[derive(Debug, Default)]
struct Times {
    to_signal: Vec<Duration>,
    from_asked: Vec<Duration>,
    from_first: Vec<Duration>,
    from_answered: Vec<Duration>,
}

impl Times {
    fn add(&mut self, published: Published, heard: Heard) {
        self.to_signal.push(heard.signalled - published.asked);
        self.from_asked.push(heard.last - published.asked);
        self.from_first.push(heard.last - heard.first);
        self.from_answered.push(heard.last.saturating_duration_since(published.answered));
    }

    fn show(mut self) {
        times::head("until the slowest watcher has the value");
        times::show("from the request to publish", &mut self.from_asked);
        times::show("from the first watcher", &mut self.from_first);
        times::show("from the answer", &mut self.from_answered);
        times::show("only the signal, from the request", &mut self.to_signal);
    }
}

async fn crashing(
    args: &Args,
    server: &mut Server,
    mut publisher: Publisher,
    watchers: &Watchers,
) -> Result<()> {
    sleep(REST).await;
    watchers.forget();
    let killed = Instant::now();
    server.kill9();
    server.again().await?;
    let ready = killed.elapsed();
    let values = watchers.opened().await?;
    let back = killed.elapsed();
    sleep(REST).await;
    let sent = values + watchers.forget();
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
