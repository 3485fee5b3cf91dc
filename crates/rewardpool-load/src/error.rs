//! Why a run has no result.
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rewardpool_engine::core::catalog::CatalogError;
use rewardpool_engine::{EngineError, Refusal};

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plan contradicts itself.
    #[error("{0}")]
    Plan(&'static str),
    /// The pool cannot be made.
    #[error("the catalogue cannot be made")]
    Catalog(#[from] CatalogError),
    /// The engine failed.
    #[error("the engine failed")]
    Engine(#[from] EngineError),
    /// The engine refused something that every run needs.
    #[error("the engine refused")]
    Refused(#[from] Refusal),
    /// A file could not be used.
    #[error("{path}: {source}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system refused something that has no name.
    #[error("cannot {what}: {source}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A service cannot be reached.
    #[error("no service answers at {address}")]
    Connect {
        /// Its address.
        address: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// What a service needs to be shown cannot be.
    #[error(transparent)]
    Access(#[from] rewardpool_client::AccessError),
    /// The service answered a question beside the load with an error.
    #[error("{what}: {}", status.message())]
    Status {
        /// The question.
        what: &'static str,
        /// The answer.
        status: Box<tonic::Status>,
    },
    /// The temporary service does not run.
    #[error("the temporary service ended with {status} before it served: {said}")]
    ServiceEnded {
        /// How it ended.
        status: ExitStatus,
        /// What it said last.
        said: String,
    },
    /// The temporary service does nothing.
    #[error("the temporary service did not serve within {seconds} s: {said}")]
    ServiceSilent {
        /// How long it was waited for.
        seconds: u64,
        /// What it said last.
        said: String,
    },
    /// A file is no report.
    #[error("{path} is not the report of a run: {source}")]
    NoReport {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A report is of another version.
    #[error("{path} is a report of version {found}; this program reads version {known}")]
    ReportVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version that is known.
        known: u32,
    },
    /// Two reports are of different kinds.
    #[error("a run of `{old}` cannot be compared with one of `{new}`")]
    Kinds {
        /// What the old one measured.
        old: &'static str,
        /// What the new one measured.
        new: &'static str,
    },
}

impl Error {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }

    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
