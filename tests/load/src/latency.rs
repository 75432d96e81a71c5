//! Output of measurements: latency percentiles and processor time.

use std::time::Duration;

/// Prints the header line of the rows of [`print_percentiles`].
pub(crate) fn print_header(title: &str) {
    println!("   {title:40}   p50      p99      max  ms");
}

/// Prints the median, the 99th percentile and the maximum of latencies, in milliseconds.
pub(crate) fn print_percentiles(name: &str, latencies: &mut [Duration]) {
    let [median, most, last] = [50, 99, 100].map(|percent| percentile(latencies, percent));
    println!("   - {name:36} {median:8.1} {most:8.1} {last:8.1}");
}

/// Sorts latencies and returns a percentile of them in milliseconds.
pub(crate) fn percentile(latencies: &mut [Duration], percent: usize) -> f64 {
    latencies.sort_unstable();
    let rank = (latencies.len() * percent).div_ceil(100).max(1);
    latencies.get(rank - 1).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
}

/// Prints the server's processor time per operation.
pub(crate) fn print_cpu_time(operation: &str, total: Duration, count: usize) {
    let each = total / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    println!("   {:.1} ms of the server's processor time per {operation}", each.as_secs_f64() * 1000.0);
}
