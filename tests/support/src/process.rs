use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A child process that is killed and waited for when the guard is dropped, so also when the test panics.
#[derive(Debug)]
pub struct ProcessGuard {
    /// The process; for its `stdout` and the like.
    pub child: Child,
}

impl ProcessGuard {
    /// Starts the command; fails when the program cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: command.spawn()? })
    }

    /// Ends the process as a crash would (SIGKILL) and waits for its end.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn kill9(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Asks the process to end (SIGTERM) and returns at once. A process that has already ended is left alone.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn terminate(&mut self) {
        // Once the child has been waited for, its number may belong to somebody else.
        if self.child.try_wait().expect("a child can be waited for").is_none() {
            kill_process(Pid::from_child(&self.child), Signal::TERM).expect("a child can be signalled");
        }
    }

    /// Waits until the process has ended; `None` when it still runs after `timeout`.
    ///
    /// # Panics
    /// When the system refuses.
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
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
