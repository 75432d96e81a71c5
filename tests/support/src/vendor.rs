use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{ProcessGuard, skip_test};

/// Time-out of one call that steers a fake.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Fake CDN vendor of `tests/vendors` on a port of 127.0.0.1. It ends with this value, and in any case with the test process,
/// whose end closes its standard input.
#[derive(Debug)]
pub struct FakeVendor {
    _process: ProcessGuard,
    url: String,
}

impl FakeVendor {
    /// Starts a fake by name (`tencent`, `alibaba`, `cloudflare`, `cloudfront`) with settings as a JSON object; `None` skips
    /// the test because Python is not installed.
    ///
    /// # Panics
    /// When it is not installed but required, or the fake does not start.
    pub fn start_or_skip(test: &str, name: &str, settings: &str) -> Option<Self> {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../vendors"));
        let mut command = Command::new("python3");
        command
            // Without it, Python would write its byte code beside the sources.
            .arg("-B")
            .arg(folder.join(format!("fake_{name}.py")))
            .args(["--set", settings])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let Ok(mut process) = ProcessGuard::spawn(&mut command) else {
            skip_test(test, "python3 is not installed");
            return None;
        };
        let stdout = process.child.stdout.take().expect("standard output is a pipe");
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url).expect("the fake prints its URL");
        let url = url.trim_end().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "the fake of {name} did not start");
        Some(Self { _process: process, url })
    }

    /// Base URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Changes settings and adds faults, as a JSON object.
    ///
    /// # Panics
    /// When the fake knows no such setting.
    pub fn set(&self, settings: &str) {
        self.call("POST", "set", settings);
    }

    /// What was called and made, as a JSON object with `calls`, `log`, `tasks`, `used`, `settings` and `faults`.
    ///
    /// # Panics
    /// When the fake does not answer.
    pub fn state(&self) -> String {
        self.call("GET", "state", "")
    }

    fn call(&self, method: &str, what: &str, body: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the fake listens");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a time-out can be set");
        let length = body.len();
        let request = format!(
            "{method} /_fake/{what} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("the fake reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the fake answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        assert!(head.starts_with("HTTP/1.1 200 "), "{method} {what} {body}");
        body.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fake_starts_is_steered_and_ends() {
        for name in ["tencent", "alibaba", "cloudflare", "cloudfront"] {
            let test = "every_fake_starts_is_steered_and_ends";
            let Some(fake) = FakeVendor::start_or_skip(test, name, r#"{"skew": 7}"#) else { return };
            assert!(fake.state().contains("\"skew\": 7"));
            fake.set(r#"{"skew": 8}"#);
            assert!(fake.state().contains("\"skew\": 8"));
            let address = fake.url().trim_start_matches("http://").to_owned();
            drop(fake);
            assert!(TcpStream::connect(address).is_err());
        }
    }
}
