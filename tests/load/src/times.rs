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
