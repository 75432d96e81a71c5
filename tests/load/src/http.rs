//! Minimal HTTP/1.1 client: it takes little processor time, so that the load generator leaves the machine to the server.

use std::error::Error;
use std::fmt::Debug;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::tls::Tls;

/// Result of a measurement step; any error ends the measurement.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// `Host` header of every request.
pub(crate) const HOST: &str = "load";

/// HTTP response.
#[derive(Debug)]
pub(crate) struct Response {
    /// Status line and headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn status(&self) -> &str {
        self.head.get(9..12).unwrap_or_default()
    }

    /// Value of a header; names are compared case-insensitively.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Byte stream of a connection: TCP, or TLS over it.
trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for S {}

/// Persistent connection to a server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    /// Headers of every request, each line with CR LF.
    headers: String,
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr, headers: &str) -> Result<Self> {
        Self::open_with(server, headers, None).await
    }

    /// Opens a connection, over TLS where it is given.
    pub(crate) async fn open_with(server: SocketAddr, headers: &str, tls: Option<&Tls>) -> Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match tls {
            Some(tls) => Box::new(tls.connect(stream).await?),
            None => Box::new(stream),
        };
        Ok(Self { stream: BufReader::with_capacity(1024, stream), headers: headers.to_owned() })
    }

    /// Sends a request without waiting for its response.
    pub(crate) async fn send(&mut self, method: &str, target: &str, more: &str, body: &str) -> Result<()> {
        let (length, headers) = (body.len(), &self.headers);
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {length}\r\n{headers}{more}\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        // TLS keeps a record back that the socket had no room for.
        Ok(self.stream.get_mut().flush().await?)
    }

    /// Reads a line; an empty one means that the connection was closed.
    pub(crate) async fn line(&mut self, line: &mut String) -> Result<()> {
        line.clear();
        self.stream.read_line(line).await?;
        Ok(())
    }

    /// Reads the status line and headers of the next response.
    pub(crate) async fn head(&mut self) -> Result<String> {
        let (mut head, mut line) = (String::new(), String::new());
        loop {
            self.line(&mut line).await?;
            match &*line {
                "" => return Err("the connection was closed".into()),
                "\r\n" => return Ok(head),
                line => head.push_str(line),
            }
        }
    }

    /// Reads the next response, by its `content-length`.
    pub(crate) async fn response(&mut self) -> Result<Response> {
        let head = self.head().await?;
        let mut response = Response { head, body: String::new() };
        let length = response.header("content-length").map_or(Ok(0), str::parse)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        response.body = String::from_utf8(body)?;
        Ok(response)
    }

    /// Gets a body of any kind, and forgets it; its length.
    pub(crate) async fn skip(&mut self, target: &str) -> Result<usize> {
        self.send("GET", target, "", "").await?;
        let response = Response { head: self.head().await?, body: String::new() };
        if response.status() != "200" {
            return Err(format!("{target}: {}", response.head).into());
        }
        let length = response.header("content-length").map_or(Ok(0), str::parse)?;
        self.stream.read_exact(&mut vec![0; length]).await?;
        Ok(length)
    }

    /// Sends a request and reads its response.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        target: &str,
        more: &str,
        body: &str,
    ) -> Result<Response> {
        self.send(method, target, more, body).await?;
        self.response().await
    }

    /// Gets a body that comes in chunks, and forgets it; its length.
    pub(crate) async fn download(&mut self, target: &str) -> Result<u64> {
        self.send("GET", target, "", "").await?;
        let head = self.head().await?;
        if !head.starts_with("HTTP/1.1 200") {
            return Err(format!("{target}: {head}").into());
        }
        let (mut length, mut line) = (0, String::new());
        let mut forgotten = tokio::io::sink();
        loop {
            self.line(&mut line).await?;
            let chunk = u64::from_str_radix(line.trim_end(), 16)?;
            tokio::io::copy_buf(&mut (&mut self.stream).take(chunk), &mut forgotten).await?;
            self.line(&mut line).await?;
            if chunk == 0 {
                return Ok(length);
            }
            length += chunk;
        }
    }

    /// Posts JSON and returns the `data` or `info` of the response; a code other than success is an error.
    pub(crate) async fn post(&mut self, target: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
        let json = "content-type: application/json\r\n";
        let response = self.call("POST", target, json, &body.to_string()).await?;
        let read: serde_json::Value = serde_json::from_str(&response.body)?;
        if read["code"] != 0 && read["code"] != 200 {
            return Err(format!("{target}: {}", response.body).into());
        }
        Ok(if read["data"].is_null() { read["info"].clone() } else { read["data"].clone() })
    }

    /// Posts JSON to a call of CDN management and returns the response; one that is not successful is an error.
    pub(crate) async fn post_cdn(
        &mut self,
        call: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value> {
        let json = "content-type: application/json\r\n";
        let response = self.call("POST", &format!("/level3/{call}"), json, &body.to_string()).await?;
        successful_cdn(response)
    }

    /// The same of a call that is a GET.
    pub(crate) async fn get_cdn(&mut self, call: &str) -> Result<serde_json::Value> {
        let response = self.call("GET", &format!("/level3/{call}"), "", "").await?;
        successful_cdn(response)
    }
}

fn successful_cdn(response: Response) -> Result<serde_json::Value> {
    let read: serde_json::Value = serde_json::from_str(&response.body)?;
    if read["err"] == 0 { Ok(read) } else { Err(response.body.into()) }
}
