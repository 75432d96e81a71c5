//! Apollo's request signature: HMAC-SHA1 over the time and the target, keyed with an app key.

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Greatest deviation of a client's clock, in milliseconds.
const SKEW: u64 = 60_000;

/// A signature as it was sent.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    timestamp: &'a str,
    signature: Vec<u8>,
    /// Targets that may have been signed: the whole one, or what follows the prefix the routers are nested under. Clients that
    /// are told an address with a path sign the one or the other.
    targets: [&'a str; 2],
}

/// Reason why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsigned {
    /// The signature is missing or unreadable.
    Missing,
    /// The client's clock and ours are more than a minute apart.
    Skewed,
}

impl<'a> Signature<'a> {
    /// Reads `Authorization: Apollo <appId>:<base64>` and `Timestamp` (milliseconds) of a request for `target`, path and
    /// query as they were sent.
    pub(super) fn read(
        [authorization, timestamp]: [Option<&'a HeaderValue>; 2],
        target: &'a str,
        prefix: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, Unsigned> {
        let text = |header: Option<&'a HeaderValue>| header.and_then(|value| value.to_str().ok());
        let sent = text(authorization).and_then(|value| value.strip_prefix("Apollo "));
        let (_app, signature) = sent.and_then(|sent| sent.rsplit_once(':')).ok_or(Unsigned::Missing)?;
        let signature = STANDARD.decode(signature).map_err(|_| Unsigned::Missing)?;
        let timestamp = text(timestamp).ok_or(Unsigned::Missing)?;
        let time: i64 = timestamp.parse().map_err(|_| Unsigned::Missing)?;
        if time.abs_diff(now.timestamp_millis()) >= SKEW {
            return Err(Unsigned::Skewed);
        }
        Ok(Self { timestamp, signature, targets: [target, target.strip_prefix(prefix).unwrap_or(target)] })
    }

    /// Whether it was made with this key, in a time that does not depend on where it differs.
    pub(super) fn is_of(&self, key: &str) -> bool {
        let Ok(mac) = Hmac::<Sha1>::new_from_slice(key.as_bytes()) else { return false };
        let fits = |target: &str| {
            let mac = mac.clone().chain_update(self.timestamp).chain_update("\n").chain_update(target);
            mac.verify_slice(&self.signature).is_ok()
        };
        fits(self.targets[0]) || self.targets[0] != self.targets[1] && fits(self.targets[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the reference implementation's published example.
    const KEY: &str = "df23df3f59884980844ff3dada30fa97";
    const TIME: &str = "1576478257344";
    const TARGET: &str = "/configs/100004458/default/application?ip=10.0.0.1";
    const SIGNED: &str = "EoKyziXvKqzHgwx+ijDJwgVTDgE=";

    fn sent(signature: &str, time: &str) -> [HeaderValue; 2] {
        [format!("Apollo 100004458:{signature}"), time.to_owned()].map(|text| text.parse().unwrap())
    }

    fn read<'a>(
        sent: &'a [HeaderValue; 2],
        target: &'a str,
        prefix: &str,
        now: DateTime<Utc>,
    ) -> Result<Signature<'a>, Unsigned> {
        Signature::read(sent.each_ref().map(Some), target, prefix, now)
    }

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(millis).unwrap()
    }

    #[test]
    fn the_published_example_fits_and_nothing_else() {
        let (target, now) = (TARGET, at(1_576_478_257_344));
        let good = sent(SIGNED, TIME);
        assert!(read(&good, target, "", now).unwrap().is_of(KEY));
        assert!(!read(&good, target, "", now).unwrap().is_of("another"));
        let other = "/configs/100004458/default/application?ip=10.0.0.2";
        assert!(!read(&good, other, "", now).unwrap().is_of(KEY));
        let later = sent(SIGNED, "1576478257345");
        assert!(!read(&later, target, "", now).unwrap().is_of(KEY));
    }

    #[test]
    fn under_a_prefix_either_target_may_be_signed() {
        let nested = format!("/apollo/dev{TARGET}");
        let (good, now) = (sent(SIGNED, TIME), at(1_576_478_257_344));
        assert!(read(&good, &nested, "/apollo/dev", now).unwrap().is_of(KEY));
        assert!(!read(&good, &nested, "", now).unwrap().is_of(KEY));
    }

    #[test]
    fn clocks_may_be_a_minute_apart() {
        let (target, good) = (TARGET, sent(SIGNED, TIME));
        for (millis, refused) in
            [(59_999, None), (60_000, Some(Unsigned::Skewed)), (-60_000, Some(Unsigned::Skewed))]
        {
            let read = read(&good, target, "", at(1_576_478_257_344 + millis));
            assert_eq!(read.err(), refused, "{millis}");
        }
        for bad in [sent("*", TIME), sent(SIGNED, "soon"), sent(SIGNED, "")] {
            assert_eq!(read(&bad, target, "", at(0)).unwrap_err(), Unsigned::Missing);
        }
        let [authorization, timestamp] = &good;
        for bad in [[None, None], [None, Some(timestamp)], [Some(authorization), None]] {
            assert_eq!(Signature::read(bad, target, "", at(0)).unwrap_err(), Unsigned::Missing);
        }
    }
}
