//! The real binary as a process of its own: started, watched, killed, asked to stop.
//!
//! What happens to it is written into the history. A service that goes out of scope is killed, by
//! its id, also when a test panics.
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rewardpool_checker::history::{Recorder, What};

/// Longer than any start takes, also on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often something is asked for that nobody announces.
const POLL: Duration = Duration::from_millis(1);

/// The signal that a process cannot hear.
pub(crate) const SIGKILL: i32 = 9;
/// Exit code of a service that cannot write.
pub(crate) const INPUT_OUTPUT: i32 = 74;

/// The program under test.
pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_rewardpool"))
}

/// How to start a service.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The program.
    pub(crate) binary: PathBuf,
    /// Its configuration file.
    pub(crate) config: PathBuf,
    /// Its working directory.
    pub(crate) data: PathBuf,
    /// Variables that are set for it, for example `LD_PRELOAD`.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// What happens is written here.
    pub(crate) recorder: Arc<Recorder>,
}

impl Setup {
    /// Writes the configuration and begins the history, both in `home`. The working directory is
    /// `home/data`; nothing is made there yet.
    pub(crate) fn new(home: &Path, config: &str) -> Self {
        let path = home.join("config.yaml");
        fs::write(&path, config).unwrap();
        Self {
            binary: binary(),
            config: path,
            data: home.join("data"),
            environment: Vec::new(),
            recorder: Arc::new(Recorder::create(&home.join("history.jsonl")).unwrap()),
        }
    }

    /// The same with one more variable.
    pub(crate) fn with_variable(
        mut self,
        name: impl Into<OsString>,
        value: impl Into<OsString>,
    ) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// With what it said, when it ends instead.
    pub(crate) fn start(&self) -> Service {
        let mut service = self.spawn();
        if let Err(ended) = service.wait_ready(PATIENCE) {
            panic!("the service does not start: {ended:?}\n{}", service.said());
        }
        service
    }

    /// Starts it and does not wait.
    pub(crate) fn spawn(&self) -> Service {
        let mut command = Command::new(&self.binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&self.config)
            .arg("--working-dir")
            .arg(&self.data)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        self.recorder.record(What::Spawn);
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let heard = Arc::new(Heard::default());
        let listener = Arc::clone(&heard);
        let listen = move || listener.listen(stderr);
        let ear = std::thread::Builder::new().name("service-ear".to_owned()).spawn(listen).unwrap();
        let recorder = Arc::clone(&self.recorder);
        Service { child, heard, ear: Some(ear), recorder, is_over: false }
    }
}

/// A process of the service.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    heard: Arc<Heard>,
    ear: Option<JoinHandle<()>>,
    recorder: Arc<Recorder>,
    is_over: bool,
}

/// The service ended instead of serving, or does neither.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NotReady {
    /// It ended so.
    Ended(ExitStatus),
    /// It runs and does not serve.
    Slow,
}

impl Service {
    /// Waits until it serves, and writes that down.
    pub(crate) fn wait_ready(&mut self, limit: Duration) -> Result<SocketAddr, NotReady> {
        let begun = Instant::now();
        loop {
            if let Some(address) = self.heard.address(POLL) {
                let recovered_lsn = self.heard.words().recovered_lsn;
                self.recorder.record(What::Ready { recovered_lsn });
                return Ok(address);
            }
            if let Some(status) = self.ended() {
                return Err(NotReady::Ended(status));
            }
            if begun.elapsed() > limit {
                return Err(NotReady::Slow);
            }
        }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Before it is ready.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.heard.words().address.expect("the service is ready"))
    }

    /// Id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it wrote to standard error so far.
    pub(crate) fn said(&self) -> String {
        self.heard.words().lines.join("\n")
    }

    /// Kills it with SIGKILL and waits for its end.
    ///
    /// # Panics
    /// With what it said, when it had ended by itself before.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        let status = self.kill_or_find_ended();
        assert_eq!(status.signal(), Some(SIGKILL), "it ended by itself: {status}\n{}", self.said());
    }

    /// Kills it with SIGKILL, unless it has ended by itself. Gives how it really ended, which is
    /// what the history says too.
    pub(crate) fn kill_or_find_ended(&mut self) -> ExitStatus {
        // One that has ended and was not waited for takes the signal and keeps its status.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.ended().expect("it was waited for")
    }

    /// Asks it to stop with SIGTERM, and does not wait.
    pub(crate) fn terminate(&self) {
        self.recorder.record(What::Terminate);
        self.signal("TERM");
    }

    /// Sends it a signal, by name. The history does not hear of it.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(sent.unwrap().success(), "SIG{name} was not sent");
    }

    /// Waits for its end, and writes it down. `None` when it still runs after the limit.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if begun.elapsed() > limit {
                return None;
            }
            std::thread::sleep(POLL);
        }
    }

    /// Asks it to stop and waits for its end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.terminate();
        let status = self.wait(PATIENCE);
        status.unwrap_or_else(|| panic!("the service does not stop\n{}", self.said()))
    }

    /// How it ended; written down when it is seen for the first time. A fault may kill it too.
    fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().unwrap()?;
        if !self.is_over {
            self.recorder.record(match status.signal() {
                Some(SIGKILL) => What::Kill,
                _ => What::Exit { code: status.code() },
            });
            self.over();
        }
        Some(status)
    }

    fn over(&mut self) {
        self.is_over = true;
        if let Some(ear) = self.ear.take() {
            ear.join().unwrap();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !self.is_over {
            // It may have ended by itself; nobody is left to be told.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// What the service says on standard error: one JSON object a line.
#[derive(Debug, Default)]
struct Heard {
    words: Mutex<Words>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default)]
struct Words {
    lines: Vec<String>,
    recovered_lsn: Option<u64>,
    address: Option<SocketAddr>,
}

impl Heard {
    fn listen(&self, stderr: ChildStderr) {
        for line in BufReader::new(stderr).lines() {
            let Ok(line) = line else { return };
            let mut words = self.words.lock().unwrap();
            if let Ok(said) = serde_json::from_str::<serde_json::Value>(&line) {
                match said["message"].as_str() {
                    Some("recovered") => words.recovered_lsn = said["lsn"].as_u64(),
                    Some("listening") => {
                        words.address = said["address"].as_str().map(|text| text.parse().unwrap());
                    }
                    _ => {}
                }
            }
            words.lines.push(line);
            self.changed.notify_all();
        }
    }

    fn words(&self) -> Words {
        self.words.lock().unwrap().clone()
    }

    /// Where it listens, if it says so within the time.
    fn address(&self, wait: Duration) -> Option<SocketAddr> {
        let words = self.words.lock().unwrap();
        let (words, _) =
            self.changed.wait_timeout_while(words, wait, |words| words.address.is_none()).unwrap();
        words.address
    }
}
