//! Episodes: stretches of buckets in which a domain is beyond a threshold, each from its first such bucket to its last.
//!
//! An episode is over when three buckets in a row were in order, so that a value that swings about its threshold is one.

use super::alarm_row::AlarmKind;
use crate::cdn::traffic::Bucket;

/// Buckets in order that may follow a bucket of an episode without ending it, less than which a swing is no end: after three
/// of them it is over.
const QUIET: Bucket = 3;
/// Closed buckets that are looked at: an hour, so that lines which arrive so late still count.
pub(super) const WINDOW: Bucket = 12;

/// Stretch of buckets beyond a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Episode {
    /// First bucket beyond the threshold.
    pub(super) begun: Bucket,
    /// Last bucket beyond the threshold.
    pub(super) last: Bucket,
    /// Value that is furthest beyond it.
    pub(super) worst: i64,
}

impl Episode {
    /// Whether it is over when the next bucket to come is this one.
    fn is_over_before(&self, next: Bucket) -> bool {
        next - self.last > QUIET
    }
}

/// Values of consecutive buckets that are compared with a limit; `None` where a bucket says nothing and is in order.
#[derive(Debug)]
pub(super) struct Values<'a> {
    pub(super) kind: AlarmKind,
    pub(super) limit: i64,
    pub(super) first: Bucket,
    pub(super) values: &'a [Option<i64>],
}

/// Course of the episode of an open alarm, and the episodes after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Continued {
    /// The episode as it is now; `None` where the figures it was raised for are not there any more.
    pub(super) episode: Option<Episode>,
    /// Whether it is over.
    pub(super) is_over: bool,
    /// Episodes that began after it, each with whether it is over.
    pub(super) later: Vec<(Episode, bool)>,
}

impl Values<'_> {
    /// Bucket after the last.
    fn next(&self) -> Bucket {
        self.first + Bucket::try_from(self.values.len()).unwrap_or(WINDOW)
    }

    /// Episodes of the buckets from `floor` on, oldest first, each with whether it is over.
    pub(super) fn episodes(&self, floor: Bucket) -> Vec<(Episode, bool)> {
        self.with_ends(self.go_on(Vec::new(), floor))
    }

    /// Course of the episode of an open alarm.
    pub(super) fn go_on_with(&self, open: Episode) -> Continued {
        let is_in_sight = open.begun >= self.first;
        let mut before = Vec::new();
        if !is_in_sight {
            // Of what lies in sight, what is known now counts, and not what was known when it was looked at last.
            before.push(Episode { last: open.last.min(self.first - 1), ..open });
        }
        let mut episodes = self.with_ends(self.go_on(before, open.begun)).into_iter();
        let (episode, is_over) = episodes.next().map_or((None, true), |(now, is_over)| {
            let last = if now.last < self.first { open.last } else { now.last };
            (Some(Episode { begun: open.begun, last, ..now }), is_over)
        });
        Continued { episode, is_over, later: episodes.collect() }
    }

    fn go_on(&self, mut episodes: Vec<Episode>, floor: Bucket) -> Vec<Episode> {
        for (bucket, value) in (self.first..).zip(self.values) {
            let Some(value) = value.filter(|value| self.kind.exceeds(*value, self.limit)) else { continue };
            if bucket < floor {
                continue;
            }
            match episodes.last_mut().filter(|last| !last.is_over_before(bucket)) {
                Some(last) => {
                    last.last = bucket;
                    last.worst = self.kind.worse(last.worst, value);
                }
                None => episodes.push(Episode { begun: bucket, last: bucket, worst: value }),
            }
        }
        episodes
    }

    fn with_ends(&self, episodes: Vec<Episode>) -> Vec<(Episode, bool)> {
        let next = self.next();
        let last = episodes.len().saturating_sub(1);
        let ended = |(n, episode): (usize, Episode)| (episode, n < last || episode.is_over_before(next));
        episodes.into_iter().enumerate().map(ended).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Bucket = 100;

    fn with<T>(values: &[i64], query: impl FnOnce(Values<'_>) -> T) -> T {
        let values: Vec<_> = values.iter().map(|value| (*value >= 0).then_some(*value)).collect();
        query(Values { kind: AlarmKind::Bandwidth, limit: 10, first: FIRST, values: &values })
    }

    fn episode(begun: Bucket, last: Bucket, worst: i64) -> Episode {
        Episode { begun: FIRST + begun, last: FIRST + last, worst }
    }

    fn episodes(values: &[i64], floor: Bucket) -> Vec<(Episode, bool)> {
        with(values, |values| values.episodes(FIRST + floor))
    }

    #[test]
    fn three_buckets_in_order_end_an_episode() {
        assert_eq!(episodes(&[0, 10, 9], 0), []);
        assert_eq!(episodes(&[0, 11, 9, 10], 0), [(episode(1, 1, 11), false)]);
        assert_eq!(episodes(&[0, 11, 9, -1, 0], 0), [(episode(1, 1, 11), true)]);
        assert_eq!(episodes(&[11, 0, 0, 12, 0, 0], 0), [(episode(0, 3, 12), false)], "it swings");
        let two = [(episode(0, 0, 11), true), (episode(4, 5, 13), false)];
        assert_eq!(episodes(&[11, 0, 0, 0, 12, 13, 0], 0), two);
        assert_eq!(episodes(&[11, 0, 0, 0, 12, 13, 0], 1), two[1..], "the first was told");
    }

    #[test]
    fn a_hit_ratio_is_out_of_order_below_its_limit() {
        let values = [Some(900), None, Some(899), Some(100)];
        let values = Values { kind: AlarmKind::HitRatio, limit: 900, first: FIRST, values: &values };
        assert_eq!(values.episodes(0), [(episode(2, 3, 100), false)]);
    }

    fn go_on(values: &[i64], open: Episode) -> Continued {
        with(values, |values| values.go_on_with(open))
    }

    #[test]
    fn an_open_alarm_goes_on_with_what_is_known_now() {
        let later = Vec::new;
        let open = episode(1, 1, 11);
        let grown = Continued { episode: Some(episode(1, 3, 15)), is_over: false, later: later() };
        assert_eq!(go_on(&[99, 15, 0, 12], open), grown, "what lies before it does not matter");
        let ended = Continued { episode: Some(episode(1, 1, 11)), is_over: true, later: later() };
        assert_eq!(go_on(&[0, 11, 0, 0, 0], open), ended);
        let gone = Continued { episode: None, is_over: true, later: later() };
        assert_eq!(go_on(&[0, 10, 0], open), gone, "its figures were taken back, or the threshold raised");
        let two = Continued {
            episode: Some(episode(1, 1, 11)),
            is_over: true,
            later: vec![(episode(5, 5, 12), false)],
        };
        assert_eq!(go_on(&[0, 11, 0, 0, 0, 12], open), two);
    }

    #[test]
    fn an_alarm_that_began_before_the_hour_goes_on() {
        let open = episode(-9, -1, 20);
        let goes_on = Continued { episode: Some(episode(-9, 2, 20)), is_over: false, later: Vec::new() };
        assert_eq!(go_on(&[0, 0, 15, 0], open), goes_on);
        let ended = Continued { episode: Some(open), is_over: true, later: Vec::new() };
        assert_eq!(go_on(&[0, 0, 0, 0], open), ended);
        let long_ago = episode(-90, -80, 20);
        let later = vec![(episode(0, 0, 30), false)];
        let ended = Continued { episode: Some(long_ago), is_over: true, later };
        assert_eq!(go_on(&[30, 0], long_ago), ended, "nobody looked for hours");
    }
}
