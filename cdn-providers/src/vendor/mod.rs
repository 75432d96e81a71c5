//! What the providers of CDN vendors share: an HTTP client with limits, endpoints, the spelling of URLs, words for failures.
//!
//! A vendor's room has its requests and answers as pure functions, so that they are tested without a network; only the client
//! sends. Whoever adds a vendor builds a [`Request`], parses an [`Answer`], and maps the vendor's error codes to
//! [`ProviderError`].

#[cfg(any(feature = "tencent", feature = "alibaba"))]
mod china;
mod client;
#[cfg(any(feature = "tencent", feature = "alibaba"))]
mod details;
mod endpoint;
mod figures_from;
#[cfg(any(feature = "tencent", feature = "alibaba"))]
mod pace;
#[cfg(any(feature = "tencent", feature = "alibaba"))]
mod share;
mod spelling;

use chrono::{DateTime, Utc};
use pilothouse_core::ports::ProviderError;

#[cfg(feature = "tencent")]
pub(crate) use self::china::china;
#[cfg(any(feature = "tencent", feature = "alibaba"))]
pub(crate) use self::china::next_midnight;
pub(crate) use self::client::{Answer, Request, VendorClient};
#[cfg(any(feature = "tencent", feature = "alibaba"))]
pub(crate) use self::details::{Details, turn};
pub(crate) use self::endpoint::Endpoint;
pub use self::figures_from::FiguresFrom;
#[cfg(any(feature = "tencent", feature = "alibaba"))]
pub(crate) use self::pace::Pace;
#[cfg(any(feature = "tencent", feature = "alibaba"))]
pub(crate) use self::share::{check_share, whole_share};
pub(crate) use self::spelling::spelled;

/// Longest text of a vendor that is passed on, in characters.
const MAX_TEXT: usize = 200;

/// Reason of a failure with one of the vendor's codes. A vendor's message is left out, because it may quote the id of a key.
pub(crate) fn answered(code: &str) -> String {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let code: String = code.chars().filter(|c| known(*c)).take(MAX_TEXT).collect();
    format!("the vendor answered {code}")
}

/// Failure of an answer that is none of the vendor's documents, or is a failure of the vendor without words for it. What was
/// asked may have been done.
pub(crate) fn unreadable(status: u16) -> ProviderError {
    ProviderError::Ambiguous(format!("the vendor's answer with status {status} cannot be read"))
}

/// Failure of a call that only reads, where nothing can have been done twice.
pub(crate) fn of_reading(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::Ambiguous(reason) => ProviderError::Unavailable(reason),
        error => error,
    }
}

/// Words of a vendor about a task, on one line and not too long.
#[cfg(any(feature = "alibaba", feature = "tencent"))]
#[cfg(any(feature = "alibaba", test))]
pub(crate) fn words(text: &str) -> String {
    let words: Vec<_> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ").chars().take(MAX_TEXT).collect()
}

/// Locks what a provider remembers. A panic of another holder leaves it as it was.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// End of the last bucket of 5 minutes that has ended at a moment.
pub(crate) fn buckets_end(at: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = at.timestamp();
    DateTime::from_timestamp(seconds - seconds.rem_euclid(300), 0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_end_at_multiples_of_five_minutes() {
        for (at, end) in [("12:05:00Z", "12:05:00Z"), ("12:09:59.9Z", "12:05:00Z")] {
            let of = |time: &str| format!("2026-07-25T{time}").parse::<DateTime<Utc>>().unwrap();
            assert_eq!(buckets_end(of(at)), of(end));
        }
    }

    #[test]
    fn what_a_vendor_says_is_short_and_without_markup() {
        assert_eq!(answered("Invalid.<b>Path</b>\n"), "the vendor answered Invalid.bPathb");
        #[cfg(any(feature = "alibaba", feature = "tencent"))]
        assert_eq!(words("Origin\nReturn\u{7}  5XX"), "Origin Return 5XX");
        #[cfg(any(feature = "alibaba", feature = "tencent"))]
        assert_eq!(words(&"x".repeat(1000)).len(), MAX_TEXT);
    }

    #[test]
    fn a_lost_answer_matters_only_where_something_may_have_been_done() {
        let lost = ProviderError::Ambiguous("lost".to_owned());
        assert_eq!(of_reading(lost), ProviderError::Unavailable("lost".to_owned()));
        let refused = ProviderError::Refused("no".to_owned());
        assert_eq!(of_reading(refused.clone()), refused);
    }
}
