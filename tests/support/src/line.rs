use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A line to a port of 127.0.0.1 that can be cut: what comes in at [`Line::port`] goes there and back.
#[derive(Debug)]
pub struct Line {
    /// Where it begins on 127.0.0.1.
    pub port: u16,
    is_cut: Arc<AtomicBool>,
    open: Arc<Mutex<Open>>,
}

/// The connections there are.
#[derive(Debug, Default)]
struct Open {
    /// Those that are pumped, for as long as they are.
    pumped: Vec<Weak<TcpStream>>,
    /// Those that came while the line was cut, and are never answered.
    silent: Vec<TcpStream>,
}

impl Line {
    /// A line to a port.
    ///
    /// # Panics
    /// When there is no port to listen on.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let line = Self {
            port: listener.local_addr().expect("it listens").port(),
            is_cut: Arc::default(),
            open: Arc::default(),
        };
        let (is_cut, open) = (line.is_cut.clone(), line.open.clone());
        // Ends with the process.
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // A connection that is refused again and again would be noticed at once; one that stays silent is not.
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                if is_cut.load(Ordering::SeqCst) {
                    open.silent.push(near);
                    continue;
                }
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let (near, far) = (Arc::new(near), Arc::new(far));
                open.pumped.retain(|stream| stream.strong_count() > 0);
                open.pumped.extend([Arc::downgrade(&near), Arc::downgrade(&far)]);
                pump(near.clone(), far.clone());
                pump(far, near);
            }
        });
        line
    }

    /// Cuts the line: open connections end, and new ones are accepted and never answered.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.pumped.drain(..).filter_map(|stream| stream.upgrade()) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Mends it. What was never answered ends.
    pub fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).silent.clear();
    }
}

fn pump(from: Arc<TcpStream>, to: Arc<TcpStream>) {
    std::thread::spawn(move || {
        let _: io::Result<u64> = io::copy(&mut &*from, &mut &*to);
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}
