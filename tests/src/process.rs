//! Processes that tests start, signal and watch.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A process that does not outlive its test, and what it says.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it. What it writes to its error output goes to the file. Its input ends when this process does,
    /// however that comes about.
    ///
    /// # Errors
    ///
    /// When the file cannot be made, or the program cannot be run.
    pub fn start(command: &mut Command, log: PathBuf) -> io::Result<Self> {
        let child = command
            .stdin(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        Ok(Self { child, log })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, as in `KILL`.
    ///
    /// # Panics
    ///
    /// When it cannot be sent.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.id().to_string()])
            .status();
        assert!(
            sent.expect("`kill` is there").success(),
            "SIG{signal} could not be sent"
        );
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    ///
    /// When the system does not tell.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be asked")
    }

    /// What it has said so far.
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
