//! What the system knows of this process, under the names that all exporters give it.
use std::fs;
use std::time::Duration;

/// Of this process. What the system does not tell is `None`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    /// In seconds since 1970.
    pub(super) start_time: Option<f64>,
    pub(super) threads: Option<u64>,
}

/// The fields that are read of `/proc/self/stat`, in clock ticks, bytes and pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Process {
    pub(super) fn read() -> Self {
        let ticks = rustix::param::clock_ticks_per_second();
        let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        let text = |path| fs::read_to_string(path).ok();
        let stat = text("/proc/self/stat").as_deref().and_then(stat);
        let open_fds = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
        let seconds = |count: u64| duration(count, ticks).as_secs_f64();
        Self {
            cpu_seconds: stat.map(|stat| seconds(stat.cpu_ticks)),
            resident_bytes: stat.map(|stat| stat.resident_pages * page_bytes),
            virtual_bytes: stat.map(|stat| stat.virtual_bytes),
            // The directory that is listed has one itself.
            open_fds: open_fds.and_then(|count| u64::try_from(count).ok()).map(|n| n - 1),
            max_fds: text("/proc/self/limits").as_deref().and_then(max_fds),
            start_time: stat
                .zip(text("/proc/stat").as_deref().and_then(boot_time))
                .map(|(stat, boot)| (boot + duration(stat.start_ticks, ticks)).as_secs_f64()),
            threads: stat.map(|stat| stat.threads),
        }
    }
}

fn duration(ticks: u64, per_second: u64) -> Duration {
    let per_second = per_second.max(1);
    let nanos = (ticks % per_second) * 1_000_000_000 / per_second;
    Duration::from_secs(ticks / per_second) + Duration::from_nanos(nanos)
}

fn stat(text: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses, and may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let mut numbers = rest.split_ascii_whitespace().skip(1).map(|field| field.parse::<i64>().ok());
    // By the numbers of proc(5), of which the first here is the fourth.
    let mut field = |skipped| u64::try_from(numbers.nth(skipped)??).ok();
    let (user, system) = (field(14 - 4)?, field(0)?);
    let threads = field(20 - 16)?;
    let start_ticks = field(22 - 21)?;
    let (virtual_bytes, resident_pages) = (field(0)?, field(0)?);
    Some(Stat { cpu_ticks: user + system, threads, start_ticks, virtual_bytes, resident_pages })
}

fn max_fds(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// When the system was started, since 1970. In whole seconds, so it is the same whenever it is read.
fn boot_time(text: &str) -> Option<Duration> {
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_fields_are_those_of_the_manual() {
        let text = "4242 (a ) b) S 1 4242 4242 0 -1 4194560 921 0 3 0 150 25 0 0 20 0 5 0 987654 \
                    123456789 2048 18446744073709551615 1 1 0 0 0";
        let expected = Stat {
            cpu_ticks: 175,
            threads: 5,
            start_ticks: 987_654,
            virtual_bytes: 123_456_789,
            resident_pages: 2048,
        };
        assert_eq!(stat(text), Some(expected));
        assert_eq!(stat("4242 (a) S 1"), None);
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\n";
        assert_eq!(max_fds(limits), Some(1024));
        assert_eq!(max_fds("Max open files  unlimited  unlimited  files\n"), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 77\nx 1\n"), Some(Duration::from_secs(77)));
        assert_eq!(duration(250, 100), Duration::from_millis(2500));
    }

    #[test]
    fn this_process_is_what_the_system_says() {
        let before = Process::read();
        let _file = fs::File::open("/proc/self/stat").unwrap();
        let after = Process::read();
        assert!(after.open_fds >= Some(1) && after.max_fds >= after.open_fds, "{after:?}");
        assert!(after.resident_bytes > Some(1 << 20) && after.virtual_bytes > after.resident_bytes);
        assert!(after.cpu_seconds >= before.cpu_seconds && after.threads >= Some(1));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        // The start of the system is told in whole seconds.
        assert!((-2.0..3600.0).contains(&(now - after.start_time.unwrap())), "{after:?}");
        assert_eq!(after.start_time, before.start_time);
    }
}
