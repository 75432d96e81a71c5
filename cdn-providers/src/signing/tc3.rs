//! TC3-HMAC-SHA256, the signature of Tencent Cloud's API.

use chrono::{DateTime, Utc};

use super::{AccessKey, hmac, sha256_hex};

/// Name of the scheme, which its header begins with.
const SCHEME: &str = "TC3-HMAC-SHA256";

/// Call to be signed: a POST to `/` without a query.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what the scheme signs, which does not change")]
pub struct Call<'a> {
    /// Service name, such as `cdn`.
    pub service: &'a str,
    /// Value of the `Host` header, with the port where it is not the default one.
    pub host: &'a str,
    /// Value of `X-TC-Action`, if it is to be signed. Otherwise two actions with equal bodies have equal signatures.
    pub action: Option<&'a str>,
    /// Value of `Content-Type`.
    pub content_type: &'a str,
    /// Moment of the request, which `X-TC-Timestamp` has in seconds. The vendor refuses one that is 5 minutes off.
    pub at: DateTime<Utc>,
    /// Body as it is sent.
    pub body: &'a [u8],
}

impl Call<'_> {
    /// Returns the value of the `Authorization` header.
    pub fn authorization(&self, key: &AccessKey) -> String {
        let date = self.date();
        let scope = format!("{date}/{}/tc3_request", self.service);
        let canonical = sha256_hex(self.canonical_request().as_bytes());
        let text = format!("{SCHEME}\n{}\n{scope}\n{canonical}", self.at.timestamp());
        let signature = hex::encode(hmac(&self.signing_key(key), &text));
        let (id, names) = (&key.id, self.signed_headers());
        format!("{SCHEME} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }

    fn date(&self) -> String {
        self.at.format("%Y-%m-%d").to_string()
    }

    fn signed_headers(&self) -> &'static str {
        if self.action.is_some() { "content-type;host;x-tc-action" } else { "content-type;host" }
    }

    fn canonical_request(&self) -> String {
        let mut headers = format!("content-type:{}\nhost:{}\n", self.content_type, self.host);
        if let Some(action) = self.action {
            headers = format!("{headers}x-tc-action:{action}\n");
        }
        // The scheme lowers the values, too.
        let headers = headers.to_lowercase();
        format!("POST\n/\n\n{headers}\n{}\n{}", self.signed_headers(), sha256_hex(self.body))
    }

    fn signing_key(&self, key: &AccessKey) -> Vec<u8> {
        let date = hmac(format!("TC3{}", key.secret).as_bytes(), &self.date());
        hmac(&hmac(&date, self.service), "tc3_request")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Body of the published vectors; the escapes are six characters each.
    const INSTANCES: &str =
        r#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#;
    /// Body of a purge that the Python SDK sent.
    const PURGE: &str =
        r#"{"Urls": ["https://a.example.com/1.jpg", "https://a.example.com/\u4e2d\u6587 2.jpg?x=1&y=2"]}"#;

    fn published(action: Option<&'static str>) -> Call<'static> {
        Call {
            service: "cvm",
            host: "cvm.tencentcloudapi.com",
            action,
            content_type: "application/json; charset=utf-8",
            at: DateTime::from_timestamp(1_551_113_065, 0).unwrap(),
            body: INSTANCES.as_bytes(),
        }
    }

    fn of_sdk(action: Option<&'static str>, body: &'static str) -> Call<'static> {
        Call {
            service: "cdn",
            host: "cdn.tencentcloudapi.com",
            action,
            content_type: "application/json",
            at: DateTime::from_timestamp(1_785_000_000, 0).unwrap(),
            body: body.as_bytes(),
        }
    }

    fn signature(call: Call<'_>, key: &AccessKey) -> String {
        let header = call.authorization(key);
        header.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    fn canonical(call: Call<'_>) -> String {
        sha256_hex(call.canonical_request().as_bytes())
    }

    #[test]
    fn the_published_vectors_are_reproduced() {
        let (call, key) = (published(None), AccessKey::new("AKID", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"));
        assert_eq!(canonical(call), "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031");
        assert_eq!(signature(call, &key), "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168");
        let (call, key) =
            (published(Some("DescribeInstances")), AccessKey::new("AKID", "*".repeat(32).as_str()));
        assert_eq!(canonical(call), "7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84");
        assert_eq!(
            hex::encode(call.signing_key(&key)),
            "b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af"
        );
        assert_eq!(
            call.authorization(&key),
            "TC3-HMAC-SHA256 Credential=AKID/2019-02-25/cvm/tc3_request, \
             SignedHeaders=content-type;host;x-tc-action, \
             Signature=10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f"
        );
    }

    #[test]
    fn requests_of_the_official_sdk_are_reproduced() {
        let key = AccessKey::new("AKIDEXAMPLEEXAMPLEEXAMPLE", "ExampleSecretKeyExampleSecretKey");
        let tasks = r#"{"TaskId": "1533045796-i60rfmzm", "Offset": 0, "Limit": 100}"#;
        for (body, expected) in [
            (PURGE, "6f159195acad093a181f8a3655ca8b5b780d1f2b68e70d3035c8609ab3edda03"),
            ("{}", "411a7a678d99d0eb463b3f158ee3183a0281141dca9532259be061c33f13b18b"),
            (tasks, "1c8ea46da53ebb687772eb8e40f66521f97d58b93e801d6159c2b4c4904600ca"),
        ] {
            assert_eq!(signature(of_sdk(None, body), &key), expected, "{body}");
        }
        assert_eq!(
            canonical(of_sdk(None, PURGE)),
            "b42feceda6a07759b2386d5b0875318e961dd27f15775727e89dfdaf927ee57d"
        );
        assert_eq!(
            canonical(of_sdk(None, "{}")),
            "1fc45f116267dbb5f3712f7e0f9123a5225c158644774154a017c5c87a0ef8f9"
        );
        let call = of_sdk(Some("PurgeUrlsCache"), PURGE);
        assert_eq!(canonical(call), "07bf1ec6e2ff919f031f57ce74445aa0bdb3ad521a22852ef29d84bf74628545");
        assert_eq!(signature(call, &key), "788feac6c6e9ee17c102a0833f5c6b3cdc27ddf7624e1d95dba38cb723fc0934");
    }
}
