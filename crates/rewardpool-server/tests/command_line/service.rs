//! A real service, in a process and a directory of its own, while a test runs.
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Run, command, path_text};

/// How long a start or a stop may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A catalogue for which every outcome is fixed.
pub(crate) const CONFIG: &str = "\
test_mode: true
pool:
  seed: \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"
  catalog:
    - { item_id: diamond, quantity: 100, weight: 10 }
    - { item_id: gold, quantity: 1000, weight: 20 }
    - { item_id: mud, quantity: -1, weight: 70 }
log:
  format: json
";

/// A service. It is killed when the test ends, however that ends.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    pub(crate) address: String,
    pub(crate) home: TempDir,
}

impl Service {
    /// Runs a configuration.
    pub(crate) fn start(config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("rewardpool.yaml"), config).unwrap();
        Self::start_in(home)
    }

    /// Runs what is in a directory: a configuration, and maybe its data.
    pub(crate) fn start_in(home: TempDir) -> Self {
        let mut child =
            command(["serve", "--listen", "127.0.0.1:0", "--config", "rewardpool.yaml"])
                .current_dir(home.path())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        // The start ends by itself: it listens, or the process is over and the lines end.
        let address = loop {
            let Some(line) = lines.next() else { panic!("the service ended: {said:?}") };
            let line = line.unwrap();
            let message: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = message["address"].as_str() {
                break format!("http://{address}");
            }
            said.push(line);
        };
        // What it says later must not stop it when nobody reads.
        let drain = move || lines.for_each(drop);
        drop(std::thread::Builder::new().name("service-ear".to_owned()).spawn(drain).unwrap());
        Self { child, address, home }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.home.path().join("rewardpool-data")
    }

    /// Writes a file into the directory of the configuration.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs the program against this service.
    pub(crate) fn run(&self, words: &str) -> Run {
        self.run_words(&words.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn run_words(&self, words: &[&str]) -> Run {
        let mut command = command(words);
        command.env("REWARDPOOL_ADDR", &self.address).current_dir(self.home.path());
        Run::new(command.output().unwrap())
    }

    /// Stops it with SIGTERM and gives the directory of its data.
    pub(crate) fn stop(mut self) -> Stopped {
        let pid = self.child.id().to_string();
        let kill = std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(kill.success());
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "the service does not stop");
            std::thread::yield_now();
        }
        let home = std::mem::replace(&mut self.home, tempfile::tempdir().unwrap());
        Stopped { home }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What a service left behind.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) home: TempDir,
}

impl Stopped {
    pub(crate) fn directory(&self) -> PathBuf {
        self.home.path().join("rewardpool-data")
    }

    /// Runs the program on the directory.
    pub(crate) fn run(&self, words: &str) -> Run {
        let directory = self.directory();
        let words = words.split_whitespace().chain(["--dir", path_text(&directory)]);
        Run::new(command(words).current_dir(self.home.path()).output().unwrap())
    }
}

/// Whether a directory is there.
pub(crate) fn exists(path: &Path) -> bool {
    path.try_exists().unwrap()
}
