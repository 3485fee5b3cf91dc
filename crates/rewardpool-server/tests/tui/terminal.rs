//! A terminal with a shell in it, by a tmux server of its own. When it goes out of scope, also by a
//! panic, everything that ran in it has ended.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than anything takes, also on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);
/// How often the screen is looked at.
const POLL: Duration = Duration::from_millis(30);
/// What the shell says when it waits.
const PROMPT: &str = "shell%";

/// The two sizes in which everything is tried.
pub(crate) const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

/// Whether tmux is here; says so when not.
///
/// # Panics
/// Under CI, which must have it.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn is_here() -> bool {
    let version = Command::new("tmux").arg("-V").stdout(Stdio::null()).status();
    let is_here = version.is_ok_and(|status| status.success());
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(is_here || !is_ci, "CI must have tmux; tests/install-tools installs it");
    if !is_here {
        eprintln!("skipped; not installed: tmux; tests/install-tools installs it");
    }
    is_here
}

/// A terminal with a shell.
pub(crate) struct Terminal {
    /// Where the shell is, and where its files are.
    home: TempDir,
    /// Programs that were started in it.
    started: Vec<u32>,
}

impl Terminal {
    /// A shell in a terminal of this size.
    pub(crate) fn new((columns, rows): (u16, u16)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let settings = "set -g status off\nset -g escape-time 0\nset -g history-limit 2000\n";
        fs::write(home.path().join("tmux.conf"), settings).unwrap();
        let terminal = Self { home, started: Vec::new() };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let shell = format!("exec env PS1='{PROMPT} ' bash --noprofile --norc -i");
        terminal.tmux(&["new-session", "-d", "-x", &columns, "-y", &rows, &shell]);
        terminal.wait_for("the shell", |screen| screen.contains(PROMPT));
        terminal
    }

    /// Its directory, which is that of the shell.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Starts the program with these arguments and waits until its screen is there.
    pub(crate) fn start(&mut self, arguments: &str) {
        self.start_with("", arguments);
    }

    /// The same with variables before it.
    pub(crate) fn start_with(&mut self, variables: &str, arguments: &str) {
        self.shell(&format!(
            "{variables} {} {arguments} 2>stderr; echo code=$?",
            env!("CARGO_BIN_EXE_rewardpool")
        ));
        self.wait_for("the first picture", |screen| screen.contains("1 Pool"));
        self.wait_for("a connection", |screen| screen.contains("connected"));
        let child = self.child();
        self.started.push(child);
    }

    /// Enters a line in the shell.
    pub(crate) fn shell(&self, line: &str) {
        self.tmux(&["send-keys", "-R"]);
        self.enter(line.trim_start());
    }

    /// Types text.
    pub(crate) fn write(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "--", text]);
    }

    /// Presses keys, by their names.
    pub(crate) fn keys(&self, names: &[&str]) {
        let mut words = vec!["send-keys"];
        words.extend(names);
        self.tmux(&words);
    }

    /// Types a line and enters it.
    pub(crate) fn enter(&self, line: &str) {
        self.write(line);
        self.keys(&["Enter"]);
    }

    /// Enters a command and waits until the screen shows what came of it.
    #[track_caller]
    pub(crate) fn command(&self, line: &str, shown: &str) -> String {
        self.enter(line);
        self.wait_text(shown)
    }

    /// Presses the left button at a place counted from 0, as a terminal reports it.
    pub(crate) fn click(&self, column: usize, row: usize) {
        let (column, row) = (column + 1, row + 1);
        self.write(&format!("\u{1b}[<0;{column};{row}M\u{1b}[<0;{column};{row}m"));
    }

    /// Turns the wheel towards the user there.
    pub(crate) fn wheel_down(&self, column: usize, row: usize) {
        self.write(&format!("\u{1b}[<65;{};{}M", column + 1, row + 1));
    }

    /// Everything that the program writes from now on also goes into the file that this names.
    #[track_caller]
    pub(crate) fn record(&self) -> PathBuf {
        let path = self.home().join("output");
        self.tmux(&["pipe-pane", "-O", &format!("exec cat > '{}'", path.display())]);
        let begun = Instant::now();
        while !path.exists() {
            assert!(begun.elapsed() < PATIENCE, "nothing is recorded");
            thread::sleep(POLL);
        }
        path
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, (columns, rows): (u16, u16)) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// What the screen shows.
    pub(crate) fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The same with the codes of its colours.
    pub(crate) fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub(crate) fn wait_text(&self, text: &str) -> String {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = words(text);
        // A long line may be broken anywhere.
        self.wait_for(text, |screen| screen.contains(text) || words(screen).contains(&wanted))
    }

    /// Waits until the screen is as it should be.
    ///
    /// # Panics
    /// With the screen, when it is not in time.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, is_right: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if is_right(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "there is no {what:?} on\n{screen}");
            thread::sleep(POLL);
        }
    }

    /// Waits until the program has ended and the shell is there again, and gives the exit code. The
    /// terminal must be as it was: what is typed is echoed and executed, and the last screen is gone.
    #[track_caller]
    pub(crate) fn wait_end(&self) -> i32 {
        let screen = self.wait_for("end", |screen| {
            screen.contains("code=") && screen.trim_end().ends_with(PROMPT)
        });
        let (_, code) = screen.rsplit_once("code=").unwrap();
        let code = code.split_whitespace().next().unwrap().parse().unwrap();
        assert!(!screen.contains("1 Pool"), "the screen of the program is left behind:\n{screen}");
        self.shell("stty -a; echo back-$((40 + 2))");
        let screen = self.wait_text("back-42");
        assert!(screen.contains("echo back-$((40"), "keys are not echoed:\n{screen}");
        assert!(screen.contains(" icanon "), "lines are not edited:\n{screen}");
        let modes = self.tmux(&[
            "display-message",
            "-p",
            "#{cursor_flag} #{mouse_any_flag} #{alternate_on} #{bracket_paste_flag}",
        ]);
        // The shell edits its lines by bracketed paste, so that one says nothing.
        assert!(modes.starts_with("1 0 0"), "cursor, mouse or screen are not restored: {modes}");
        code
    }

    /// The error output of the program.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.home().join("stderr")).unwrap()
    }

    /// The process of the program.
    pub(crate) fn child(&self) -> u32 {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let shell = shell.trim();
        let path = format!("/proc/{shell}/task/{shell}/children");
        let children = fs::read_to_string(path).unwrap();
        children.split_whitespace().next().expect("a program runs").parse().unwrap()
    }

    /// Ends the terminal as closing its window does.
    pub(crate) fn close(&self) {
        self.tmux(&["kill-server"]);
    }

    #[track_caller]
    fn tmux(&self, words: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command_of(words).output().unwrap();
        assert!(status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    }

    fn command_of(&self, words: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command
            .args(["-u", "-L", "test", "-f"])
            .arg(self.home().join("tmux.conf"))
            .args(words)
            .current_dir(self.home())
            .env("TMUX_TMPDIR", self.home())
            .env("LC_ALL", "C.UTF-8")
            .env("USER", "ann")
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .env_remove("REWARDPOOL_ADDR")
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may be closed already.
        let _closed = self.command_of(&["kill-server"]).output();
        for process in &self.started {
            let begun = Instant::now();
            while is_running(*process) && begun.elapsed() < PATIENCE {
                thread::sleep(POLL);
            }
            if is_running(*process) {
                signal("KILL", *process);
            }
        }
    }
}

/// Whether a process is there and has not ended.
pub(crate) fn is_running(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The state stands behind the name, which is in parentheses.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Waits until a process has ended.
#[track_caller]
pub(crate) fn wait_gone(process: u32) {
    let begun = Instant::now();
    while is_running(process) {
        assert!(begun.elapsed() < PATIENCE, "the process {process} does not end");
        thread::sleep(POLL);
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, process: u32) {
    let sent = Command::new("/bin/kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(sent.unwrap().success(), "{name} to {process}");
}

/// Checks a directory with `rewardpool verify`, and gives what it says.
#[track_caller]
pub(crate) fn verify(directory: &Path) -> String {
    let run = Command::new(binary()).arg("verify").arg("--dir").arg(directory).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
    text
}

/// The program under test.
pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_rewardpool"))
}
