//! Programs of the system, and processes that end with this one.
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::table::float;

const PATIENCE: Duration = Duration::from_secs(30);

/// A program that is not there, and where it is.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not installed: apt install {}", self.program, self.package)
    }
}

/// Looks for a program in these directories, then where the shell looks.
pub(crate) fn find(
    program: &'static str,
    package: &'static str,
    directories: &[PathBuf],
) -> Result<PathBuf, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let everywhere = directories.iter().cloned().chain(std::env::split_paths(&path));
    let mut places = everywhere.map(|directory| directory.join(program));
    places.find(|place| place.is_file()).ok_or(Missing { program, package })
}

/// Runs to the end and returns what was printed.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {name}"))?;
    ensure!(
        output.status.success(),
        "{name}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim(),
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether the processes of this one have all rights. `PostgreSQL` refuses to run with them.
pub(crate) fn is_root() -> anyhow::Result<bool> {
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}

/// A command as another user, for what refuses to run as root. The process gets a signal when this
/// one ends in whatever way; the signal is the one at which `PostgreSQL` does not wait for clients.
pub(crate) fn tied(program: &Path, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

/// A server; killed when it is dropped.
pub(crate) struct Server(Child);

impl Server {
    /// Starts it and waits until it answers.
    pub(crate) fn start(
        command: &mut Command,
        mut answers: impl FnMut() -> bool,
    ) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Self(command.spawn().context("start setpriv")?);
        let begun = Instant::now();
        while !answers() {
            let name =
                || command.get_args().map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
            if let Some(status) = server.0.try_wait()? {
                bail!("{}: {status}", name());
            }
            ensure!(begun.elapsed() < PATIENCE, "{}: does not answer", name());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Waits until it has ended, after it was asked to.
    pub(crate) fn wait(&mut self) {
        let begun = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The share of the CPUs' time that was used while this process slept.
pub(crate) fn busy_share(pause: Duration) -> anyhow::Result<f64> {
    let (busy_before, all_before) = cpu_time()?;
    std::thread::sleep(pause);
    let (busy, all) = cpu_time()?;
    Ok(float(busy - busy_before) / float((all - all_before).max(1)))
}

/// Busy and whole time of all CPUs, in the kernel's ticks.
fn cpu_time() -> anyhow::Result<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu "));
    let fields = line.context("the kernel tells the time of its CPUs")?.split_whitespace().take(8);
    let fields = fields.map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    ensure!(fields.len() == 8, "the kernel tells eight kinds of time");
    let all = fields.iter().sum::<u64>();
    Ok((all - fields[3] - fields[4], all))
}
