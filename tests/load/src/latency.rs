//! Output of measurements: latency percentiles and processor time.

use std::time::Duration;

/// Prints the header line of the rows of [`print_percentiles`].
pub(crate) fn print_header(title: &str) {
    println!("   {title:40}   p50      p99      max  ms");
}

/// Prints the median, the 99th percentile and the maximum of latencies, in milliseconds.
pub(crate) fn print_percentiles(name: &str, latencies: &mut [Duration]) {
    latencies.sort_unstable();
    let at = |percent: usize| {
        let rank = (latencies.len() * percent).div_ceil(100).max(1);
        latencies.get(rank - 1).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    };
    println!("   - {name:36} {:8.1} {:8.1} {:8.1}", at(50), at(99), at(100));
}

/// Prints the server's processor time per operation.
pub(crate) fn print_cpu_time(operation: &str, total: Duration, count: usize) {
    let each = total / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    println!("   {:.1} ms of the server's processor time per {operation}", each.as_secs_f64() * 1000.0);
}
