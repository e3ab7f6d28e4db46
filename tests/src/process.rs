//! Processes that tests start, signal and monitor.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A process that is killed when it is dropped, and the log of its error output.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a process and writes its error output to a file. The process's input ends when this process ends, even
    /// if it is killed.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be created or the program cannot be run.
    pub fn start(command: &mut Command, log: PathBuf) -> io::Result<Self> {
        let child = command
            .stdin(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        Ok(Self { child, log })
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, for example `KILL`.
    ///
    /// # Panics
    ///
    /// Panics if the signal cannot be sent.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.id().to_string()])
            .status();
        assert!(
            sent.expect("`kill` can be run").success(),
            "SIG{signal} could not be sent"
        );
    }

    /// Returns the exit status if the process has ended.
    ///
    /// # Panics
    ///
    /// Panics if the system does not know the process.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the process is a child of this one")
    }

    /// Returns the error output so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
