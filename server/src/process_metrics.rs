//! Metrics of the process, under the names that Prometheus' own clients use. They are read from `/proc`, and missing where
//! there is none.

use std::fs;
use std::sync::OnceLock;

use metrics::{counter, gauge};
use rustix::process::{Resource, getrlimit};

/// Time that the kernel counts in, on every architecture that Rust runs on.
const TICKS_PER_SECOND: u64 = 100;

/// Start of the process in unix seconds. Kept: the kernel's time of the boot moves when the clock is set, and would look
/// like a restart.
static START: OnceLock<Option<f64>> = OnceLock::new();

/// Sets them as they are now.
#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers")]
pub(crate) fn observe() {
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        gauge!("process_max_fds").set(limit as f64);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder itself.
        gauge!("process_open_fds").set(files.count().saturating_sub(1) as f64);
    }
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let Some(stat) = Stat::read(&stat) else { return };
    counter!("process_cpu_seconds_total").absolute(stat.cpu_ticks / TICKS_PER_SECOND);
    gauge!("process_resident_memory_bytes")
        .set((stat.resident_pages * rustix::param::page_size() as u64) as f64);
    let start =
        START.get_or_init(|| Some(boot()? as f64 + stat.start_ticks as f64 / TICKS_PER_SECOND as f64));
    if let Some(start) = start {
        gauge!("process_start_time_seconds").set(*start);
    }
}

/// Time of the boot in unix seconds.
fn boot() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// Numbers of `/proc/self/stat`.
struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
    resident_pages: u64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The name of the program may hold blanks and brackets, so that fields are counted from its end.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self { cpu_ticks: field(14)? + field(15)?, start_ticks: field(22)?, resident_pages: field(24)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_from_the_end_of_the_name() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 8 0 7000 1000000 2500 18446744073709551615";
        let stat = Stat::read(text).unwrap();
        assert_eq!((stat.cpu_ticks, stat.start_ticks, stat.resident_pages), (200, 7000, 2500));
    }
}
