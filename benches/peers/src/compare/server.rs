//! A temporary PostgreSQL server on a free loopback port.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::Result;

/// The settings that are passed to the server. `fsync` and `synchronous_commit` are on by default and must
/// stay on, as must `full_page_writes`.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("max_connections", "200"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
];

/// A running server. It is stopped and its data is deleted when this is dropped.
pub(crate) struct Server {
    /// The folder of `initdb`, `pg_ctl` and `postgres`.
    programs: PathBuf,
    data: PathBuf,
    /// The user that runs the server, if it is not the current one.
    user: Option<&'static str>,
    url: String,
    _folder: TempDir,
}

impl Server {
    /// Starts a server in the first folder where it can run.
    pub(crate) fn start() -> Result<Self> {
        let programs = programs()?;
        // The server refuses to run as root.
        let user = is_root()?.then_some("postgres");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut errors = Vec::new();
        for parent in parent_folders()? {
            match Self::start_in(&parent, &programs, user, port) {
                Ok(server) => return Ok(server),
                Err(error) => errors.push(format!("in {}: {error}", parent.display())),
            }
        }
        Err(format!("PostgreSQL did not start: {}", errors.join("; ")).into())
    }

    fn start_in(parent: &Path, programs: &Path, user: Option<&'static str>, port: u16) -> Result<Self> {
        let folder = tempfile::tempdir_in(parent)?;
        if let Some(user) = user {
            run_checked(Command::new("chown").arg(user).arg(folder.path()))?;
        }
        let server = Self {
            programs: programs.to_owned(),
            data: folder.path().join("data"),
            user,
            url: format!("postgres://bench@127.0.0.1:{port}"),
            _folder: folder,
        };
        let data = server.data.to_string_lossy().into_owned();
        run_checked(server.command("initdb").args([
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
        run_checked(
            server
                .command("pg_ctl")
                .args(["--pgdata", &data, "-w", "-l", &log, "-o", &settings, "start"]),
        )?;
        Ok(server)
    }

    /// Returns the URL of the server, without a database.
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
        // The user may not have access to the current folder.
        command.current_dir("/");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data.to_string_lossy().into_owned();
        let mut stop = self.command("pg_ctl");
        stop.args(["--pgdata", &data, "-m", "immediate", "-w", "stop"]);
        // A drop cannot report an error, and the data is deleted anyway.
        let _ = run_checked(&mut stop);
    }
}

/// Returns the folders in which to start the server: next to the program, on the disk that the other peers
/// use; otherwise one that every user can access.
fn parent_folders() -> Result<[PathBuf; 2]> {
    let program = std::env::current_exe()?;
    let program_folder = program.parent().ok_or("the program has no folder")?.to_owned();
    Ok([program_folder, PathBuf::from("/var/tmp")])
}

/// Returns the folder of PostgreSQL's programs: that of the newest version, or one in `PATH`.
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
        .ok_or_else(|| "PostgreSQL is not installed: run `apt-get install postgresql`".into())
}

fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output()?;
    Ok(output.stdout.trim_ascii() == b"0")
}

/// Runs a command, and returns an error if it fails.
fn run_checked(command: &mut Command) -> Result {
    // The server inherits the output of `pg_ctl`, so waiting for the end of a pipe would take forever.
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{}` failed: {status}", command.get_program().display()).into())
    }
}
