//! A working directory, read without a service and never changed.
use std::path::{Path, PathBuf};

use clap::Args;
use rewardpool_engine::EngineError;

use super::Failure;
use super::failure::exit;

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
    let shown = directory.display();
    match directory.metadata() {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            let hint = "name the working directory with --dir";
            return Err(Failure::new(
                exit::INPUT_OUTPUT,
                format!("{shown}: not a directory"),
                hint,
            ));
        }
        Err(error) => {
            return Err(Failure::file(directory, &error, "name the working directory with --dir"));
        }
    }
    read(directory).map_err(|error| Failure::directory(directory, &error))
}
