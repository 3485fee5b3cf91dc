//! A service of its own for a run: a child process that ends with the run, whatever ends it.
use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::{Engine, StorageKind, inspect};
use serde_json::Value;
use tempfile::TempDir;

use crate::engine::{EnginePlan, storage_name, temporary_directory};
use crate::error::Error;
use crate::{catalog, log};

/// How long the service may take to begin: it may have a large pool to load.
const START_PATIENCE: Duration = Duration::from_mins(2);
/// How long it may take to stop by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);
/// Lines of what it says that are kept for an error.
const LINES_KEPT: usize = 10;
/// How long the pool may take to be made.
const POOL_PATIENCE: Duration = Duration::from_mins(2);

/// How the temporary service is set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServicePlan {
    /// The program, which takes `serve` as the product does.
    pub program: PathBuf,
    /// Where its temporary directory is made.
    pub parent: PathBuf,
    /// Items of its pool.
    pub items: u32,
    /// How they are located.
    pub selector: SelectorKind,
    /// Format of the records.
    pub format: Format,
    /// How the log is written.
    pub storage: StorageKind,
    /// Length of a segment: a multiple of 1024, 64 KiB to 4 GiB.
    pub segment_bytes: usize,
    /// Draws after which a batch is written although more wait.
    pub batch_draws_max: usize,
}

/// A running service with its directory.
#[derive(Debug)]
pub struct Service {
    process: Process,
    directory: TempDir,
}

impl Service {
    /// Makes a pool, starts the service on it, and waits until it serves.
    ///
    /// # Errors
    /// When it does not serve; with what it said.
    pub fn start(plan: &ServicePlan) -> Result<Self, Error> {
        let directory = temporary_directory(&plan.parent)?;
        make_pool(&directory.path().join("data"), plan)?;
        let config = directory.path().join("config.yaml");
        fs::write(&config, config_text(plan)).map_err(Error::file(&config))?;
        let mut command = Command::new(&plan.program);
        command.args(["serve", "--until-stdin-ends", "--listen", "127.0.0.1:0", "--config"]);
        command.arg(&config).arg("--working-dir").arg(directory.path().join("data"));
        Ok(Self { process: Process::start(command)?, directory })
    }

    /// Where it listens, as a URL.
    pub fn address(&self) -> &str {
        self.process.address()
    }

    /// Id of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its temporary directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Stops it, and tells what so many draws took in its log.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn stop(self, draws: u64) -> Result<log::Use, Error> {
        let Self { process, directory } = self;
        drop(process);
        let segments = inspect::segments(&directory.path().join("data"))?;
        Ok(log::Use::of(&segments, draws))
    }
}

/// Makes the pool in the log before the service starts on it: a catalogue of millions of items is
/// faster made than written as text and read again.
fn make_pool(data: &Path, plan: &ServicePlan) -> Result<(), Error> {
    let engine = EnginePlan {
        format: plan.format,
        storage: plan.storage,
        segment_bytes: plan.segment_bytes,
        batch_draws_max: plan.batch_draws_max,
        ..EnginePlan::default()
    };
    let engine = Engine::open(&engine.config(data))?;
    let pool = catalog::rising(plan.items, plan.selector)?;
    engine.handle().create_pool(pool, POOL_PATIENCE)?;
    Ok(engine.stop()?)
}

fn config_text(plan: &ServicePlan) -> String {
    let ServicePlan { format, batch_draws_max, .. } = plan;
    let (storage, kilobytes) = (storage_name(plan.storage), plan.segment_bytes / 1024);
    format!(
        "pools: []\n\
         wal:\n\
         \x20 max_file_size_kb: {kilobytes}\n\
         \x20 formatter: {format}\n\
         \x20 storage: {storage}\n\
         \x20 flush_after_n_draw: {batch_draws_max}\n\
         grpc: {{ limits: {{ max_connections_per_address: 10000 }} }}\n\
         log: {{ level: info, format: json }}\n"
    )
}

/// A child that serves, and writes one JSON object a line to its standard error. It is told the end
/// by the end of its standard input, which comes also when this process is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    address: String,
    ear: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts the command and waits for the line that says `listening` and the `address`.
    ///
    /// # Errors
    /// When it ends before, or says nothing; with what it said.
    pub fn start(mut command: Command) -> Result<Self, Error> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C is for the load, which ends the service after the answers have come.
        command.process_group(0);
        let mut child = command.spawn().map_err(Error::file(command.get_program().as_ref()))?;
        let stderr = child.stderr.take().expect("it is piped");
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let (heard, hears) = sync_channel(1);
        let ear = {
            let said = Arc::clone(&said);
            let listen = move || listen(stderr, &heard, &said);
            Builder::new().name("load-service-ear".to_owned()).spawn(listen)
        };
        let mut process = Self { child, address: String::new(), ear: None };
        process.ear = Some(ear.map_err(Error::system("run threads"))?);
        process.address = process.wait_until_it_listens(&hears, &said)?;
        Ok(process)
    }

    /// Where it listens, as a URL.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_it_listens(
        &mut self,
        hears: &Receiver<String>,
        said: &Mutex<VecDeque<String>>,
    ) -> Result<String, Error> {
        let said = || {
            let said = said.lock().expect("no holder of this lock panics");
            said.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
        };
        match hears.recv_timeout(START_PATIENCE) {
            Ok(address) => Ok(format!("http://{address}")),
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::ServiceSilent { seconds: START_PATIENCE.as_secs(), said: said() })
            }
            // The line has ended, so the process has or is about to.
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().map_err(Error::system("wait for the service"))?;
                Err(Error::ServiceEnded { status, said: said() })
            }
        }
    }

    /// Whether it ended by itself within its time.
    fn ends(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < STOP_PATIENCE {
            // An error means that there is nothing to wait for.
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(POLL);
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if !self.ends() {
            // It may end just now; then there is nothing to kill.
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if let Some(ear) = self.ear.take() {
            ear.join().expect("the thread does not panic");
        }
    }
}

/// Tells the address when it is said, and listens to the end: a service must be able to write.
fn listen(stderr: ChildStderr, heard: &SyncSender<String>, said: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(address) = listening(&line) {
            // Only the first one is waited for.
            drop(heard.try_send(address));
        }
        let mut said = said.lock().expect("no holder of this lock panics");
        if said.len() == LINES_KEPT {
            said.pop_front();
        }
        said.push_back(line);
    }
}

fn listening(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let is_listening = line.get("message")?.as_str()? == "listening";
    is_listening.then(|| line.get("address")?.as_str().map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_address_is_heard_and_the_end_of_the_input_ends_the_child() {
        let script = r#"echo 'no JSON' >&2
            echo '{"message":"starting"}' >&2
            echo '{"message":"listening","address":"127.0.0.1:7"}' >&2
            cat > /dev/null"#;
        let process = Process::start(shell(script)).unwrap();
        assert_eq!(process.address(), "http://127.0.0.1:7");
        let id = process.id();
        assert!(Path::new(&format!("/proc/{id}")).exists());
        drop(process);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn a_child_that_ends_is_told_with_its_last_words() {
        let error = Process::start(shell("echo no disk >&2; exit 74")).unwrap_err().to_string();
        assert!(error.contains("74") && error.contains("no disk"), "{error}");
        let error = Process::start(Command::new("/nonexistent/rewardpool")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/rewardpool"), "{error}");
    }
}
