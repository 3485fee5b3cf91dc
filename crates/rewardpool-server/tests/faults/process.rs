//! A running `rewardpool serve`: started, watched until it serves, ended, and its last words kept.
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::tools::run;

/// How long anything may take that a working service does in milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(1);

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
}

/// A process of the service. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    address: Option<String>,
    log: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts it and waits until it serves or has ended.
    pub(crate) fn start(command: &mut Command) -> Self {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawned.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (found, address) = sync_channel(1);
        let log = thread::Builder::new().name("service-log".to_owned());
        let log = log.spawn(move || read_log(stderr, &found)).unwrap();
        let mut process = Self { child, address: None, log: Some(log) };
        process.address = wait_for_address(&address);
        process
    }

    /// Where it listens; `None` when it ended before.
    pub(crate) fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        run(Command::new("kill").args(["-TERM", &self.child.id().to_string()]));
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits for its end. Gives what it wrote to its log.
    pub(crate) fn wait(mut self) -> (End, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "the service does not end");
            thread::sleep(GLANCE);
        };
        let end = status.code().map(End::Code).or(status.signal().map(End::Signal));
        let log = self.log.take().expect("only this takes it").join().unwrap();
        (end.expect("a process ends by a code or a signal"), log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended, and nothing more can be done about a process that cannot be killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn wait_for_address(address: &Receiver<String>) -> Option<String> {
    match address.recv_timeout(PATIENCE) {
        Ok(address) => Some(address),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("the service neither serves nor ends"),
    }
}

/// Reads the log to its end. Tells the address as soon as it stands there.
fn read_log(stderr: impl std::io::Read, found: &SyncSender<String>) -> String {
    let mut log = String::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.unwrap();
        if let Ok(entry) = serde_json::from_str::<serde_json::Value>(&line)
            && entry["message"] == "listening"
        {
            let address = entry["address"].as_str().unwrap();
            found.send(format!("http://{address}")).unwrap();
        }
        log.push_str(&line);
        log.push('\n');
    }
    log
}
