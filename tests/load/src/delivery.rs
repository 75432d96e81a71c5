//! Measurement of configuration delivery: read throughput, latency from publish to the slowest watcher, memory of an idle
//! watcher, and recovery after a crash.
//!
//! Needs `wrk` for the reads and `strace` to count file accesses; with `--nacos` it measures r-nacos for comparison.
//! `server/benches/delivery` builds and runs it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::http::{Connection, Result};
use crate::nacos::Nacos;
use crate::reads::ReadRequest;
use crate::server::{APP, PublishTime, Publisher, Server, cpu_time, resident_memory};
use crate::watchers::{Arrival, Recorder, VALUE_PREFIX, Watchers, register};
use crate::{latency, nacos, reads, watchers};

/// Number of measurements of each kind of read, of which the median is shown.
const ROUNDS: usize = 3;
/// Idle time before the memory of a server is read.
const SETTLE_TIME: Duration = Duration::from_secs(3);

/// Options of the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Program of the Pilothouse server
    #[arg(long)]
    program: PathBuf,
    /// Number of watching nodes; one measurement for each number, the last one with a crash of the server
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    watchers: Vec<usize>,
    /// Number of publishes
    #[arg(long, default_value_t = 200)]
    publishes: usize,
    /// Length of the published values in bytes
    #[arg(long, default_value_t = 100)]
    value: usize,
    /// Duration of each read measurement in seconds; 0 skips the reads
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Program of r-nacos, to measure for comparison
    #[arg(long)]
    nacos: Option<PathBuf>,
}

/// Runs the measurement and prints the results.
pub(crate) async fn measure(args: Args) -> Result<()> {
    if args.seconds > 0 {
        measure_reads(&args).await?;
    }
    for (at, count) in args.watchers.iter().enumerate() {
        measure_watchers(&args, *count, at + 1 == args.watchers.len()).await?;
        if let Some(program) = &args.nacos {
            measure_nacos_watchers(&args, program, *count).await?;
        }
    }
    Ok(())
}

/// Value with this number, padded to the configured length.
fn value(args: &Args, number: usize) -> String {
    format!("{:x<width$}", format!("{VALUE_PREFIX}{number}."), width = args.value)
}

async fn measure_reads(args: &Args) -> Result<()> {
    let seconds = args.seconds;
    println!("== reads, 64 connections, {ROUNDS} times {seconds} s each, a value of {} bytes", args.value);
    let server = Server::start(&args.program, "").await?;
    let reads = reads::prepare(&server, &value(args, 0)).await?;
    let nacos = match &args.nacos {
        Some(program) => Some(Nacos::start(program, &value(args, 0)).await?),
        None => None,
    };
    let nacos_read = ReadRequest::unauthenticated("r-nacos, /cs/configs", nacos::target());
    let mut all: Vec<_> = reads.iter().map(|read| (server.address, server.id(), read)).collect();
    all.extend(nacos.iter().map(|nacos| (nacos.address, nacos.id(), &nacos_read)));
    // In turns, so that other load on the machine affects all of them alike.
    let mut rates = vec![Vec::new(); all.len()];
    let mut costs = rates.clone();
    for _ in 0..ROUNDS {
        for (at, (address, process, read)) in all.iter().enumerate() {
            let before = cpu_time(*process)?;
            let rate = reads::measure(*address, read, seconds).await?;
            let cpu = cpu_time(*process)?.saturating_sub(before);
            rates[at].push(rate);
            costs[at].push(cpu.as_secs_f64() * 1e6 / (rate * Duration::from_secs(seconds).as_secs_f64()));
        }
    }
    let medians = |each: Vec<Vec<f64>>| each.into_iter().map(median).collect::<Vec<_>>();
    let (rates, costs) = (medians(rates), medians(costs));
    for ((_, _, read), (rate, cost)) in all.iter().zip(rates.iter().zip(&costs)) {
        let compared = match (&nacos, rates.last(), costs.last()) {
            (Some(_), Some(rates), Some(costs)) => {
                format!(
                    "; {:.2} × the rate of r-nacos, {:.2} × its processor time",
                    rate / rates,
                    cost / costs
                )
            }
            _ => String::new(),
        };
        println!("   {:26} {rate:7.0} per second, {cost:4.1} µs of processor time each{compared}", read.name);
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
            "   {:26} {reading} file reads and locks during {requests:.0} requests, {idle} while idle",
            read.name
        );
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

async fn measure_watchers(args: &Args, count: usize, crash: bool) -> Result<()> {
    println!("== {count} watchers, {} publishes of {} bytes", args.publishes, args.value);
    let mut server = Server::start(&args.program, "").await?;
    let mut publisher = Publisher::new(&server, APP).await?;
    let key = publisher.app_key(APP).await?;
    publisher.publish(APP, &value(args, 0)).await?;
    let started = Instant::now();
    register(server.address, &key, count).await?;
    println!("   registered in {:.1} s", started.elapsed().as_secs_f64());
    let (address, key) = (server.address, Arc::<str>::from(key));
    let watch = |number, recorder| watchers::watch(address, key.clone(), number, recorder);
    let watchers = open_watchers(server.id(), count, watch).await?;

    // A new connection, because the server closes one that was idle for so long.
    publisher.connection = server.login().await?;
    let (mut latencies, before) = (Latencies::default(), cpu_time(server.id())?);
    for number in 1..=args.publishes {
        let published = publisher.publish(APP, &value(args, number)).await?;
        latencies.add(published, watchers.wait_for_value(number).await?);
        sleep(publish_interval(count)).await;
    }
    latencies.show();
    latency::print_cpu_time("publish", cpu_time(server.id())?.saturating_sub(before), args.publishes);
    if crash {
        measure_crash_recovery(args, &mut server, publisher, &watchers).await?;
    }
    Ok(())
}

async fn measure_nacos_watchers(args: &Args, program: &Path, count: usize) -> Result<()> {
    println!("== r-nacos, {count} watchers, {} publishes of {} bytes", args.publishes, args.value);
    let nacos = Nacos::start(program, &value(args, 0)).await?;
    let address = nacos.address;
    let watch = |number, recorder| nacos::watch(address, number, recorder);
    let watchers = open_watchers(nacos.id(), count, watch).await?;
    let (mut latencies, before) = (Latencies::default(), cpu_time(nacos.id())?);
    for number in 1..=args.publishes {
        let mut connection = Connection::open(address, "").await?;
        let published = nacos::publish(&mut connection, &value(args, number)).await?;
        latencies.add(published, watchers.wait_for_value(number).await?);
        sleep(publish_interval(count)).await;
    }
    latencies.show();
    latency::print_cpu_time("publish", cpu_time(nacos.id())?.saturating_sub(before), args.publishes);
    Ok(())
}

/// Starts watchers, waits until all are open, and prints the server's memory per watcher.
async fn open_watchers<T>(
    process: u32,
    count: usize,
    watch: impl Fn(usize, Recorder) -> T,
) -> Result<Watchers>
where
    T: Future<Output = ()> + Send + 'static,
{
    sleep(SETTLE_TIME).await;
    let without = resident_memory(process)?;
    let started = Instant::now();
    let watchers = Watchers::start(count, watch);
    watchers.wait_until_open().await?;
    println!("   connected in {:.1} s", started.elapsed().as_secs_f64());
    sleep(SETTLE_TIME).await;
    watchers.reset();
    let each = (resident_memory(process)? - without) / 1024.0 / f64::from(u32::try_from(count)?);
    println!("   memory of an idle watcher: {each:.1} KiB");
    Ok(watchers)
}

/// Pause between two publishes: longer than the interval at which the server flushes its delivery records, and than a long
/// polling watcher needs to reconnect.
fn publish_interval(count: usize) -> Duration {
    Duration::from_millis(300 + count as u64 / 10)
}

/// Latencies until the slowest watcher has received a value.
#[derive(Debug, Default)]
struct Latencies {
    /// From the publish request until the last watcher knows of the change.
    request_to_signal: Vec<Duration>,
    from_request: Vec<Duration>,
    from_first_watcher: Vec<Duration>,
    from_response: Vec<Duration>,
}

impl Latencies {
    fn add(&mut self, published: PublishTime, arrival: Arrival) {
        self.request_to_signal.push(arrival.signalled - published.requested);
        self.from_request.push(arrival.last - published.requested);
        self.from_first_watcher.push(arrival.last - arrival.first);
        self.from_response.push(arrival.last.saturating_duration_since(published.answered));
    }

    fn show(mut self) {
        latency::print_header("latency until the slowest watcher");
        latency::print_percentiles("from the publish request", &mut self.from_request);
        latency::print_percentiles("from the first watcher", &mut self.from_first_watcher);
        latency::print_percentiles("from the publish response", &mut self.from_response);
        latency::print_percentiles("signal only, from the request", &mut self.request_to_signal);
    }
}

async fn measure_crash_recovery(
    args: &Args,
    server: &mut Server,
    mut publisher: Publisher,
    watchers: &Watchers,
) -> Result<()> {
    sleep(SETTLE_TIME).await;
    watchers.reset();
    let killed = Instant::now();
    server.kill9();
    server.start_process().await?;
    let ready = killed.elapsed();
    let values = watchers.wait_until_open().await?;
    let reconnected = killed.elapsed();
    sleep(SETTLE_TIME).await;
    let sent = values + watchers.reset();
    let (ready, reconnected) = (ready.as_secs_f64(), reconnected.as_secs_f64());
    println!(
        "   kill -9 and restart: ready after {ready:.2} s, all watchers reconnected after {reconnected:.2} s"
    );
    println!("   {sent} values were sent again");
    // The crash has closed the publisher's connection.
    publisher.connection = server.login().await?;
    let number = args.publishes + 1;
    let published = publisher.publish(APP, &value(args, number)).await?;
    let arrival = watchers.wait_for_value(number).await?;
    let last = (arrival.last - published.requested).as_secs_f64() * 1000.0;
    println!("   the next publish reached all watchers in {last:.0} ms");
    Ok(())
}
