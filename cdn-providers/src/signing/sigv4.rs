//! AWS Signature Version 4, as CloudFront, CloudWatch and S3 check it.

use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::{AccessKey, QUERY, SignedHeaders, canonical_query, hmac, sha256_hex};

/// Name of the scheme, which its header begins with.
const SCHEME: &str = "AWS4-HMAC-SHA256";
/// Characters that stay as they are in a path.
const PATH: &AsciiSet = &QUERY.remove(b'/');
/// Text in place of the hash of the body in a presigned link.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Call to be signed.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what the scheme signs, which does not change")]
pub struct Call<'a> {
    /// Service name: `cloudfront`, `monitoring` or `s3`.
    pub service: &'a str,
    /// Region, such as `us-east-1`.
    pub region: &'a str,
    /// Moment of the request, which `x-amz-date` has. The services refuse one that is 15 minutes off.
    pub at: DateTime<Utc>,
    /// HTTP method in upper case.
    pub method: &'a str,
    /// Path as it is sent.
    pub path: &'a str,
    /// Query as [`super::canonical_query`] builds it, and as it is sent.
    pub query: &'a str,
    /// Headers that are signed, by names in lower case: `host`, every `x-amz-…` header that is sent.
    pub headers: &'a [(&'a str, &'a str)],
    /// Body as it is sent.
    pub body: &'a [u8],
}

/// Text of a moment as `x-amz-date` has it.
pub fn amz_date(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

/// Escapes a path, but for its slashes, as S3 has keys in URLs.
pub fn encode_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

impl Call<'_> {
    /// Returns the value of the `Authorization` header.
    pub fn authorization(&self, key: &AccessKey) -> String {
        let scope = self.scope();
        let signature = self.signature(key, &self.canonical_request(&sha256_hex(self.body)));
        let names = SignedHeaders::new(self.headers).names;
        format!("{SCHEME} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", key.id)
    }

    /// Returns the query of a link that works without a key for `seconds` from the call's moment. `query` and `headers` of the
    /// call are not used but for `host`.
    pub fn presigned_query(&self, key: &AccessKey, seconds: u32) -> String {
        let credential = format!("{}/{}", key.id, self.scope());
        let (date, seconds) = (amz_date(self.at), seconds.to_string());
        let parameters = [
            ("X-Amz-Algorithm", SCHEME),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &date),
            ("X-Amz-Expires", &seconds),
            ("X-Amz-SignedHeaders", "host"),
        ];
        let query = canonical_query(&parameters);
        let host: Vec<_> = self.headers.iter().copied().filter(|(name, _)| *name == "host").collect();
        let call = Call { query: &query, headers: &host, ..*self };
        let signature = call.signature(key, &call.canonical_request(UNSIGNED));
        format!("{query}&X-Amz-Signature={signature}")
    }

    fn date(&self) -> String {
        self.at.format("%Y%m%d").to_string()
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date(), self.region, self.service)
    }

    fn canonical_request(&self, body_hash: &str) -> String {
        // S3 signs the path as it is sent; the other services escape it once more.
        let path = match self.service {
            "s3" => self.path.to_owned(),
            _ => encode_path(self.path),
        };
        let SignedHeaders { lines, names } = SignedHeaders::new(self.headers);
        format!("{}\n{path}\n{}\n{lines}\n{names}\n{body_hash}", self.method, self.query)
    }

    fn signature(&self, key: &AccessKey, canonical_request: &str) -> String {
        let hash = sha256_hex(canonical_request.as_bytes());
        let text = format!("{SCHEME}\n{}\n{}\n{hash}", amz_date(self.at), self.scope());
        let date = hmac(format!("AWS4{}", key.secret).as_bytes(), &self.date());
        let service = hmac(&hmac(&date, self.region), self.service);
        hex::encode(hmac(&hmac(&service, "aws4_request"), &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "20260725T172000Z";
    const BATCH: &str = "<InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Paths>\
                         <Quantity>2</Quantity><Items><Path>/1.jpg</Path><Path>/dir/*</Path></Items></Paths>\
                         <CallerReference>pilothouse-42-0</CallerReference></InvalidationBatch>";
    const METRICS: &str = r#"{"MetricDataQueries": [{"Id": "m0", "MetricStat": {"Metric": {"Namespace": "AWS/CloudFront", "MetricName": "BytesDownloaded", "Dimensions": [{"Name": "DistributionId", "Value": "EDFDVBD6EXAMPLE"}, {"Name": "Region", "Value": "Global"}]}, "Period": 300, "Stat": "Sum"}}], "StartTime": 1784937600, "EndTime": 1785024000, "ScanBy": "TimestampAscending"}"#;

    fn key() -> AccessKey {
        AccessKey::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    }

    /// Call at the time of the vectors that the SDK made.
    fn call<'a>(service: &'a str, method: &'a str, path: &'a str) -> Call<'a> {
        let at = DateTime::from_timestamp(1_785_000_000, 0).unwrap();
        Call { service, region: "us-east-1", at, method, path, query: "", headers: &[], body: b"" }
    }

    fn canonical(call: Call<'_>) -> String {
        sha256_hex(call.canonical_request(&sha256_hex(call.body)).as_bytes())
    }

    fn signature(call: Call<'_>) -> String {
        call.authorization(&key()).rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn the_published_vector_is_reproduced() {
        let headers = [("x-amz-date", "20150830T123600Z"), ("host", "example.amazonaws.com")];
        let at = DateTime::from_timestamp(1_440_938_160, 0).unwrap();
        let call = Call { at, headers: &headers, ..call("service", "GET", "/") };
        assert_eq!(canonical(call), "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63");
        assert_eq!(
            call.authorization(&key()),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    #[test]
    fn invalidations_of_the_official_sdk_are_reproduced() {
        let path = "/2020-05-31/distribution/EDFDVBD6EXAMPLE/invalidation";
        let headers = [("host", "cloudfront.amazonaws.com"), ("x-amz-date", DATE)];
        let create = Call { headers: &headers, body: BATCH.as_bytes(), ..call("cloudfront", "POST", path) };
        assert_eq!(canonical(create), "049e6001eb18fe1af643c7d0b47fd3d52a3a44cf69c9386f038349d147594f65");
        assert_eq!(signature(create), "6596b72fec4e34f14bd85cc8832de62c71bae456a0aad1dd8a3ec5eebbedf6bf");
        let query = canonical_query(&[("MaxItems", "100"), ("Marker", "IDFDVBD632BHDS5")]);
        let list = Call { headers: &headers, query: &query, ..call("cloudfront", "GET", path) };
        assert_eq!(canonical(list), "e6cb6b079d8c19dce4dc47ad0736cd96abcd43bacd825c86fd5407d3182e5a76");
        assert_eq!(signature(list), "bf5c789fd061f539d9ffc0c569cce442e0ab37ef582f0d57af906d7a93abac7a");
    }

    #[test]
    fn metrics_of_the_official_sdk_are_reproduced() {
        let headers = [
            ("host", "monitoring.us-east-1.amazonaws.com"),
            ("x-amz-date", DATE),
            ("x-amzn-query-mode", "true"),
            ("x-amz-target", "GraniteServiceVersion20100801.GetMetricData"),
            ("content-type", "application/x-amz-json-1.0"),
        ];
        let call = Call { headers: &headers, body: METRICS.as_bytes(), ..call("monitoring", "POST", "/") };
        assert_eq!(signature(call), "28ef3c6924850202221d557be08d7dfd8dbcd08c2431d95ce3bc0ccbe5da2a52");
    }

    #[test]
    fn logs_are_listed_and_linked_as_the_official_sdk_does() {
        let host = ("host", "s3.us-east-1.amazonaws.com");
        let empty = sha256_hex(b"");
        let headers = [host, ("x-amz-date", DATE), ("x-amz-content-sha256", &empty)];
        let query = canonical_query(&[
            ("list-type", "2"),
            ("prefix", "cf/EDFDVBD6EXAMPLE.2026-07-25-"),
            ("encoding-type", "url"),
        ]);
        let list = Call { headers: &headers, query: &query, ..call("s3", "GET", "/cdn-logs-example") };
        assert_eq!(canonical(list), "2dace18aa8319f4b8be8338cd96c2dd1b514f3a66b5620dbc51b9ce61b35b441");
        assert_eq!(signature(list), "492d017afbfd9b6af34e9aa29d9537ecf7643fa4d0a7a1c9ac92c9fd658ed447");
        let path = "/cdn-logs-example/cf/EDFDVBD6EXAMPLE.2026-07-25-00.abcdef01.gz";
        let link = Call { headers: &headers, ..call("s3", "GET", path) }.presigned_query(&key(), 3600);
        assert_eq!(
            link.rsplit_once("X-Amz-Signature=").unwrap().1,
            "18306c35a219bfb054372e3037192d2860f4640f542afe630576a35ea51e354f"
        );
    }
}
