//! HTTP/1.1 with as little as it takes, so that the generator leaves the machine to the server.

use std::error::Error;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Whatever goes wrong ends the measurement.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What every request asks for.
pub(crate) const HOST: &str = "load";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its first line and headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> &str {
        self.head.get(9..12).unwrap_or_default()
    }

    /// A header's value; names are compared without regard to case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A connection that is used again and again.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    /// What every request carries besides: lines with CR LF.
    headers: String,
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr, headers: &str) -> Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::with_capacity(1024, stream), headers: headers.to_owned() })
    }

    /// Sends a request and does not wait for its answer.
    pub(crate) async fn send(&mut self, method: &str, target: &str, more: &str, body: &str) -> Result<()> {
        let (length, headers) = (body.len(), &self.headers);
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {length}\r\n{headers}{more}\r\n{body}"
        );
        Ok(self.stream.get_mut().write_all(request.as_bytes()).await?)
    }

    /// Reads a line, which is empty at the end of the connection.
    pub(crate) async fn line(&mut self, line: &mut String) -> Result<()> {
        line.clear();
        self.stream.read_line(line).await?;
        Ok(())
    }

    /// The first line and headers of the next answer.
    pub(crate) async fn head(&mut self) -> Result<String> {
        let (mut head, mut line) = (String::new(), String::new());
        loop {
            self.line(&mut line).await?;
            match &*line {
                "" => return Err("the connection ended".into()),
                "\r\n" => return Ok(head),
                line => head.push_str(line),
            }
        }
    }

    /// The next answer, which has a length.
    pub(crate) async fn answer(&mut self) -> Result<Answer> {
        let head = self.head().await?;
        let mut answer = Answer { head, body: String::new() };
        let length = answer.header("content-length").map_or(Ok(0), str::parse)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        answer.body = String::from_utf8(body)?;
        Ok(answer)
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        target: &str,
        more: &str,
        body: &str,
    ) -> Result<Answer> {
        self.send(method, target, more, body).await?;
        self.answer().await
    }

    /// Posts JSON and reads the `data` or `info` of the answer; anything but a success is an error.
    pub(crate) async fn post(&mut self, target: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
        let json = "content-type: application/json\r\n";
        let answer = self.call("POST", target, json, &body.to_string()).await?;
        let read: serde_json::Value = serde_json::from_str(&answer.body)?;
        if read["code"] != 0 && read["code"] != 200 {
            return Err(format!("{target}: {}", answer.body).into());
        }
        Ok(if read["data"].is_null() { read["info"].clone() } else { read["data"].clone() })
    }
}
