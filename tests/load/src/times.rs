//! Times as they are shown.

use std::time::Duration;

/// The line above those of [`show`].
pub(crate) fn head(what: &str) {
    println!("   {what:40}   p50      p99      max  ms");
}

/// The median, the 99th percentile and the maximum of times, in milliseconds.
pub(crate) fn show(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    };
    println!("   - {name:36} {:8.1} {:8.1} {:8.1}", at(50), at(99), at(100));
}

/// How long the server's processors were busy with each of that many.
pub(crate) fn show_busy(what: &str, busy: Duration, times: usize) {
    let each = busy / u32::try_from(times.max(1)).unwrap_or(u32::MAX);
    println!("   {what} kept the server's processors busy for {:.1} ms", each.as_secs_f64() * 1000.0);
}
