//! The real service as a process of its own, which ends with the test, also when it panics.
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything here takes, also on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Lines of a service that nobody has read yet.
const LINES_MAX: usize = 10_000;

/// The program under test.
pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_rewardpool"))
}

/// A run of the program with these words.
pub(crate) fn run(words: &str) -> Output {
    let mut command = Command::new(binary());
    command.args(words.split_whitespace()).env_remove("REWARDPOOL_ADDR").stdin(Stdio::null());
    command.output().unwrap()
}

/// The service with the sample pool, on any free port.
pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(binary());
    serve(&mut command, data);
    command
}

/// Adds the arguments that make it serve.
pub(crate) fn serve(command: &mut Command, data: &Path) {
    command.args(["serve", "--listen", "127.0.0.1:0", "--working-dir"]).arg(data);
}

/// A process of the service.
pub(crate) struct Service {
    child: Child,
    /// `HOST:PORT`.
    pub(crate) address: String,
    ear: Option<JoinHandle<()>>,
    lines: Receiver<String>,
}

impl Service {
    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// With what it said, when it does not.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = sync_channel(LINES_MAX);
        let listen = move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Whoever is full or gone has heard enough.
                drop(sender.try_send(line));
            }
        };
        let ear = Builder::new().name("service-ear".to_owned()).spawn(listen).unwrap();
        let mut service = Self { child, address: String::new(), ear: Some(ear), lines };
        let listening = service.wait_for("listening");
        service.address.push_str(listening["address"].as_str().unwrap());
        service
    }

    /// The first line from now on that has this message.
    pub(crate) fn wait_for(&self, message: &str) -> Value {
        let (begun, mut said) = (Instant::now(), Vec::new());
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) => {
                    let value: Value = serde_json::from_str(&line).unwrap_or_default();
                    if value["message"] == message {
                        return value;
                    }
                    said.push(line);
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {message}:\n{}", said.join("\n")),
                Err(RecvTimeoutError::Disconnected) => panic!("ended:\n{}", said.join("\n")),
            }
        }
    }

    /// Id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill").args(["-s", "TERM", &self.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.ear.take().unwrap().join().unwrap();
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the service does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn stop(self) -> ExitStatus {
        self.terminate();
        self.wait()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself; nobody is left to be told.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
