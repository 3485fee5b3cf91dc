//! A small file system that can be filled to its last byte.
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::tools::{are_here, may_mount, run};

/// What kind, and how large.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// 20 MB on a loop device.
    Ext4,
    /// 4 MB of memory.
    Tmpfs,
}

/// A mounted file system. Unmounted when it is dropped.
#[derive(Debug)]
pub(crate) struct Volume {
    place: TempDir,
}

impl Volume {
    /// An empty one. `None` where it cannot be made.
    pub(crate) fn new(kind: Kind) -> Option<Self> {
        if !are_here(&["mount", "umount", "mkfs.ext4"]) || !may_mount() {
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let files = place.path().join("files");
        fs::create_dir(&files).unwrap();
        let mut mount = Command::new("mount");
        match kind {
            Kind::Ext4 => {
                let image = place.path().join("image");
                File::create_new(&image).unwrap().set_len(20 << 20).unwrap();
                run(Command::new("mkfs.ext4").arg("-q").arg(&image));
                mount.args(["-o", "loop"]).args([&image, &files]);
            }
            Kind::Tmpfs => {
                mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&files);
            }
        }
        run(&mut mount);
        Some(Self { place })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.path().join("files")
    }

    /// Takes all the space that is left.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        let mut size = 1 << 20;
        while size > 0 {
            match ballast.write_all(&vec![1; size]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => panic!("{error}"),
            }
        }
        // Space that is only promised may come back.
        drop(ballast.sync_all());
    }

    /// Gives it back.
    pub(crate) fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let files: &Path = &self.path();
        let unmounted = Command::new("umount").arg("--lazy").arg(files).status();
        // A second panic would hide the first.
        if !std::thread::panicking() {
            assert!(unmounted.unwrap().success(), "cannot unmount {}", files.display());
        }
    }
}
