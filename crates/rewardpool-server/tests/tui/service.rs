//! A service of its own, to attach to. It ends with this value, also by a panic.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::terminal::{PATIENCE, binary};

/// Two pools, small segments and any free port.
pub(crate) const CONFIG: &str = "\
working_dir: data
pools:
  - id: default
    catalog:
      - { item_id: diamond, quantity: 100, weight: 10 }
      - { item_id: gold, quantity: 1000, weight: 20 }
      - { item_id: silver, quantity: 10000, weight: 30 }
      - { item_id: rock, quantity: 100000, weight: 40 }
      - { item_id: mud, quantity: -1, weight: 70 }
      - { item_id: golden rose, quantity: 5, weight: 1 }
  - id: vip
    catalog:
      - { item_id: ticket, quantity: 3, weight: 1 }
wal:
  max_file_size_kb: 1024
grpc:
  listen_address: 127.0.0.1:0
drain_timeout: 5s
";

/// Writes the configuration into a directory and gives its path.
pub(crate) fn config(home: &Path) -> PathBuf {
    let path = home.join("config.yaml");
    fs::write(&path, CONFIG).unwrap();
    path
}

/// A service that runs by itself.
pub(crate) struct Service {
    child: Child,
    home: PathBuf,
    address: String,
}

impl Service {
    /// Starts one on any free port, with its files in a directory.
    pub(crate) fn start(home: &Path) -> Self {
        Self::start_with(home, CONFIG)
    }

    /// The same with another configuration.
    pub(crate) fn start_with(home: &Path, text: &str) -> Self {
        fs::write(home.join("config.yaml"), text).unwrap();
        Self::start_at(home, "127.0.0.1:0")
    }

    fn start_at(home: &Path, address: &str) -> Self {
        let log = home.join("service.log");
        let child = Command::new(binary())
            .args(["serve", "--until-stdin-ends", "--listen", address, "--config"])
            .arg(home.join("config.yaml"))
            .arg("--working-dir")
            .arg(home.join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut service = Self { child, home: home.to_owned(), address: String::new() };
        let begun = Instant::now();
        while service.address.is_empty() {
            let said = fs::read_to_string(&log).unwrap();
            assert!(begun.elapsed() < PATIENCE, "the service does not start: {said}");
            let address = said
                .split_once("\"address\":\"")
                .and_then(|(_, rest)| rest.split_once('"').map(|(address, _)| address.to_owned()));
            service.address = address.unwrap_or_default();
            thread::sleep(Duration::from_millis(10));
        }
        service
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut would, and starts it again at the same place.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after it was killed, at the same place.
    pub(crate) fn restart(&mut self) {
        let (home, address) = (self.home.clone(), self.address.clone());
        *self = Self::start_at(&home, &address);
    }

    /// Asks it, by the command line.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let run = Command::new(binary())
            .args(words)
            .args(["--addr", &self.address])
            .env_remove("REWARDPOOL_ADDR")
            .output()
            .unwrap();
        assert!(run.status.success(), "{words:?}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}
