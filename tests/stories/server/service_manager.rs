//! What a service manager is told.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, free_port};

use crate::support::{Installation, TIMEOUT};

#[test]
fn it_is_told_of_start_life_and_end() {
    let installation = Installation::memory();
    let path = installation.file("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let next = || {
        let mut text = [0; 256];
        let length = socket.recv(&mut text)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&text[..length]).into_owned())
    };
    let port = free_port();
    let mut command = installation.command(&["serve"]);
    command.env("PILOTHOUSE_LISTEN", format!("127.0.0.1:{port}")).env("NOTIFY_SOCKET", &path);
    command.env("WATCHDOG_USEC", "4000000").stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = ProcessGuard::spawn(&mut command).unwrap();
    assert_eq!(next().unwrap(), "READY=1");
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    let ready = Instant::now();
    for _ in 0..3 {
        assert_eq!(next().unwrap(), "WATCHDOG=1");
    }
    assert!(ready.elapsed() < Duration::from_secs(12), "three signs of life took {:?}", ready.elapsed());
    server.terminate();
    let told = loop {
        match next() {
            Ok(told) if told == "WATCHDOG=1" => {}
            told => break told,
        }
    };
    assert_eq!(told.unwrap(), "STOPPING=1");
    assert!(server.wait_for_exit(TIMEOUT).is_some_and(|status| status.success()));
    socket.set_nonblocking(true).unwrap();
    assert_eq!(next().unwrap_err().kind(), ErrorKind::WouldBlock, "that is the last word");
}
