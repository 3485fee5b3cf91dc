//! `restore`: a working directory from a backup, up to any record of it.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use rewardpool_backup::archive::Archive;
use rewardpool_backup::{DirectoryError, RestoreDirectory};
use rewardpool_engine::Chain;
use rewardpool_engine::restore::{Reached, Restore, RestoreError, Until};
use rewardpool_wal::storage::{FileStorage, Storage};
use serde_json::{Value, json};

use super::Failure;
use super::archive::{Summary, bad_archive, bad_log, not_restored, parse_time, time};
use super::backup::merge;
use super::failure::exit;
use super::output::{self, Format};

const EXAMPLES: &str = "\
Examples:
  rewardpool restore pool.tar --dry-run                        What it holds, and whether it is good
  rewardpool restore pool.tar --dir /var/lib/rewardpool        All of it
  rewardpool restore pool.tar --dir ./then --to-lsn 12345
  rewardpool restore pool.tar --dir ./then --to-time 2026-11-24T18:30:00Z

Stop the service first, and do not start the old directory again: what was answered after the
backup is lost, and other answers take its place. The restored log has a new identity. Request ids
that were given after its last record are given again, with outcomes that have nothing to do with
the lost ones; idempotency keys of lost draws are forgotten.";

/// Make a working directory from a backup
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// The directory to make, which must be empty or not there
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    dir: Option<PathBuf>,
    /// The last record to restore
    #[arg(long, value_name = "LSN", conflicts_with = "to_time")]
    to_lsn: Option<u64>,
    /// Restore what was written until then, for example 2026-11-24T18:30:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to_time: Option<u64>,
    /// Take the files secret.* from this directory, for a backup without them
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
    /// Verify and tell, and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &RestoreArgs, format: Format) -> Result<(), Failure> {
    let file = &args.file;
    if let Some(directory) = &args.dir {
        RestoreDirectory::check(directory).map_err(|error| unusable(&error))?;
    }
    let archive = Archive::open(file).map_err(|error| bad_archive(file, &error))?;
    let archive = Arc::new(archive);
    let whole = archive.check_log().map_err(|error| bad_log(file, &error))?;
    let whole = Summary::of(&whole.state);
    let secrets = secrets(args, &archive)?;
    let until = match (args.to_lsn, args.to_time) {
        (Some(lsn), _) => Until::Lsn(lsn),
        (None, Some(time_ms)) => Until::Time(time_ms),
        (None, None) => Until::End,
    };
    let log = Arc::clone(&archive) as Arc<dyn Storage>;
    let restore = Restore { log, secrets: secrets.as_ref(), until };
    let reached = restore.look().map_err(|error| too_far(file, &error))?;
    let secrets_found = restore.check_secrets(&reached.state);
    let reached = if args.dry_run {
        if archive.manifest().has_secrets || args.secrets.is_some() {
            secrets_found.map_err(|error| no_secrets(args, &error))?;
        }
        reached
    } else {
        secrets_found.map_err(|error| no_secrets(args, &error))?;
        let directory = args.dir.as_ref().expect("it is required");
        write(&restore, file, directory)?
    };
    let told = Told { args, archive: &archive, reached: &reached, whole: &whole };
    output::print(format, || told.table(), || told.json())?;
    Ok(())
}

/// Where the secrets of the pools are.
fn secrets(args: &RestoreArgs, archive: &Arc<Archive>) -> Result<Arc<dyn Storage>, Failure> {
    let Some(directory) = &args.secrets else {
        return Ok(Arc::clone(archive) as Arc<dyn Storage>);
    };
    let opened = FileStorage::open(directory);
    let hint = "name a directory with the files secret.*";
    let opened = opened.map_err(|error| Failure::file(directory, &error, hint))?;
    Ok(Arc::new(opened))
}

fn write(restore: &Restore<'_>, file: &Path, directory: &Path) -> Result<Reached, Failure> {
    let place = RestoreDirectory::create(directory).map_err(|error| unusable(&error))?;
    let opened = FileStorage::open(place.waiting());
    let into: Arc<dyn Storage> = Arc::new(opened.map_err(|error| {
        Failure::file(place.waiting(), &error, "check the permissions of the directory")
    })?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let reached = restore.write(&into, now_ms).map_err(|error| not_restored(file, &error))?;
    place.publish().map_err(|error| unusable(&error))?;
    Ok(reached)
}

fn too_far(file: &Path, error: &RestoreError) -> Failure {
    let RestoreError::Earlier { first, first_ms } = error else { return not_restored(file, error) };
    let (file, moment) = (file.display(), time(*first_ms));
    let what = format!("{file}: the backup begins with a snapshot of lsn {first}, of {moment}");
    let hint = "what is wanted is before that: take an older backup, or one made with --history";
    Failure::new(exit::USAGE, what, hint)
}

fn no_secrets(args: &RestoreArgs, error: &RestoreError) -> Failure {
    let place = args.secrets.as_ref().unwrap_or(&args.file);
    let what = format!("{}: {}", place.display(), Chain(error));
    let hint = "a service does not start without the secrets of its pools: name a directory with \
                the files secret.* of the log that was backed up, with --secrets";
    Failure::new(exit::USAGE, what, hint)
}

fn unusable(error: &DirectoryError) -> Failure {
    let (code, hint) = match error {
        DirectoryError::InUse(_) => {
            (exit::LOCKED, "a service or another restore uses it: stop it, or choose another --dir")
        }
        DirectoryError::NotEmpty { .. } => (
            exit::INPUT_OUTPUT,
            "choose an empty directory, or move this one away: keep it until \
              the restored service has proved itself",
        ),
        error if error.is_out_of_space() => {
            (exit::INPUT_OUTPUT, "make room on the disk of the directory, and restore again")
        }
        DirectoryError::Io { .. } | _ => {
            (exit::INPUT_OUTPUT, "name a directory that you may make and write to")
        }
    };
    Failure::new(code, error.to_string(), hint)
}

struct Told<'a> {
    args: &'a RestoreArgs,
    archive: &'a Archive,
    reached: &'a Reached,
    whole: &'a Summary,
}

impl Told<'_> {
    fn directory(&self) -> Option<&Path> {
        self.args.dir.as_deref().filter(|_| !self.args.dry_run)
    }

    fn table(&self) -> String {
        let (reached, manifest) = (self.reached, self.archive.manifest());
        let mut fields = vec![("backup", self.args.file.display().to_string())];
        fields.push(("made", time(manifest.made_ms)));
        if let Some(directory) = self.directory() {
            fields.push(("directory", directory.display().to_string()));
        }
        fields.extend([
            ("log", manifest.uuid.clone()),
            ("restores from lsn", manifest.snapshot_lsn.to_string()),
            ("segments", reached.segments.to_string()),
            ("records", reached.records.to_string()),
        ]);
        if self.directory().is_some() {
            fields.push(("new log", reached.identity.to_hex()));
        }
        let summary = Summary::of(&reached.state);
        fields.extend(summary.fields());
        let left_out = summary.left_out_of(self.whole);
        if let Some((records, draws)) = left_out {
            fields.push(("left out", format!("{records} records, {draws} request ids")));
        }
        let has_secrets = if manifest.has_secrets { "yes" } else { "no" };
        fields.push(("has secrets", has_secrets.to_owned()));
        let last = match self.directory() {
            None => "\nThe backup is good. Nothing was written.\n".to_owned(),
            Some(directory) => format!(
                "\nRestored and verified. Request ids go on from {}; those that were given after that\n\
                 before are given again, with other outcomes. Start it with\n  \
                 rewardpool serve --working-dir {}\n",
                reached.state.last_request_id() + 1,
                directory.display()
            ),
        };
        output::fields(fields) + &last
    }

    fn json(&self) -> Value {
        let (reached, manifest) = (self.reached, self.archive.manifest());
        let directory = self.directory();
        let summary = Summary::of(&reached.state);
        let (records, ids) = summary.left_out_of(self.whole).unwrap_or_default();
        let mut value = json!({
            "backup": self.args.file.display().to_string(),
            "made_ms": manifest.made_ms,
            "directory": directory.map(|directory| directory.display().to_string()),
            "uuid": manifest.uuid,
            "new_uuid": directory.map(|_| reached.identity.to_hex()),
            "snapshot_lsn": manifest.snapshot_lsn,
            "segments": reached.segments,
            "records": reached.records,
            "left_out_records": records,
            "left_out_request_ids": ids,
            "has_secrets": manifest.has_secrets,
        });
        merge(&mut value, summary.json());
        value
    }
}
