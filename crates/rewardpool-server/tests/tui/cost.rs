//! Goal: a terminal that only shows costs next to nothing, and answers a key at once however busy the
//! service is. Method: what the system counts for the process while nothing happens, and the time
//! from a key to its change on the screen. The bounds are generous, because this may be an unoptimised
//! build on a machine that is busy with other tests; docs/terminal.md has the figures of a release,
//! which `--no-capture` prints.
use std::fs::{self, File};
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::service::Service;
use super::terminal::{self, PATIENCE, SIZES, Terminal, binary};

/// Time that is watched.
const WATCHED: Duration = Duration::from_secs(4);
/// Ticks of the system's clock in a second, on every Linux that there is.
const TICKS_PER_SECOND: u32 = 100;
/// Part of a processor.
const BUSY_MAX: f64 = if cfg!(debug_assertions) { 0.10 } else { 0.01 };
/// Memory in KiB.
const RESIDENT_MAX: u64 = if cfg!(debug_assertions) { 48 * 1024 } else { 30 * 1024 };
/// Keys that are timed.
const KEYS: usize = 200;
/// Written by no part of the screen, so that they can be found in what it writes.
const MARKS: [char; 5] = ['@', '^', '#', '&', '$'];
/// From a key to its change on the screen, for the half of them.
const MEDIAN_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 400 } else { 100 });

/// Processor time of a process so far, in ticks.
fn ticks(process: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let field = |place: usize| rest.split(' ').nth(place).unwrap().parse::<u32>().unwrap();
    field(11) + field(12)
}

/// Memory of a process, in KiB.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The part of a processor that a process uses while this time passes.
fn busy(process: u32) -> f64 {
    let (began, before) = (Instant::now(), ticks(process));
    // What is measured is this time, so it has to pass.
    thread::sleep(WATCHED);
    let used = f64::from(ticks(process) - before) / f64::from(TICKS_PER_SECOND);
    used / began.elapsed().as_secs_f64()
}

#[expect(clippy::print_stderr, reason = "figures for people")]
fn tell(figure: &str) {
    eprintln!("{figure}");
}

#[test]
fn an_idle_terminal_costs_next_to_nothing() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path());
    for size in SIZES {
        let mut terminal = Terminal::new(size);
        terminal.start(&format!("tui --attach {}", service.address()));
        terminal.wait_text("diamond");
        let process = terminal.child();
        let part = busy(process);
        let resident = resident(process);
        tell(&format!("idle at {size:?}: {:.2} % of a processor, {resident} KiB", part * 100.0));
        assert!(part < BUSY_MAX, "{:.1} % of a processor at {size:?}", part * 100.0);
        assert!(resident < RESIDENT_MAX, "{resident} KiB at {size:?}");
    }
}

/// A million draws in a second by somebody else, until it goes out of scope.
struct Load(Child);

impl Load {
    fn start(service: &Service) -> Self {
        let load = Command::new(binary())
            .args(["bench", "grpc", "--yes", "--seconds", "600", "--pool", "default"])
            .args(["--count", "100", "--rate", "10000", "--addr", service.address()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(load.unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// Whether the screen tells of half a million draws in a second, or more.
fn is_busy(screen: &str) -> bool {
    let Some((before, _)) = screen.split_once(" draws/s") else { return false };
    let pace = before.rsplit("· ").next().unwrap_or_default();
    let digits: String = pace.chars().filter(char::is_ascii_digit).collect();
    pace.ends_with('M') || digits.parse::<u32>().is_ok_and(|pace| pace >= 500_000)
}

/// Types a character and waits until the screen shows it.
fn key_to_screen(terminal: &Terminal, output: &mut File, mark: char) -> Duration {
    let mut written = Vec::new();
    output.read_to_end(&mut written).unwrap();
    written.clear();
    let begun = Instant::now();
    terminal.write(&mark.to_string());
    while !written.contains(&u8::try_from(mark).unwrap()) {
        assert!(begun.elapsed() < PATIENCE, "{mark:?} is not shown on\n{}", terminal.screen());
        thread::sleep(Duration::from_micros(200));
        output.read_to_end(&mut written).unwrap();
    }
    begun.elapsed()
}

#[test]
fn a_key_is_answered_at_once_while_others_draw_a_million_times_a_second() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(home.path());
    for size in SIZES {
        let mut terminal = Terminal::new(size);
        terminal.start(&format!("tui --attach {}", service.address()));
        terminal.wait_text("diamond");
        let mut output = File::open(terminal.record()).unwrap();
        let load = Load::start(&service);
        let screen = terminal.wait_for("a busy service", is_busy);
        let (began, before) = (Instant::now(), ticks(terminal.child()));
        let mut took = Vec::new();
        for place in 0..KEYS {
            took.push(key_to_screen(&terminal, &mut output, MARKS[place % MARKS.len()]));
            if place % 20 == 19 {
                // A mark that is there already is not written again.
                terminal.keys(&["C-u"]);
                terminal.wait_text("type a command");
            }
        }
        let used = f64::from(ticks(terminal.child()) - before) / f64::from(TICKS_PER_SECOND);
        drop(load);
        took.sort_unstable();
        let (median, p99, max) = (took[KEYS / 2], took[KEYS * 99 / 100], took[KEYS - 1]);
        let part = 100.0 * used / began.elapsed().as_secs_f64();
        let pulse = screen.lines().nth(1).unwrap_or_default().trim();
        tell(&format!(
            "{size:?}: key to screen {median:.1?}, p99 {p99:.1?}, max {max:.1?}; {part:.1} % of a processor ({pulse})"
        ));
        assert!(median < MEDIAN_MAX, "{median:?} from a key to the screen");
    }
}
