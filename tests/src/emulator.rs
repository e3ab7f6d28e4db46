//! The Firestore emulator, for tests: one for each test program, started when it is first needed.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::iter;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the emulator may take to start: it is a Java program, and the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often one is started on another port, when it does not answer in time.
const STARTS: usize = 3;
/// Ports that no outgoing connection is given: an emulator is looked for often before it has taken its own.
const PORTS: Range<u16> = 20_000..32_000;
const POLL: Duration = Duration::from_millis(100);
/// How long it may take to say so when asked.
const ANSWER: Duration = Duration::from_secs(5);

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

/// Runs the emulator, and ends it when its own input ends: when the pipe is closed, by us or by the operating
/// system because we are gone. `gcloud` leads a process group of its own, in which it starts the emulator.
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
        // It ends when it has killed the emulator.
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
        let mut why = "no port is free".to_owned();
        let ports = iter::repeat_with(|| fastrand::u16(PORTS)).take(PORTS.len());
        for port in ports.filter(|port| is_free(*port)).take(STARTS) {
            match Self::start_at(port) {
                Ok(emulator) => return Ok(emulator),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// A new one, on this port.
    ///
    /// # Errors
    ///
    /// Why it does not start.
    ///
    /// # Panics
    ///
    /// Never: the supervisor's output is piped.
    pub fn start_at(port: u16) -> Result<Self, String> {
        let host = format!("127.0.0.1:{port}");
        // In a session of its own, so that an interrupt from the keyboard reaches only us.
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
        let told = output.and_then(|output| BufReader::new(output).read_line(&mut group).ok());
        let group = told.and_then(|_| group.trim().parse().ok());
        let emulator = Self {
            host,
            guard: Some(Guard {
                group: group.ok_or("the emulator's supervisor did not start")?,
                supervisor,
                pipe,
            }),
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
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), "--", &format!("-{}", guard.group)])
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
        let answer = TcpStream::connect_timeout(&address, ANSWER).and_then(|mut stream| {
            stream.set_read_timeout(Some(ANSWER))?;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: emulator\r\nConnection: close\r\n\r\n")?;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer)?;
            Ok(answer)
        });
        answer.is_ok_and(|answer| answer.ends_with(b"200"))
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
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
