//! Writes the seeds of the fuzz targets: `rewardpool-fuzz CORPUS` makes `CORPUS/<target>/<name>`.
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use rewardpool_fuzz::seeds;

fn main() -> ExitCode {
    let Some(corpus) = env::args_os().nth(1).map(PathBuf::from) else {
        let _told = writeln!(io::stderr(), "expected the folder of the corpus");
        return ExitCode::from(64);
    };
    match write(&corpus) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _told = writeln!(io::stderr(), "{}: {error}", corpus.display());
            ExitCode::from(74)
        }
    }
}

fn write(corpus: &std::path::Path) -> io::Result<()> {
    for (target, name, bytes) in seeds() {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
