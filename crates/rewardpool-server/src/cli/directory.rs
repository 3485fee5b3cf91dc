//! A working directory, read without a service and never changed.
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use rewardpool_engine::EngineError;

use super::Failure;
use super::failure::exit;

const HINT: &str = "name the working directory with --dir";
const LOG_FILES: [&str; 3] = ["wal.", "snapshot.", "secret."];

/// Which directory is read.
#[derive(Args, Debug)]
pub(crate) struct DirectoryArgs {
    /// Working directory of a stopped service; it is only read
    #[arg(long, value_name = "DIR", default_value = "./rewardpool-data")]
    dir: PathBuf,
}

impl DirectoryArgs {
    /// Reads something from the directory.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Path) -> Result<T, EngineError>,
    ) -> Result<T, Failure> {
        read_directory(&self.dir, read)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }
}

/// Reads something from a directory, which must be there.
pub(crate) fn read_directory<T>(
    directory: &Path,
    read: impl FnOnce(&Path) -> Result<T, EngineError>,
) -> Result<T, Failure> {
    // The engine takes a directory without a log for one that lost it, which is worse than a typo.
    let is_log =
        |name: &String| name == "POOL" || LOG_FILES.iter().any(|prefix| name.starts_with(prefix));
    if !file_names(directory)?.iter().any(is_log) {
        let what = format!("{}: holds no log of a reward pool", directory.display());
        return Err(Failure::new(exit::INPUT_OUTPUT, what, HINT));
    }
    read(directory).map_err(|error| Failure::directory(directory, &error))
}

/// The files in a directory whose names are text, as all names of a log are.
pub(crate) fn file_names(directory: &Path) -> Result<Vec<String>, Failure> {
    let names = directory.read_dir().and_then(|entries| {
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(io::Result::transpose).collect()
    });
    names.map_err(|error| Failure::file(directory, &error, HINT))
}
