//! Figures as people read them: decimal prefixes and percent.

use std::borrow::Borrow;

use pilothouse_core::cdn::AlarmKind;

/// Number with a decimal prefix, to two places.
pub(crate) fn scaled(value: impl Borrow<i64>, unit: &str) -> String {
    const PREFIXES: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let value = *value.borrow();
    let (mut at, mut size) = (0, 1_i64);
    while value / size >= 1000 && at + 1 < PREFIXES.len() {
        size *= 1000;
        at += 1;
    }
    if at == 0 {
        return format!("{value} {unit}");
    }
    let hundredths = i128::from(value) * 100 / i128::from(size);
    format!("{}.{:02} {}{unit}", hundredths / 100, hundredths % 100, PREFIXES[at])
}

/// A part in percent of a whole, to one place; nothing without a whole.
pub(crate) fn percent(part: impl Borrow<i64>, whole: impl Borrow<i64>) -> String {
    let (part, whole) = (*part.borrow(), *whole.borrow());
    if whole <= 0 {
        return "–".to_owned();
    }
    let tenths = i128::from(part) * 1000 / i128::from(whole);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Millionths in percent, without needless zeros: what a field of a form takes.
pub(crate) fn millionths_in_percent(millionths: i64) -> String {
    let text = format!("{}.{:04}", millionths / 10_000, millionths % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Threshold or value of an alarm in its unit; nothing of an edge's.
pub(crate) fn of_alarm(kind: AlarmKind, value: Option<i64>) -> String {
    match value {
        Some(millionths) if kind.is_share() => format!("{} %", millionths_in_percent(millionths)),
        Some(bits) => scaled(bits, "bit/s"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(scaled(999, "B"), "999 B");
        assert_eq!(scaled(412_700_000, "bit/s"), "412.70 Mbit/s");
        assert_eq!(percent(2, 3), "66.6 %");
        assert_eq!(percent(0, 0), "–");
        assert_eq!(millionths_in_percent(50_000), "5");
        assert_eq!(millionths_in_percent(955_500), "95.55");
        assert_eq!(of_alarm(AlarmKind::HitRatio, Some(900_000)), "90 %");
        assert_eq!(of_alarm(AlarmKind::Bandwidth, Some(1_500)), "1.50 kbit/s");
        assert_eq!(of_alarm(AlarmKind::LogGap, None), "");
    }
}
