//! ACS3-HMAC-SHA256, the signature of Alibaba Cloud's API.

use super::{AccessKey, SignedHeaders, hmac, sha256_hex};

/// Name of the scheme, which its header begins with.
const SCHEME: &str = "ACS3-HMAC-SHA256";

/// Call to be signed, with the path `/`.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what the scheme signs, which does not change")]
pub struct Call<'a> {
    /// HTTP method in upper case.
    pub method: &'a str,
    /// Query as [`super::canonical_query`] builds it, and as it is sent.
    pub query: &'a str,
    /// Headers that are signed, by names in lower case: `host`, every `x-acs-…` header that is sent, `content-type` where
    /// there is a body.
    pub headers: &'a [(&'a str, &'a str)],
    /// Body as it is sent.
    pub body: &'a [u8],
}

impl Call<'_> {
    /// Returns the value of the `Authorization` header.
    pub fn authorization(&self, key: &AccessKey) -> String {
        let text = format!("{SCHEME}\n{}", sha256_hex(self.canonical_request().as_bytes()));
        let signature = hex::encode(hmac(key.secret.as_bytes(), &text));
        let names = SignedHeaders::new(self.headers).names;
        // The vendor accepts no blanks behind the commas.
        format!("{SCHEME} Credential={},SignedHeaders={names},Signature={signature}", key.id)
    }

    fn canonical_request(&self) -> String {
        let SignedHeaders { lines, names } = SignedHeaders::new(self.headers);
        let body = sha256_hex(self.body);
        format!("{}\n/\n{}\n{lines}\n{names}\n{body}", self.method, self.query)
    }
}

#[cfg(test)]
mod tests {
    use super::super::canonical_query;
    use super::*;

    const SECRET: &str = "ExampleAccessKeySecretExample1";
    const FORM: &str = "ObjectPath=https%3A%2F%2Fa.example.com%2F1.jpg%0Ahttps%3A%2F%2Fa.example.com%2F\
                        %E4%B8%AD%E6%96%87+2.jpg%3Fx%3D1%26y%3D2&ObjectType=File";
    /// Headers that the Python SDK adds to those that must be signed.
    const OF_SDK: [(&str, &str); 3] = [
        ("accept", "application/json"),
        ("user-agent", "AlibabaCloud (Linux; x86_64) Python/3.11.7 Core/0.4.3 TeaDSL/2 x"),
        ("x-acs-credentials-provider", "static_ak"),
    ];

    /// Signature and hash of the canonical request of a CDN call at a fixed time.
    fn sign(action: &str, query: &str, body: &str, more: &[(&str, &str)]) -> (String, String) {
        let hash = sha256_hex(body.as_bytes());
        let mut headers = vec![
            ("host", "cdn.aliyuncs.com"),
            ("x-acs-action", action),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", "2026-07-25T17:20:00Z"),
            ("x-acs-signature-nonce", "0123456789abcdef0123456789abcdef"),
            ("x-acs-version", "2018-05-10"),
        ];
        if !body.is_empty() {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
        }
        headers.extend(more);
        let call = Call { method: "POST", query, headers: &headers, body: body.as_bytes() };
        let header = call.authorization(&AccessKey::new("LTAIEXAMPLEEXAMPLE", SECRET));
        let signature = header.rsplit_once("Signature=").unwrap().1.to_owned();
        (signature, sha256_hex(call.canonical_request().as_bytes()))
    }

    fn traffic_query() -> String {
        canonical_query(&[
            ("DomainName", "a.example.com"),
            ("StartTime", "2026-07-25T00:00:00Z"),
            ("EndTime", "2026-07-26T00:00:00Z"),
            ("Interval", "300"),
        ])
    }

    #[test]
    fn the_published_vector_is_reproduced() {
        let query = canonical_query(&[
            ("ImageId", "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"),
            ("RegionId", "cn-shanghai"),
        ]);
        let empty = sha256_hex(b"");
        let headers = [
            ("x-acs-version", "2014-05-26"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ("x-acs-content-sha256", &empty),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
        ];
        let call = Call { method: "POST", query: &query, headers: &headers, body: b"" };
        assert_eq!(
            sha256_hex(call.canonical_request().as_bytes()),
            "7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259"
        );
        assert_eq!(
            call.authorization(&AccessKey::new("YourAccessKeyId", "YourAccessKeySecret")),
            "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;\
             x-acs-date;x-acs-signature-nonce;x-acs-version,\
             Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
        );
    }

    #[test]
    fn requests_of_the_official_sdk_are_reproduced() {
        let push = canonical_query(&[("ObjectPath", "https://a.example.com/中文 2.jpg?x=1&y=~*")]);
        for (action, query, body, expected) in [
            (
                "RefreshObjectCaches",
                "",
                FORM,
                "e51c8789c00c401e978635c6942e4056b5c443a7d8fd63b4e47508e85b3c3e28",
            ),
            (
                "DescribeDomainTrafficData",
                &traffic_query(),
                "",
                "5bceb162b93aee733fce06841debe730aff78dbf5c7b94006f2cd0c076caeb5a",
            ),
            (
                "PushObjectCache",
                &push,
                "",
                "e40757b21971d02f54448e1fc8d9311c1529c52f2fffed438873fbfe6700c39b",
            ),
        ] {
            assert_eq!(sign(action, query, body, &OF_SDK).0, expected, "{action}");
        }
    }

    #[test]
    fn the_headers_that_must_be_signed_suffice() {
        let (signature, canonical) = sign("RefreshObjectCaches", "", FORM, &[]);
        assert_eq!(canonical, "09bf5477ac4246263a55f4a19005931312a9230709a3a97f2b331dc173438c12");
        assert_eq!(signature, "d71bbf467160fd4797dc46d0a8eaf20dd66f80edffdb0ea9f2109e582e048917");
        let (signature, canonical) = sign("DescribeDomainTrafficData", &traffic_query(), "", &[]);
        assert_eq!(canonical, "7333a0d280cca6c5dd6f5d197a3fa0cb48b4a965097f740176929bc9631a8802");
        assert_eq!(signature, "1578439c348cb62f446ca7aca08f8ace43c92dcb629148e3cba5e991ad7e9bc9");
    }
}
