//! A PostgreSQL for the time of the comparison, on a port of loopback that is free.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::Result;

/// What is set beside the defaults of Debian; `fsync`, `synchronous_commit` and `full_page_writes` stay on.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("max_connections", "200"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
];

pub(crate) struct Server {
    programs: PathBuf,
    data: PathBuf,
    user: Option<&'static str>,
    url: String,
    _folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let programs = programs()?;
        // The server refuses to run as root.
        let user = is_root()?.then_some("postgres");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut problems = Vec::new();
        for place in places()? {
            match Self::start_in(&place, &programs, user, port) {
                Ok(server) => return Ok(server),
                Err(error) => problems.push(format!("in {}: {error}", place.display())),
            }
        }
        Err(format!("PostgreSQL does not start: {}", problems.join("; ")).into())
    }

    fn start_in(place: &Path, programs: &Path, user: Option<&'static str>, port: u16) -> Result<Self> {
        let folder = tempfile::tempdir_in(place)?;
        if let Some(user) = user {
            checked(Command::new("chown").arg(user).arg(folder.path()))?;
        }
        let server = Self {
            programs: programs.to_owned(),
            data: folder.path().join("data"),
            user,
            url: format!("postgres://bench@127.0.0.1:{port}"),
            _folder: folder,
        };
        let data = server.data.to_string_lossy().into_owned();
        checked(server.command("initdb").args([
            "--auth=trust",
            "--username=bench",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--pgdata",
            &data,
        ]))?;
        let mut settings = format!("-h 127.0.0.1 -p {port} -k {data}");
        for (name, value) in SETTINGS {
            write!(settings, " -c {name}={value}")?;
        }
        let log = format!("{data}/log");
        checked(
            server
                .command("pg_ctl")
                .args(["--pgdata", &data, "-w", "-l", &log, "-o", &settings, "start"]),
        )?;
        Ok(server)
    }

    /// As a URL without a database.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn version(&self) -> Result<String> {
        let output = self.command("postgres").arg("--version").output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match self.user {
            Some(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        // Where it is started from may be closed to that user.
        command.current_dir("/");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data.to_string_lossy().into_owned();
        // There is nobody to tell, and nothing to keep.
        let _ = checked(
            self.command("pg_ctl")
                .args(["--pgdata", &data, "-m", "immediate", "-w", "stop"]),
        );
    }
}

/// Beside the build, where the other files are; else where everybody may look.
fn places() -> Result<[PathBuf; 2]> {
    let program = std::env::current_exe()?;
    let beside = program.parent().ok_or("this program is in no folder")?.to_owned();
    Ok([beside, PathBuf::from("/var/tmp")])
}

fn programs() -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|versions| {
            versions
                .flatten()
                .map(|version| version.path().join("bin"))
                .collect()
        })
        .unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    found.sort();
    found.reverse();
    found.extend(std::env::split_paths(&path));
    found
        .into_iter()
        .find(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
        .ok_or_else(|| "there is no PostgreSQL: apt-get install postgresql".into())
}

fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output()?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn checked(command: &mut Command) -> Result {
    // A server keeps what it inherits: an output that is waited for would never end.
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} said {status}", command.get_program().display()).into())
    }
}
