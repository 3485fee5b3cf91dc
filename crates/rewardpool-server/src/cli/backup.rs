//! `backup`: one archive of all that a restore needs, from a running service or a stopped directory.
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use rewardpool_backup::archive::{
    self, Archive, ArchiveError, ArchiveWriter, Contents, Made, Manifest, WriteError,
};
use rewardpool_backup::{PartialError, PartialFile};
use rewardpool_engine::{BackupError, BackupOptions, open_stopped};
use rewardpool_proto::v1;
use serde_json::{Value, json};
use tonic::{Code, Streaming};
use tonic_types::StatusExt as _;

use super::Failure;
use super::archive::{Summary, bad_archive, bad_log, size, time};
use super::directory::read_directory;
use super::failure::exit;
use super::output::{self, Format};
use super::service::{Address, with_service};

const EXAMPLES: &str = "\
Examples:
  rewardpool backup pool-$(date +%F).tar                 Of the running service
  rewardpool backup pool.tar --history                   With all the history that is kept
  rewardpool backup pool.tar --dir /var/lib/rewardpool   Of a stopped one
  rewardpool backup - --history | zstd > pool.tar.zst

The file appears only when it is whole, durable and verified: until then it is FILE.partial. It is
readable for you only, because it may hold the secrets of the pools: whoever has them can compute
every draw to come. A service gives them only with `backup_secrets: true` under `grpc`; without them
keep a copy of the files secret.* of its directory, for `rewardpool restore --secrets DIR`.";

/// A service that is silent for so long is given up.
const SILENCE: Duration = Duration::from_mins(2);
const STYLE: &str = "{msg:>10} [{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}";
const STDOUT: &str = "-";

/// Write a backup of the running service, or of a stopped directory, to a file
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BackupArgs {
    /// The file to write; `-` is standard output
    file: PathBuf,
    /// Back up this stopped directory instead of the running service
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Begin at the oldest snapshot that is kept, so that a restore can go back further
    #[arg(long)]
    history: bool,
    /// Whether the secrets of the pools are in it: `auto` (if the service gives them), `require` or
    /// `omit`
    #[arg(
        long,
        value_enum,
        value_name = "WHETHER",
        default_value = "auto",
        hide_possible_values = true
    )]
    secrets: Secrets,
    /// Take at most so many megabytes a second from the service, so that it has time for draws; 0 is
    /// as fast as it goes
    #[arg(long, value_name = "MB", default_value_t = 64)]
    max_rate: u32,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Whether a backup holds the secrets of the pools.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Secrets {
    /// If the service gives them; from a directory always.
    Auto,
    /// Or there is no backup.
    Require,
    /// They are left out.
    Omit,
}

pub(crate) fn run(args: &BackupArgs, address: &Address, format: Format) -> Result<(), Failure> {
    let begun = Instant::now();
    if args.file == Path::new(STDOUT) {
        return to_stdout(args, address);
    }
    let mut file =
        PartialFile::create(&args.file, args.force).map_err(|error| unwritable(&error))?;
    fetch(args, address, &mut file)?;
    file.sync().map_err(|error| unwritable(&error))?;
    let archive = Archive::open(file.partial()).map_err(|error| bad_archive(&args.file, &error))?;
    let archive = Arc::new(archive);
    let reached = archive.check_log().map_err(|error| bad_log(&args.file, &error))?;
    file.publish().map_err(|error| unwritable(&error))?;
    let written = Written {
        file: &args.file,
        bytes: archive.bytes(),
        manifest: archive.manifest(),
        summary: Summary::of(&reached.state),
        seconds: begun.elapsed().as_secs_f64(),
    };
    output::print(format, || written.table(), || written.json())?;
    Ok(())
}

/// Verifies the archive on its way. What it holds is not replayed: that needs a file.
fn to_stdout(args: &BackupArgs, address: &Address) -> Result<(), Failure> {
    let (mut reader, to_reader) = io::pipe().map_err(|error| no_thread(&error))?;
    let verify = move || -> Result<Contents, ArchiveError> {
        let read = archive::read(&mut reader);
        // Whoever writes must not wait for a reader that has found a fault.
        drop(io::copy(&mut reader, &mut io::sink()));
        read
    };
    let verifier = thread::Builder::new().name("backup-verify".to_owned()).spawn(verify);
    let verifier = verifier.map_err(|error| no_thread(&error))?;
    let mut both = Both { out: io::stdout().lock(), to_reader };
    let fetched = fetch(args, address, &mut both);
    let flushed = both.out.flush();
    drop(both);
    let verified = verifier.join().expect("the thread does not panic");
    fetched?;
    flushed?;
    verified.map_err(|error| bad_archive(Path::new("standard output"), &error))?;
    Ok(())
}

/// The standard output, and whoever verifies what is written to it.
struct Both {
    out: io::StdoutLock<'static>,
    to_reader: io::PipeWriter,
}

impl Write for Both {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.to_reader.write_all(&bytes[..written])?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn no_thread(error: &io::Error) -> Failure {
    let what = format!("the archive cannot be verified on its way: {error}");
    Failure::new(exit::INPUT_OUTPUT, what, "check the limits of processes and open files")
}

/// Writes the archive, from wherever it comes.
fn fetch(args: &BackupArgs, address: &Address, out: &mut dyn Write) -> Result<(), Failure> {
    match &args.dir {
        Some(directory) => from_directory(args, directory, out),
        None => from_service(args, address, out),
    }
}

fn from_directory(args: &BackupArgs, directory: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let options = BackupOptions { history: args.history, secrets: args.secrets != Secrets::Omit };
    let backup = read_directory(directory, |directory| match open_stopped(directory, options) {
        Ok(backup) => Ok(Ok(backup)),
        Err(BackupError::Engine(error)) => Err(error),
        Err(other) => Ok(Err(other)),
    })?;
    let backup = backup.map_err(|error| {
        let what = format!("{}: {error}", directory.display());
        Failure::new(exit::INPUT_OUTPUT, what, "leave out --history, or start the service once")
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let made = Made { version: env!("CARGO_PKG_VERSION"), time_ms };
    let archive = ArchiveWriter::new(backup, made);
    let bar = progress(archive.bytes());
    let written = archive.write(|part| {
        bar.inc(u64::try_from(part.len()).expect("a length has at most 64 bits"));
        out.write_all(part)
    });
    bar.finish_and_clear();
    written.map(drop).map_err(|error| match error {
        WriteError::Taken(error) => cannot_write(args, error),
        WriteError::Read { .. } => {
            let what = format!("{}: {error}", directory.display());
            Failure::new(exit::INPUT_OUTPUT, what, "check the disk of the directory")
        }
    })
}

fn from_service(args: &BackupArgs, address: &Address, out: &mut dyn Write) -> Result<(), Failure> {
    let secrets = match args.secrets {
        Secrets::Auto => v1::BackupSecrets::Unspecified,
        Secrets::Require => v1::BackupSecrets::Required,
        Secrets::Omit => v1::BackupSecrets::Omitted,
    };
    let bytes_per_second_max = match args.max_rate {
        0 => u64::MAX,
        megabytes => u64::from(megabytes) * 1_000_000,
    };
    let secrets = secrets.into();
    let request = v1::BackupRequest { history: args.history, secrets, bytes_per_second_max };
    with_service(address, async |service| {
        let answer = service.admin().backup(request).await.map_err(|status| refused(&status))?;
        receive(answer.into_inner(), args, out).await
    })
}

async fn receive(
    mut chunks: Streaming<v1::BackupChunk>,
    args: &BackupArgs,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut bar = ProgressBar::hidden();
    loop {
        let next = tokio::time::timeout(SILENCE, chunks.message()).await;
        let next = next.map_err(|_| {
            let what = format!("the service said nothing for {} seconds", SILENCE.as_secs());
            Failure::new(exit::UNAVAILABLE, what, AGAIN)
        })?;
        let Some(chunk) = next.map_err(|status| refused(&status))? else { break };
        if let Some(start) = chunk.start {
            bar = progress(start.bytes);
        }
        bar.inc(u64::try_from(chunk.data.len()).expect("a length has at most 64 bits"));
        out.write_all(&chunk.data).map_err(|error| cannot_write(args, error))?;
    }
    bar.finish_and_clear();
    Ok(())
}

const AGAIN: &str = "no backup was written; try again when `rewardpool health` says that it serves";

/// What the service says instead of a backup, or in the middle of one.
fn refused(status: &tonic::Status) -> Failure {
    let failure = Failure::status(status);
    let reason = status.get_details_error_info().map_or(String::new(), |info| info.reason);
    match reason.as_str() {
        "CORRUPT" => failure
            .with_code(exit::CORRUPT)
            .with_hint("keep the service running, copy its directory, and see docs/operations.md"),
        "SECRETS_NOT_SERVED" => failure.with_hint(
            "set `backup_secrets: true` under `grpc`, or take --secrets omit and copy the files \
             secret.* by another way",
        ),
        "TOO_MANY_FILES" => failure.with_hint("`rewardpool snapshot take`, then without --history"),
        "BACKUP_RUNNING" => failure.with_hint("try again when the other backups are finished"),
        _ if status.code() == Code::Unimplemented => failure,
        _ => failure.with_hint(AGAIN),
    }
}

fn cannot_write(args: &BackupArgs, error: io::Error) -> Failure {
    if args.file == Path::new(STDOUT) {
        return error.into();
    }
    Failure::file(&args.file, &error, "make room on its disk, or choose another file")
}

fn unwritable(error: &PartialError) -> Failure {
    let hint = match error {
        PartialError::Exists(_) => {
            "it is left as it was; choose another name, or replace it with --force"
        }
        PartialError::InUse(_) => "another backup writes this file; choose another name",
        PartialError::Io { .. } | _ => {
            "name a file in a directory that you may write to, on a disk with room"
        }
    };
    Failure::new(exit::INPUT_OUTPUT, error.to_string(), hint)
}

/// A bar for whoever watches.
fn progress(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    bar.set_style(ProgressStyle::with_template(STYLE).expect("the template is right"));
    bar.set_message("backup");
    bar
}

struct Written<'a> {
    file: &'a Path,
    bytes: u64,
    manifest: &'a Manifest,
    summary: Summary,
    seconds: f64,
}

impl Written<'_> {
    fn table(&self) -> String {
        let manifest = self.manifest;
        let head = [
            ("file", self.file.display().to_string()),
            ("bytes", format!("{} ({})", self.bytes, size(self.bytes))),
            ("made", time(manifest.made_ms)),
            ("log", manifest.uuid.clone()),
            ("restores from lsn", manifest.snapshot_lsn.to_string()),
        ];
        let note = if manifest.has_secrets {
            "It holds the secrets of the pools: whoever reads it can compute every draw to come.\n"
        } else {
            "It does not hold the secrets of the pools: keep the files secret.* of the directory,\n\
             without which it cannot be restored.\n"
        };
        format!("{}\n{note}", output::fields(head.into_iter().chain(self.summary.fields())))
    }

    fn json(&self) -> Value {
        let manifest = self.manifest;
        let mut value = json!({
            "file": self.file.display().to_string(),
            "bytes": self.bytes,
            "made_ms": manifest.made_ms,
            "uuid": manifest.uuid,
            "snapshot_lsn": manifest.snapshot_lsn,
            "has_secrets": manifest.has_secrets,
            "seconds": self.seconds,
        });
        merge(&mut value, self.summary.json());
        value
    }
}

/// Adds the fields of one object to another.
pub(super) fn merge(value: &mut Value, more: Value) {
    let (Value::Object(fields), Value::Object(more)) = (value, more) else {
        unreachable!("both are objects")
    };
    fields.extend(more);
}
