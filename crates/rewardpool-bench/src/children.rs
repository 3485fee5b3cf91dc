//! Processes that a measurement needs: a service, an echo, programs that take CPUs away. They end
//! with the value that stands for them, and with this program, however it ends.
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How long a program may take to listen.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(10);

/// A child process, killed when it is dropped.
pub(crate) struct Running {
    process: Child,
    address: String,
}

impl Running {
    /// A service with so many items, in an empty directory.
    pub(crate) fn service(program: &Path, directory: &Path, items: u32) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let config = directory.join("config.yaml");
        std::fs::write(&config, config_text(items))?;
        let mut command = Command::new(program);
        command.args(["serve", "--config"]).arg(&config).arg("--working-dir");
        command.arg(directory.join("data"));
        Self::listening(command)
    }

    /// An echo of the same messages.
    pub(crate) fn echo(program: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.arg("echo");
        Self::listening(command)
    }

    /// A program that takes one CPU.
    pub(crate) fn hog(program: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.arg("hog");
        Self::start(command, String::new())
    }

    /// Starts a server and waits until it listens.
    fn listening(mut command: Command) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        command.args(["--listen", &address]);
        let mut running = Self::start(command, format!("http://{address}"))?;
        let begun = Instant::now();
        while TcpStream::connect(&address).is_err() {
            if let Some(status) = running.process.try_wait()? {
                bail!("the program that should listen on {address} ended with {status}");
            }
            if begun.elapsed() > PATIENCE {
                bail!("nothing listens on {address}");
            }
            std::thread::sleep(POLL);
        }
        Ok(running)
    }

    fn start(mut command: Command, address: String) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: the closure only makes a system call, which is allowed between fork and exec.
        unsafe { command.pre_exec(end_with_parent) };
        let program = command.get_program().to_owned();
        let process = command.spawn().with_context(|| format!("start {}", program.display()))?;
        Ok(Self { process, address })
    }

    /// Where it listens, as a URL.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Bytes of memory that it uses, or `None` when it ended.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        resident_bytes(&self.process.id().to_string())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The kernel kills this process when the thread that started it ends.
fn end_with_parent() -> std::io::Result<()> {
    // SAFETY: the arguments are numbers.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Bytes of memory that a process uses (`self` is this one).
pub(crate) fn resident_bytes(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

fn config_text(items: u32) -> String {
    let items: Vec<_> = (0..items)
        .map(|n| format!("    - {{ item_id: item-{n}, quantity: -1, weight: {} }}", n + 1))
        .collect();
    format!("pool:\n  catalog:\n{}\n", items.join("\n"))
}

/// Takes a CPU until it is killed.
pub(crate) fn hog() -> anyhow::Result<ExitCode> {
    let mut count = 0_u64;
    loop {
        count = std::hint::black_box(count).wrapping_add(1);
    }
}
