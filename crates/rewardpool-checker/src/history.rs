//! What clients and the harness saw, one JSON object a line, in the order of one clock.
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// One line of a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds of one monotonic clock, never falling from line to line.
    pub t: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A client is about to send a request. Written before the request leaves.
    Invoke {
        /// The client.
        client: u32,
        /// The operation: the idempotency key of a keyed draw, the `reason` of a change, otherwise
        /// any unique text. A retry has the same one.
        op: String,
        /// The stream that the request is sent on, if its order there matters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<u64>,
        /// What is asked for.
        call: Call,
    },
    /// The request was done.
    Ok {
        /// The operation.
        op: String,
        /// What the client was told.
        answer: Answer,
    },
    /// The request was refused, and that is definite: nothing was changed.
    Fail {
        /// The operation.
        op: String,
        /// The reason code, for example `POOL_PAUSED`.
        code: String,
    },
    /// The outcome of the request is unknown.
    Info {
        /// The operation.
        op: String,
        /// Why.
        why: String,
    },
    /// A process of the service was started.
    Spawn,
    /// It serves.
    Ready {
        /// The last record that its start found, if the harness knows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recovered_lsn: Option<u64>,
    },
    /// It was killed by SIGKILL, or by a cut of the power.
    Kill,
    /// It was asked to stop, by SIGTERM.
    Terminate,
    /// It ended by itself.
    Exit {
        /// Its exit code; `None` when a signal ended it.
        code: Option<i32>,
    },
    /// Something was done to the service or its files.
    Fault {
        /// What.
        kind: FaultKind,
        /// More about it, for people.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
}

/// What a harness may do to a service, by what the service may answer with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Bytes of its files were changed or removed. It may refuse to start, with 65.
    Damage,
    /// System calls fail. It may end, with 74.
    InputOutput,
    /// There is no room. It may refuse draws, and may refuse to start, with 74.
    NoSpace,
    /// Another process has its directory. It may refuse to start, with 73.
    DirectoryInUse,
    /// Anything that gives it no right to refuse: delays, signals, a changed wall clock.
    Nuisance,
    /// All faults that last are over.
    Healed,
}

/// What a client asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Call {
    /// Draw prizes.
    Draw {
        /// The pool.
        pool: String,
        /// How many draws.
        count: u32,
        /// Whether every draw must win.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        all_or_nothing: bool,
        /// The idempotency key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// Find the answer of an earlier draw.
    FindDraw {
        /// The pool.
        pool: String,
        /// Its key.
        key: String,
    },
    /// Change an item. The reason that is sent with it is the id of the operation.
    UpdateItem {
        /// The pool.
        pool: String,
        /// The item.
        item: String,
        /// Units to add.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        add: Option<i64>,
        /// Units to set; -1 is unlimited.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set: Option<i64>,
        /// The new weight.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<u64>,
    },
    /// Append an item. The reason is the id of the operation.
    AddItem {
        /// The pool.
        pool: String,
        /// The item.
        item: String,
        /// Its weight.
        weight: u64,
        /// Its units; -1 is unlimited.
        quantity: i64,
    },
    /// Take an item out of the draws. The reason is the id of the operation.
    RetireItem {
        /// The pool.
        pool: String,
        /// The item.
        item: String,
    },
    /// Pause, resume or close a pool. The reason is the id of the operation.
    SetStatus {
        /// The pool.
        pool: String,
        /// `active`, `paused` or `closed`.
        status: String,
    },
    /// Create a pool.
    CreatePool {
        /// Its name.
        pool: String,
    },
    /// Read the totals of a pool and all its items.
    ReadPool {
        /// The pool.
        pool: String,
    },
    /// Write a snapshot.
    TakeSnapshot,
}

impl Call {
    /// Whether it may change something.
    pub const fn is_change(&self) -> bool {
        match self {
            Self::UpdateItem { .. }
            | Self::AddItem { .. }
            | Self::RetireItem { .. }
            | Self::SetStatus { .. }
            | Self::CreatePool { .. } => true,
            Self::Draw { .. }
            | Self::FindDraw { .. }
            | Self::ReadPool { .. }
            | Self::TakeSnapshot => false,
        }
    }
}

/// What a client is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Answer {
    /// To a draw, and to the search for one.
    Draw(DrawAnswer),
    /// To a change.
    Changed {
        /// Its position in the log.
        lsn: u64,
        /// Version of the catalogue afterwards.
        catalog_version: u64,
    },
    /// To a read.
    Pool(Box<PoolAnswer>),
    /// To the order of a snapshot.
    Snapshot {
        /// The last position that it includes.
        lsn: u64,
    },
}

/// The outcomes of a draw, as the service sends them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DrawAnswer {
    /// Number of the first draw; the others follow without gaps.
    pub first_request_id: u64,
    /// The distinct items.
    pub item_ids: Vec<String>,
    /// For each draw 0 for empty, or n for `item_ids[n - 1]`.
    pub outcomes: Vec<u32>,
    /// Whether this is the answer of an earlier request with the same key.
    pub replayed: bool,
}

impl DrawAnswer {
    /// The item of each draw, `None` when nothing was available.
    ///
    /// # Errors
    /// When an outcome names an item that is not there.
    pub fn items(&self) -> Result<Vec<Option<&str>>, NoSuchItem> {
        let item = |&outcome: &u32| match usize::try_from(outcome).unwrap_or(usize::MAX) {
            0 => Ok(None),
            place => self.item_ids.get(place - 1).map(|id| Some(id.as_str())).ok_or(NoSuchItem),
        };
        self.outcomes.iter().map(item).collect()
    }
}

/// An outcome names an item that the answer does not list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an outcome names an item that the answer does not list")]
pub struct NoSuchItem;

/// A pool as a client read it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PoolAnswer {
    /// The position that it includes.
    pub lsn: u64,
    /// Version of the catalogue.
    pub catalog_version: u64,
    /// Number of the last draw of the service.
    pub last_request_id: u64,
    /// Draws from this pool.
    pub draws: u64,
    /// Draws that won.
    pub awards: u64,
    /// `active`, `paused` or `closed`.
    pub status: String,
    /// All its items.
    pub items: Vec<ItemAnswer>,
}

/// An item as a client read it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ItemAnswer {
    /// Its name.
    pub item: String,
    /// Its weight.
    pub weight: u64,
    /// Units left; -1 is unlimited.
    pub quantity: i64,
    /// Units awarded.
    pub awarded: u64,
    /// Units ever granted; -1 is unlimited.
    pub granted: i64,
}

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not an event.
    #[error("{}:{line}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Reads a history.
pub fn read(path: &Path) -> Result<Vec<Event>, HistoryError> {
    let failed = |source| HistoryError::File { path: path.to_owned(), source };
    let mut events = Vec::new();
    for (line, text) in (1..).zip(BufReader::new(File::open(path).map_err(failed)?).lines()) {
        let event = serde_json::from_str(&text.map_err(failed)?);
        let path = || path.to_owned();
        events.push(event.map_err(|source| HistoryError::Line { path: path(), line, source })?);
    }
    Ok(events)
}

/// Writes a history down as it happens. Shared by all clients of a harness.
///
/// An event is in the file when the call returns: the order of the lines is the order in which
/// things happened, for all clients. The lines survive the end of this process, not a power cut.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    begun: Instant,
    file: Mutex<File>,
}

impl Recorder {
    /// Begins a history in a new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = Mutex::new(File::create_new(path)?);
        Ok(Self { path: path.to_owned(), begun: Instant::now(), file })
    }

    /// Where the history is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down what happens now.
    ///
    /// # Panics
    /// When the file cannot be written: a history with holes proves nothing.
    pub fn record(&self, what: What) {
        let mut file = self.lock();
        let t = u64::try_from(self.begun.elapsed().as_nanos()).expect("584 years are enough");
        let mut line = serde_json::to_vec(&Event { t, what }).expect("an event is plain data");
        line.push(b'\n');
        file.write_all(&line).expect("the history can be written");
    }

    /// Writes down that a request is about to be sent.
    pub fn invoke(&self, client: u32, op: &str, stream: Option<u64>, call: Call) {
        self.record(What::Invoke { client, op: op.to_owned(), stream, call });
    }

    /// Reads back what was written.
    pub fn read(&self) -> Result<Vec<Event>, HistoryError> {
        let _file: MutexGuard<'_, File> = self.lock();
        read(&self.path)
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        // A holder that panicked has written its line or none of it.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_back_as_it_was_recorded() {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(&directory.path().join("history.jsonl")).unwrap();
        let call = Call::Draw {
            pool: "default".into(),
            count: 3,
            all_or_nothing: false,
            key: Some("a".into()),
        };
        recorder.record(What::Spawn);
        recorder.record(What::Ready { recovered_lsn: Some(7) });
        recorder.invoke(1, "a", Some(4), call.clone());
        let answer = DrawAnswer {
            first_request_id: 9,
            item_ids: vec!["x".into()],
            outcomes: vec![1, 0, 1],
            replayed: false,
        };
        assert_eq!(answer.items(), Ok(vec![Some("x"), None, Some("x")]));
        recorder.record(What::Ok { op: "a".into(), answer: Answer::Draw(answer) });
        recorder.record(What::Fault { kind: FaultKind::Damage, detail: String::new() });
        let events = recorder.read().unwrap();
        assert_eq!(events.len(), 5);
        assert!(events.windows(2).all(|pair| pair[0].t <= pair[1].t));
        assert_eq!(
            events[2].what,
            What::Invoke { client: 1, op: "a".into(), stream: Some(4), call }
        );
        assert!(Recorder::create(recorder.path()).is_err(), "a history is never written over");
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        std::fs::write(&path, "{\"t\":1,\"event\":\"kill\"}\n{\"t\":2}\n").unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, HistoryError::Line { line: 2, .. }), "{error}");
    }
}
