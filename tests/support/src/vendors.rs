use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use crate::FakeVendor;

/// Secrets of the accounts by the name of their vendor.
const SECRETS: [(&str, &str); 4] = [
    ("tencent", "ExampleSecretKeyExampleSecretKey"),
    ("alibaba", "ExampleAccessKeySecretExample1"),
    ("cloudflare", "ExampleCloudflareApiTokenExampleExample0"),
    ("cloudfront", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
];

/// Fakes of all four CDN vendors, each by the name of its cdn, which is that of its kind.
#[derive(Debug)]
pub struct FakeVendors(BTreeMap<&'static str, FakeVendor>);

impl FakeVendors {
    /// Domain that is on all four.
    pub const DOMAIN: &str = "a.example.com";

    /// Starts them, each with settings as a JSON object by its name; `None` skips the test because Python is not installed.
    ///
    /// # Panics
    /// When it is not installed but required, or a fake does not start.
    pub fn start_or_skip(test: &str, settings: impl Fn(&str) -> String) -> Option<Self> {
        let start = |(name, _)| Some((name, FakeVendor::start_or_skip(test, name, &settings(name))?));
        SECRETS.into_iter().map(start).collect::<Option<_>>().map(Self)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// The fake of this name.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, name: &str) -> &FakeVendor {
        &self.0[name]
    }

    /// The secret of an account.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn secret(name: &str) -> &'static str {
        SECRETS.into_iter().find(|(own, _)| *own == name).expect("a vendor's name").1
    }

    /// Settings of a server that has all four, Cloudflare under this plan. The secret of each is in a file of its name in the
    /// folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn settings(&self, folder: &Path, plan: &str) -> io::Result<String> {
        let mut settings = Vec::new();
        for (name, secret) in SECRETS {
            let file = |name: &str, text: &str| {
                let path = folder.join(name);
                fs::write(&path, text).map(|()| format!("\"file:{}\"", path.display()))
            };
            let (secret, url) = (file(name, secret)?, self.get(name).url());
            let members = match name {
                "tencent" => {
                    let id = file("tencent-id", "AKIDEXAMPLEEXAMPLEEXAMPLE")?;
                    format!("secret_id = {id}\nsecret_key = {secret}\n")
                }
                "alibaba" => {
                    let id = file("alibaba-id", "LTAIEXAMPLEEXAMPLE")?;
                    format!("access_key_id = {id}\naccess_key_secret = {secret}\n")
                }
                "cloudfront" => {
                    let id = file("cloudfront-id", "AKIAIOSFODNN7EXAMPLE")?;
                    format!(
                        "access_key_id = {id}\nsecret_access_key = {secret}\nmonitoring_endpoint = \"{url}\"\n\
                         s3_endpoint = \"{url}\"\n"
                    )
                }
                _ => format!("api_token = {secret}\nplan = \"{plan}\"\n"),
            };
            let cdn =
                format!("[[cdn]]\nname = \"{name}\"\nkind = \"{name}\"\nendpoint = \"{url}\"\n{members}");
            settings.push(cdn);
        }
        Ok(settings.concat())
    }
}
