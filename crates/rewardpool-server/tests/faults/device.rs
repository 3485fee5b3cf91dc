//! A disk whose power can be cut and whose writes can be made to fail, with a real file system on
//! it: our plugin in nbdkit, shown as a file by nbdfuse, and mounted through a loop device.
//!
//! Nothing of it outlives its [`Device`]: dropping it unmounts both file systems, which detaches
//! the loop device and ends both programs.
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::tools::{are_here, compile, may_mount, run};

/// XFS refuses to be smaller than 300 MB.
const SIZE: &str = "320M";
/// A good disk's, and long beside a write, so that most cuts meet writes that are not flushed.
const FLUSH_DELAY: &str = "flush-delay=1500";
const PATIENCE: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(2);

/// The file systems that are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
}

impl FileSystem {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    fn format(self, disk: &Path) {
        let mut command = Command::new(format!("mkfs.{}", self.name()));
        match self {
            // Everything is written now, so that the kernel does no work of its own later.
            Self::Ext4 => command.args(["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
            Self::Xfs => command.args(["-q", "-f"]),
        };
        run(command.arg(disk));
    }
}

/// What a power cut did to the sectors that were written and not flushed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) lost: u64,
    pub(crate) kept: u64,
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Device {
    directory: TempDir,
    nbdfuse: Child,
    is_mounted: bool,
}

impl Device {
    /// A disk with an empty file system, mounted. `None` where the tools are missing.
    pub(crate) fn new(file_system: FileSystem) -> Option<Self> {
        let mkfs = format!("mkfs.{}", file_system.name());
        let programs = ["cc", "nbdkit", "nbdfuse", "fusermount3", "losetup", "mount", &mkfs];
        if !are_here(&programs) || !may_mount() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        compile("device/power_cut.c", &place.join("power_cut.so"));
        for name in ["disk", "files"] {
            fs::create_dir(place.join(name)).unwrap();
        }
        let log = fs::File::create(place.join("log")).unwrap();
        let nbdfuse = Command::new("nbdfuse")
            .current_dir(place)
            .args(["disk/disk", "--command", "nbdkit", "-s", "--exit-with-parent"])
            .args(["./power_cut.so", &format!("size={SIZE}"), FLUSH_DELAY, "control=control"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut device = Self { directory, nbdfuse, is_mounted: false };
        device.wait_for_disk();
        file_system.format(&device.disk());
        device.mount();
        Some(device)
    }

    /// Where its files are, while it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    /// Mounts the file system, which makes it recover from a power cut.
    pub(crate) fn mount(&mut self) {
        assert!(!self.is_mounted, "it is mounted");
        run(Command::new("mount").args(["-o", "loop"]).args([self.disk(), self.path()]));
        self.is_mounted = true;
    }

    /// Unmounts it. Nothing may use its files any more.
    pub(crate) fn unmount(&mut self) {
        assert!(self.is_mounted, "it is not mounted");
        run(Command::new("umount").arg(self.path()));
        self.is_mounted = false;
        // The next mount must read the disk, not what a loop device that is going away remembers.
        let begun = Instant::now();
        while !run(Command::new("losetup").arg("--associated").arg(self.disk())).is_empty() {
            assert!(begun.elapsed() < PATIENCE, "the loop device is not detached");
            std::thread::sleep(GLANCE);
        }
    }

    /// Cuts the power: a random part of what was not flushed survives. All fails until
    /// [`Device::heal`]. In force when it returns.
    pub(crate) fn cut_power(&self, seed: u64) -> Cut {
        let numbers = self.command(&format!("cut {seed}"));
        let [lost, kept] = numbers[..] else { panic!("{numbers:?}") };
        Cut { lost, kept }
    }

    /// Makes writes fail. In force when it returns.
    pub(crate) fn fail_writes(&self) {
        self.command("fail-write");
    }

    /// Makes flushes fail. In force when it returns.
    pub(crate) fn fail_flushes(&self) {
        self.command("fail-flush");
    }

    /// Ends all faults. Gives the number of requests that met the last one.
    pub(crate) fn heal(&self) -> u64 {
        let numbers = self.command("heal");
        let [failed] = numbers[..] else { panic!("{numbers:?}") };
        failed
    }

    fn disk(&self) -> PathBuf {
        self.directory.path().join("disk/disk")
    }

    /// Sends a command to the plugin and gives the numbers of its answer.
    fn command(&self, command: &str) -> Vec<u64> {
        let socket = self.directory.path().join("control");
        let mut connection = UnixStream::connect(socket).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(connection, "{command}").unwrap();
        let mut answer = String::new();
        BufReader::new(connection).read_line(&mut answer).unwrap();
        let numbers = answer.trim_end().strip_prefix("ok").expect("the disk knows the command");
        numbers.split_whitespace().map(|number| number.parse().unwrap()).collect()
    }

    fn wait_for_disk(&mut self) {
        let begun = Instant::now();
        while !self.disk().exists() {
            let log = fs::read_to_string(self.directory.path().join("log")).unwrap();
            assert!(self.nbdfuse.try_wait().unwrap().is_none(), "nbdfuse ended: {log}");
            assert!(begun.elapsed() < PATIENCE, "nbdfuse does not show its disk: {log}");
            std::thread::sleep(GLANCE);
        }
    }

    /// Takes everything down. Says what could not be.
    fn take_down(&mut self) -> Result<(), String> {
        let mut result = Ok(());
        let mut mounts = vec![self.directory.path().join("disk")];
        if self.is_mounted {
            mounts.insert(0, self.path());
        }
        for mount in mounts {
            // Lazily, because a service that a failed test left behind may still have files open.
            let unmounted = Command::new("umount").arg("--lazy").arg(&mount).status();
            if !unmounted.as_ref().is_ok_and(std::process::ExitStatus::success) {
                result = Err(format!("cannot unmount {}: {unmounted:?}", mount.display()));
            }
        }
        // Without its mount nbdfuse ends by itself, and nbdkit with it.
        let begun = Instant::now();
        while matches!(self.nbdfuse.try_wait(), Ok(None)) {
            if begun.elapsed() > PATIENCE {
                drop(self.nbdfuse.kill());
                drop(self.nbdfuse.wait());
                return Err("nbdfuse did not end with its mount".to_owned());
            }
            std::thread::sleep(GLANCE);
        }
        result
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let down = self.take_down();
        // A second panic would hide the first.
        if !std::thread::panicking() {
            down.unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// What is written and synced survives a cut; of what is not synced, some goes and some stays.
    /// A disk that lost nothing would prove nothing.
    #[test]
    fn the_disk_forgets_what_was_not_flushed_and_nothing_else() {
        for file_system in [FileSystem::Ext4, FileSystem::Xfs] {
            let Some(mut device) = Device::new(file_system) else { return };
            let mut all = Cut { lost: 0, kept: 0 };
            for round in 0..5 {
                let (synced, unsynced) = (device.path().join("synced"), device.path().join("u"));
                let file = fs::File::create(&synced).unwrap();
                file.write_all_at(&[7; 10_000], 0).unwrap();
                file.sync_all().unwrap();
                // The blocks exist, so the writes below change no metadata that would order them.
                let other = fs::File::create(&unsynced).unwrap();
                other.write_all_at(&vec![1; 1 << 20], 0).unwrap();
                other.sync_all().unwrap();
                device.fail_flushes();
                other.write_all_at(&vec![2; 1 << 20], 0).unwrap();
                assert!(other.sync_data().is_err(), "the flush fails");
                let cut = device.cut_power(round);
                all = Cut { lost: all.lost + cut.lost, kept: all.kept + cut.kept };
                assert!(cut.lost + cut.kept >= 2048, "a sector is neither lost nor kept: {cut:?}");
                drop((file, other));
                device.unmount();
                device.heal();
                device.mount();
                assert_eq!(fs::read(&synced).unwrap(), [7; 10_000]);
                let sectors = fs::read(&unsynced).unwrap();
                let kept = sectors.chunks(512).filter(|sector| *sector == [2; 512]).count();
                assert!(sectors.chunks(512).all(|s| s == [1; 512] || s == [2; 512]), "torn sector");
                assert!(kept as u64 <= cut.kept, "{kept} of {cut:?}");
            }
            assert!(all.lost > 0 && all.kept > 0, "{all:?}");
        }
    }

    /// After a failed write the kernel still shows what is not on the disk: why recovery writes
    /// what it read.
    #[test]
    fn the_kernel_shows_what_a_failed_write_lost() {
        let Some(mut device) = Device::new(FileSystem::Ext4) else { return };
        let path = device.path().join("file");
        let file = fs::File::create(&path).unwrap();
        file.write_all_at(&[1; 4096], 0).unwrap();
        file.sync_all().unwrap();
        device.fail_writes();
        file.write_all_at(&[2; 4096], 0).unwrap();
        assert!(file.sync_data().is_err(), "the write fails");
        assert!(device.heal() > 0, "the fault was met");
        file.sync_data().unwrap();
        assert_eq!(fs::read(&path).unwrap(), [2; 4096], "a ghost: it is in memory only");
        drop(file);
        device.unmount();
        device.mount();
        assert_eq!(fs::read(&path).unwrap(), [1; 4096]);
    }
}
