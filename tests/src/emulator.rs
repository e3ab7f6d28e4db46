//! The Firestore emulator: each test program starts one when it first needs it.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::iter;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The maximum duration of the emulator's start. It is a Java program, and the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// The number of ports that are tried if the emulator does not start in time.
const MAX_STARTS: usize = 3;
/// The ports of emulators, outside the range of outgoing connections. Otherwise the connection that polls an emulator
/// that is still starting could be given the emulator's own port.
const PORTS: Range<u16> = 20_000..32_000;
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The time limit of one poll.
const POLL_TIMEOUT: Duration = Duration::from_secs(5);

/// The environment variable that makes a missing emulator a failure instead of a skip.
pub const REQUIRED: &str = "ONCETASK_REQUIRE_EMULATOR";

/// The instructions for a machine without the emulator.
pub const HOW_TO_GET_IT: &str = "the tests of the Firestore store need its emulator: install the Google Cloud CLI, Java, \
     and `gcloud components install cloud-firestore-emulator`; or name a running one in FIRESTORE_EMULATOR_HOST";

/// A running emulator. If this process started it, it stops when this is dropped or when this process ends.
#[derive(Debug)]
pub struct Emulator {
    host: String,
    guard: Option<Guard>,
}

/// Runs the emulator, and kills it when the script's own input ends: when the guard closes the pipe, or when the
/// operating system does because the test program has ended. `gcloud` leads a process group of its own, in which it
/// starts the emulator.
const SUPERVISOR: &str = r#"
    "$@" >/dev/null 2>&1 </dev/null &
    gcloud=$!
    echo "$gcloud"
    read -r _
    kill -KILL "-$gcloud" "$gcloud" 2>/dev/null
"#;

#[derive(Debug)]
struct Guard {
    supervisor: Child,
    pipe: Option<ChildStdin>,
    /// The process group of the emulator.
    group: u32,
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // The supervisor ends after it has killed the emulator.
        let _ = self.supervisor.wait();
    }
}

impl Emulator {
    /// Returns the emulator that `FIRESTORE_EMULATOR_HOST` names, or starts one.
    ///
    /// # Errors
    ///
    /// Returns the reason if no emulator starts.
    pub fn find() -> Result<Self, String> {
        match env::var("FIRESTORE_EMULATOR_HOST") {
            Ok(host) if !host.is_empty() => Ok(Self { host, guard: None }),
            _ => Self::start(),
        }
    }

    /// Starts an emulator on a free port.
    ///
    /// # Errors
    ///
    /// Returns the reason if the emulator does not start.
    pub fn start() -> Result<Self, String> {
        let mut reason = "no port is free".to_owned();
        let ports = iter::repeat_with(|| fastrand::u16(PORTS)).take(PORTS.len());
        for port in ports.filter(|port| is_free(*port)).take(MAX_STARTS) {
            match Self::start_at(port) {
                Ok(emulator) => return Ok(emulator),
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    /// Starts an emulator on this port.
    ///
    /// # Errors
    ///
    /// Returns the reason if the emulator does not start.
    pub fn start_at(port: u16) -> Result<Self, String> {
        let host = format!("127.0.0.1:{port}");
        // The new session keeps an interrupt from the keyboard away from the emulator.
        let mut supervisor = Command::new("setsid")
            .args(["sh", "-c", SUPERVISOR, "sh"])
            .args(["gcloud", "emulators", "firestore", "start", "--quiet"])
            .arg(format!("--host-port={host}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("`setsid` cannot be run: {error}"))?;
        let pipe = supervisor.stdin.take();
        let mut group = String::new();
        let output = supervisor.stdout.take();
        let read = output.and_then(|output| BufReader::new(output).read_line(&mut group).ok());
        let group = read.and_then(|_| group.trim().parse().ok());
        let emulator = Self {
            host,
            guard: Some(Guard {
                group: group.ok_or("the emulator's supervisor did not start")?,
                supervisor,
                pipe,
            }),
        };
        emulator.wait_until_ready()?;
        Ok(emulator)
    }

    /// Returns the address, for example `127.0.0.1:8080`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Sends a signal to the processes of the emulator: `STOP` freezes them, `CONT` thaws them, `KILL` kills them.
    ///
    /// # Panics
    ///
    /// Panics if this process did not start the emulator, or if the signal cannot be sent.
    pub fn signal(&self, signal: &str) {
        let guard = self
            .guard
            .as_ref()
            .expect("an emulator that this process started");
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), "--", &format!("-{}", guard.group)])
            .status();
        assert!(
            sent.expect("`kill` can be run").success(),
            "SIG{signal} could not be sent"
        );
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.is_ready() {
            if Instant::now() > deadline {
                return Err(format!(
                    "no emulator responds at {} after {START_TIMEOUT:?}",
                    self.host
                ));
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let Ok(address) = self.host.parse::<SocketAddr>() else {
            return false;
        };
        let status_line = TcpStream::connect_timeout(&address, POLL_TIMEOUT).and_then(|mut stream| {
            stream.set_read_timeout(Some(POLL_TIMEOUT))?;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: emulator\r\nConnection: close\r\n\r\n")?;
            let mut status_line = [0; 12];
            stream.read_exact(&mut status_line)?;
            Ok(status_line)
        });
        status_line.is_ok_and(|line| line.ends_with(b"200"))
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Returns whether the tools that start the emulator are installed.
#[must_use]
pub fn is_installed() -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v gcloud && command -v setsid && command -v java"])
        .stdout(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}
