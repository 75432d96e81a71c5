use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// Guard of a child process: kills it and waits for it when dropped, so also when the test panics.
#[derive(Debug)]
pub struct ProcessGuard {
    /// Child process, for its id and its pipes.
    pub child: Child,
}

impl ProcessGuard {
    /// Starts the command. Fails when the program cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: command.spawn()? })
    }

    /// Kills the process as in a crash (SIGKILL) and waits for its end.
    ///
    /// # Panics
    /// When the system call fails.
    pub fn kill9(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Sends SIGTERM and returns at once. Does nothing when the process has already ended.
    ///
    /// # Panics
    /// When the system call fails.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal and returns at once. Does nothing when the process has already ended.
    ///
    /// # Panics
    /// When the system call fails.
    pub fn signal(&mut self, signal: Signal) {
        // After a wait, the process id may have been reused by another process.
        if self.child.try_wait().expect("a child can be waited for").is_none() {
            kill_process(Pid::from_child(&self.child), signal).expect("a child can be signalled");
        }
    }

    /// Sends SIGTERM and waits until the process has ended with success.
    ///
    /// # Panics
    /// When it does not within `timeout`, or a system call fails.
    #[track_caller]
    pub fn stop(&mut self, timeout: Duration) {
        self.terminate();
        let status = self.wait_for_exit(timeout).expect("the process ends");
        assert!(status.success(), "{status}");
    }

    /// Waits until the process has ended; `None` if it still runs after `timeout`.
    ///
    /// # Panics
    /// When the system call fails.
    pub fn wait_for_exit(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            let status = self.child.try_wait().expect("a child can be waited for");
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        // Both fail only when the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
