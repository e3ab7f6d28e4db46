//! The Firestore emulator, for tests: one for each test program, started when it is first needed.

use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the emulator may take to start: it is a Java program, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);

/// Set, a missing emulator is a failure, not a skip.
pub const REQUIRED: &str = "ONCETASK_REQUIRE_EMULATOR";

/// What to do on a machine without it.
pub const HOW_TO_GET_IT: &str = "the tests of the Firestore store need its emulator: install the Google Cloud CLI, Java, \
     and `gcloud components install cloud-firestore-emulator`; or name a running one in FIRESTORE_EMULATOR_HOST";

/// An emulator that stops when this is dropped, and when this process ends, however it ends.
#[derive(Debug)]
pub struct Emulator {
    host: String,
    guard: Option<Guard>,
}

/// Runs the emulator in a process group of its own, and ends the group when its input ends: when the pipe is
/// closed, by us or by the operating system because we are gone.
const SUPERVISOR: &str = r#"
    "$@" >/dev/null 2>&1 &
    echo $$
    read -r _
    trap '' TERM
    kill -TERM 0
    kill -KILL 0
"#;

#[derive(Debug)]
struct Guard {
    supervisor: Child,
    pipe: Option<ChildStdin>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // It kills itself with the rest of its group.
        let _ = self.supervisor.wait();
    }
}

impl Emulator {
    /// The one that `FIRESTORE_EMULATOR_HOST` names, or a new one.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn find() -> Result<Self, String> {
        match env::var("FIRESTORE_EMULATOR_HOST") {
            Ok(host) if !host.is_empty() => Ok(Self { host, guard: None }),
            _ => Self::start(),
        }
    }

    /// A new one, on a free port.
    ///
    /// # Errors
    ///
    /// Why it does not start.
    pub fn start() -> Result<Self, String> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.map_err(|error| format!("no port is free: {error}"))?.port();
        Self::start_at(port)
    }

    /// A new one, on this port.
    ///
    /// # Errors
    ///
    /// Why it does not start.
    pub fn start_at(port: u16) -> Result<Self, String> {
        let host = format!("127.0.0.1:{port}");
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
        let emulator = Self {
            host,
            guard: Some(Guard { supervisor, pipe }),
        };
        emulator.wait_until_it_answers()?;
        Ok(emulator)
    }

    /// Its address, as in `127.0.0.1:8080`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The processes of the emulator, frozen (`STOP`), thawed (`CONT`) or killed (`KILL`).
    ///
    /// # Panics
    ///
    /// When it was not started by us, or a signal cannot be sent.
    pub fn signal(&self, signal: &str) {
        let guard = self
            .guard
            .as_ref()
            .expect("an emulator that this program started");
        // The supervisor leads the group, and must not be stopped itself: it would not see us go.
        let leader = guard.supervisor.id();
        let members = Command::new("pgrep").args(["-g", &leader.to_string()]).output();
        let members = String::from_utf8(members.expect("`pgrep` runs").stdout).expect("numbers");
        let members = members
            .split_whitespace()
            .filter(|pid| *pid != leader.to_string());
        let sent = Command::new("kill")
            .arg(format!("-{signal}"))
            .args(members)
            .status();
        assert!(sent.expect("`kill` runs").success(), "SIG{signal} was not sent");
    }

    fn wait_until_it_answers(&self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            if Instant::now() > deadline {
                return Err(format!("no emulator answers at {} after {PATIENCE:?}", self.host));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn answers(&self) -> bool {
        let Ok(address) = self.host.parse::<SocketAddr>() else {
            return false;
        };
        let answer = TcpStream::connect_timeout(&address, PATIENCE).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        answer.is_ok_and(|answer| answer.contains("200"))
    }
}

/// Whether the tools that start one are on this machine.
#[must_use]
pub fn is_installed() -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v gcloud && command -v setsid && command -v java"])
        .stdout(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}
