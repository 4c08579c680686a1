//! The broker as a process of its own, for tests: started on a free port, in a directory of its own, gone with the test.
#![allow(dead_code, reason = "not every test needs everything")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The program, built by the cargo that runs these tests.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // Of the whole workspace, so that features are the same and nothing is built again.
        let built = Command::new(env!("CARGO"))
            .args(["build", "--release", "--workspace", "--bins"])
            .status();
        assert!(built.unwrap().success());
        // Tests run in <target>/<profile>/deps.
        let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        deps.join("../../release/headwater-broker")
            .canonicalize()
            .unwrap()
    })
}

/// A running broker, or the one that `HEADWATER_TEST_KAFKA` names.
pub(crate) struct Server {
    address: String,
    running: Option<Child>,
    settings: Vec<String>,
    data: TempDir,
}

impl Server {
    /// A broker with these settings, each `key=value`, that is ready: the one that `HEADWATER_TEST_KAFKA` names, or our own.
    pub(crate) fn start(settings: &[&str]) -> Self {
        match std::env::var("HEADWATER_TEST_KAFKA") {
            Ok(address) => {
                let mut server = Self::prepared(settings);
                server.address = address;
                server
            }
            Err(_) => Self::start_own(settings),
        }
    }

    /// Our own broker.
    pub(crate) fn start_own(settings: &[&str]) -> Self {
        let mut server = Self::prepared(settings);
        server.run();
        server
    }

    /// The same broker for another thread: to connect to, not to start or stop.
    pub(crate) fn beside(other: &Self) -> Self {
        let mut server = Self::prepared(&[]);
        server.address.clone_from(&other.address);
        server
    }

    fn prepared(settings: &[&str]) -> Self {
        Self {
            address: "127.0.0.1:0".to_owned(),
            running: None,
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            data: TempDir::with_prefix("headwater-test-").unwrap(),
        }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Where it keeps its data.
    pub(crate) fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.running.as_ref().map_or(0, Child::id)
    }

    /// Memory that it occupies.
    pub(crate) fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Ends it as a power cut of the process would, `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on the same data and address.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.run();
    }

    fn run(&mut self) {
        let mut command = Command::new(program());
        command
            .args(["--listen", &self.address, "--data-dir"])
            .arg(self.data.path());
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.data.path().join("test.log"))
            .unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Some(address) = line.trim().strip_prefix("headwater-broker ready: listening on ") else {
            let log = std::fs::read_to_string(self.data.path().join("test.log")).unwrap();
            panic!("the broker did not start: {line}{log}");
        };
        self.address = address.to_owned();
        self.running = Some(child);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
