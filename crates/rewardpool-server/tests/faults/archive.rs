//! Keeps the files that the service prunes, so that the whole log can be judged at the end.
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A segment lives much longer than this: until two more snapshots were made.
const EVERY: Duration = Duration::from_millis(2);

/// A directory of hard links to every file of a log that was ever seen.
#[derive(Debug)]
pub(crate) struct Archive {
    data: PathBuf,
    directory: PathBuf,
    /// The inode of each link.
    links: BTreeMap<String, u64>,
}

impl Archive {
    /// An archive of `data` in `directory`, which must be on the same file system and is made.
    pub(crate) fn new(data: &Path, directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        Self { data: data.to_owned(), directory: directory.to_owned(), links: BTreeMap::new() }
    }

    /// Links whatever is new. A file that took the name of another takes its place here too.
    pub(crate) fn gather(&mut self) {
        let Ok(entries) = fs::read_dir(&self.data) else { return };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if is_of_log(&name) {
                match self.link(&name) {
                    // The service removed or replaced it just now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    linked => linked.unwrap(),
                }
            }
        }
    }

    fn link(&mut self, name: &str) -> io::Result<()> {
        let source = self.data.join(name);
        let inode = fs::metadata(&source)?.ino();
        if self.links.get(name) == Some(&inode) {
            return Ok(());
        }
        let (target, fresh) = (self.directory.join(name), self.directory.join("fresh"));
        fs::hard_link(&source, &fresh)?;
        self.links.insert(name.to_owned(), fs::metadata(&fresh)?.ino());
        fs::rename(&fresh, &target)?;
        // Two names of one file stay as they are when one is renamed to the other.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Gathers all the time, on a thread of its own, until the watch is ended.
    pub(crate) fn watch(mut self) -> Watch {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let gather = move || {
            while !over.load(Ordering::Acquire) {
                self.gather();
                std::thread::sleep(EVERY);
            }
            self.gather();
            self
        };
        let thread = std::thread::Builder::new().name("archive".to_owned()).spawn(gather).unwrap();
        Watch { is_over, thread: Some(thread) }
    }
}

/// An archive that gathers.
#[derive(Debug)]
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Archive>>,
}

impl Watch {
    /// Gathers once more, and gives the archive back.
    pub(crate) fn end(mut self) -> Archive {
        self.is_over.store(true, Ordering::Release);
        self.thread.take().expect("a watch ends once").join().unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
    }
}

/// Whether this is a file of a log under its final name.
fn is_of_log(name: &str) -> bool {
    let number = ["wal.", "snapshot.", "secret."].iter().find_map(|kind| name.strip_prefix(kind));
    let is_numbered = number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()));
    name == "POOL" || is_numbered
}
