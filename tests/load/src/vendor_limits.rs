//! Limits of a vendor, and the time that they allow for a purge of many URLs.

use std::time::Duration;

use serde_json::Value;

/// Limits of one vendor's purges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct VendorLimits {
    /// URLs of a call.
    items: usize,
    /// Calls that a second brings, and that there may be at once.
    calls_per_second: f64,
    burst: f64,
    /// URLs that it works on at a time.
    in_flight: usize,
    /// Time of a task.
    task: f64,
}

impl VendorLimits {
    /// Limits of a fake by the name of its vendor, from its settings; `None` for others.
    pub(crate) fn of(name: &str, settings: &Value) -> Option<Self> {
        let number = |path: &str| settings.pointer(path)?.as_f64();
        let count = |path: &str| usize::try_from(settings.pointer(path)?.as_u64()?).ok();
        let task = number("/task_seconds")?;
        // The rates that are not among the settings are those of the fakes' code, by the second.
        Some(match name {
            "tencent" => Self {
                items: count("/batch/url")?,
                calls_per_second: 20.0,
                burst: 20.0,
                in_flight: usize::MAX,
                task,
            },
            "alibaba" => Self {
                items: count("/batch/file")?,
                calls_per_second: 50.0,
                burst: 50.0,
                in_flight: usize::MAX,
                task,
            },
            "cloudfront" => Self {
                items: count("/files_in_progress")?,
                calls_per_second: number("/create_rate/0")?,
                burst: number("/create_rate/1")?,
                in_flight: count("/files_in_progress")?,
                task,
            },
            "cloudflare" => Self {
                items: count("/purge_files")?,
                calls_per_second: number("/purge_rate/0")? / number("/purge_rate/1")?,
                burst: number("/purge_rate/2")?,
                in_flight: usize::MAX,
                // The answer is the end of it.
                task: 0.0,
            },
            _ => return None,
        })
    }

    /// Shortest time in which URLs can be purged within the limits, where every answer comes at once.
    pub(crate) fn allow(&self, urls: usize) -> Duration {
        let (mut now, mut tokens, mut left, mut end) = (0.0, self.burst, urls, 0.0_f64);
        // End and URLs of each call whose task is under way, in the order of their ends.
        let mut running: Vec<(f64, usize)> = Vec::new();
        while left > 0 {
            running.retain(|(end, _)| *end > now);
            let room = self.in_flight - running.iter().map(|(_, urls)| urls).sum::<usize>();
            let urls = self.items.min(room).min(left);
            let wait = match running.first() {
                Some((end, _)) if urls == 0 => end - now,
                _ => ((1.0 - tokens) / self.calls_per_second).max(0.0),
            };
            if wait > 0.0 {
                now += wait;
                tokens = (tokens + wait * self.calls_per_second).min(self.burst);
                // Rounding leaves less than a token.
                if urls > 0 {
                    tokens = tokens.max(1.0);
                }
                continue;
            }
            tokens -= 1.0;
            left -= urls;
            end = end.max(now + self.task);
            running.push((now + self.task, urls));
        }
        Duration::from_secs_f64(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_rate_tasks_and_what_is_in_flight() {
        let tasks = VendorLimits {
            items: 1000,
            calls_per_second: 20.0,
            burst: 20.0,
            in_flight: usize::MAX,
            task: 10.0,
        };
        assert_eq!(tasks.allow(10_000), Duration::from_secs(10), "ten calls at once");
        assert_eq!(tasks.allow(25_000), Duration::from_secs_f64(10.25), "five more than at once");
        let waves = VendorLimits { items: 3000, in_flight: 3000, ..tasks };
        assert_eq!(waves.allow(10_000), Duration::from_secs(40));
        let calls = VendorLimits { items: 100, calls_per_second: 5.0, burst: 25.0, task: 0.0, ..tasks };
        assert!(calls.allow(10_000).abs_diff(Duration::from_secs(15)) < Duration::from_millis(1));
        assert_eq!(calls.allow(2500), Duration::ZERO);
    }
}
