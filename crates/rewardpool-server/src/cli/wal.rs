//! `wal`: the log of a service.
use std::io::{self, Write};

use clap::Subcommand;
use rewardpool_engine::inspect::{self, SegmentInfo};
use serde_json::{Value, json};

use super::Failure;
use super::directory::{DirectoryArgs, file_names};
use super::failure::exit;
use super::output::{self, Align, Format, Table};
use super::service::Address;
use super::verify::{VerifyArgs, verify};
use super::wal_tail::{WalTailArgs, tail};

const EXAMPLES: &str = "\
Examples:
  rewardpool wal ls
  rewardpool wal cat --dir /var/lib/rewardpool | head
  rewardpool wal tail --follow
  rewardpool wal verify";
const LS_EXAMPLES: &str = "Example:\n  rewardpool wal ls --dir /var/lib/rewardpool -o json";
const CAT_EXAMPLES: &str = "\
Examples:
  rewardpool wal cat | head
  rewardpool wal cat wal.003 --dir /var/lib/rewardpool
  rewardpool wal cat 3 | jq .";

/// Look at the log of a stopped service, or follow that of a running one
#[derive(Subcommand, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) enum WalCommand {
    /// List the segments
    #[command(alias = "list", after_help = LS_EXAMPLES)]
    Ls {
        #[command(flatten)]
        directory: DirectoryArgs,
    },
    /// Print the records, one JSON object a line, whatever their format and --output
    #[command(after_help = CAT_EXAMPLES)]
    Cat {
        /// One segment, `wal.003` or `3` [default: all]
        #[arg(value_parser = parse_segment)]
        segment: Option<u32>,
        #[command(flatten)]
        directory: DirectoryArgs,
    },
    Tail(WalTailArgs),
    /// The same as `rewardpool verify`
    Verify(VerifyArgs),
}

fn parse_segment(text: &str) -> Result<u32, &'static str> {
    let number = text.strip_prefix("wal.").unwrap_or(text);
    number.parse().map_err(|_| "a segment is `wal.003` or `3`")
}

pub(crate) fn run(command: &WalCommand, address: &Address, format: Format) -> Result<(), Failure> {
    match command {
        WalCommand::Ls { directory } => {
            let segments = directory.read(inspect::segments)?;
            output::print(
                format,
                || table(&segments),
                || json!({ "segments": segments.iter().map(json).collect::<Vec<_>>() }),
            )
        }
        WalCommand::Cat { segment, directory } => cat(directory, *segment),
        WalCommand::Tail(args) => tail(*args, address),
        WalCommand::Verify(args) => verify(args, format),
    }
}

fn cat(directory: &DirectoryArgs, segment: Option<u32>) -> Result<(), Failure> {
    if let Some(wanted) = segment {
        let is_wanted = |name: &String| {
            name.strip_prefix("wal.").and_then(|number| number.parse().ok()) == Some(wanted)
        };
        let path = directory.path();
        if !file_names(path)?.iter().any(is_wanted) {
            let what = format!("{}: there is no segment {wanted}", path.display());
            let hint = "`rewardpool wal ls` lists the segments";
            return Err(Failure::new(exit::INPUT_OUTPUT, what, hint));
        }
    }
    let mut output = Output { inner: io::BufWriter::new(io::stdout().lock()), failed: None };
    let result = directory.read(|path| inspect::cat(path, segment, &mut output));
    // An error of the output comes back through the engine, which does not know what it means.
    let flushed = output.flush();
    match output.failed.take() {
        Some(error) => Err(error.into()),
        None => result.map(|_| ()).and_then(|()| flushed.map_err(Failure::from)),
    }
}

/// Standard output that remembers the first thing that went wrong with it.
struct Output<W> {
    inner: W,
    failed: Option<io::Error>,
}

impl<W> Output<W> {
    fn keep<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            self.failed.get_or_insert(error);
            kind.into()
        })
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(bytes);
        self.keep(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        self.keep(result)
    }
}

fn table(segments: &[SegmentInfo]) -> String {
    let mut table = Table::new([
        ("NAME", Align::Left),
        ("STATUS", Align::Left),
        ("FORMAT", Align::Left),
        ("FIRST LSN", Align::Right),
        ("LAST LSN", Align::Right),
        ("BATCHES", Align::Right),
        ("RECORDS", Align::Right),
        ("USED BYTES", Align::Right),
        ("BYTES", Align::Right),
        ("TORN AT", Align::Right),
    ]);
    let dash = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for segment in segments {
        table.push([
            segment.name.clone(),
            segment.status.name().to_owned(),
            segment.format.name().to_owned(),
            segment.first_lsn.to_string(),
            dash(segment.last_lsn),
            segment.batches.to_string(),
            segment.records.to_string(),
            segment.used_bytes.to_string(),
            segment.bytes.to_string(),
            dash(segment.torn_at),
        ]);
    }
    table.render()
}

fn json(segment: &SegmentInfo) -> Value {
    json!({
        "name": segment.name,
        "bytes": segment.bytes,
        "used_bytes": segment.used_bytes,
        "format": segment.format.name(),
        "first_lsn": segment.first_lsn,
        "last_lsn": segment.last_lsn,
        "batches": segment.batches,
        "records": segment.records,
        "status": segment.status.name(),
        "torn_at": segment.torn_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_named_or_numbered() {
        assert_eq!(parse_segment("wal.003"), Ok(3));
        assert_eq!(parse_segment("17"), Ok(17));
        for wrong in ["", "wal.", "wal.x", "-1", "snapshot.1"] {
            assert!(parse_segment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_goes_wrong_with_the_output_is_remembered() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output = Output { inner: Closed, failed: None };
        assert!(output.write_all(b"a").is_err());
        let failure = Failure::from(output.failed.take().unwrap());
        assert!(matches!(failure, Failure::ReaderGone));
    }
}
