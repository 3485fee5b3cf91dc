//! Goal: a terminal that only shows costs next to nothing. Method: what the system counts for the
//! process while nothing happens. The bounds are generous, because this is an unoptimised build on a
//! machine that is busy with other tests; docs/benchmarks.md has the figures of a release.
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::service::Service;
use super::terminal::{self, SIZES, Terminal};

/// Time that is watched.
const WATCHED: Duration = Duration::from_secs(4);
/// Ticks of the system's clock in a second, on every Linux that there is.
const TICKS_PER_SECOND: u32 = 100;
/// Part of a processor.
const BUSY_MAX: f64 = 0.10;
/// Memory in KiB, of an unoptimised program.
const RESIDENT_MAX: u64 = 48 * 1024;

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
        let (began, before) = (Instant::now(), ticks(process));
        // What is measured is this time, so it has to pass.
        thread::sleep(WATCHED);
        let used = f64::from(ticks(process) - before) / f64::from(TICKS_PER_SECOND);
        let part = used / began.elapsed().as_secs_f64();
        assert!(part < BUSY_MAX, "{:.1} % of a processor at {size:?}", part * 100.0);
        let resident = resident(process);
        assert!(resident < RESIDENT_MAX, "{resident} KiB at {size:?}");
    }
}
