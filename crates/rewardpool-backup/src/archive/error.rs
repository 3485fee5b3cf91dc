//! What is wrong with an archive, with the member and the offset as fields.
use std::io;

use super::manifest::FORMAT;

/// An archive that is not what the writer made, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{} is corrupt at offset {offset}: {fault}", self.place())]
pub struct ArchiveError {
    /// The member of the archive, if it is known.
    pub member: Option<String>,
    /// Where in the archive.
    pub offset: u64,
    /// What is wrong.
    #[source]
    pub fault: ArchiveFault,
}

impl ArchiveError {
    /// Whether the archive holds something else than what was written to it.
    pub fn is_corruption(&self) -> bool {
        !matches!(self.fault, ArchiveFault::Io(_))
    }

    fn place(&self) -> String {
        match &self.member {
            Some(member) => format!("the archive ({member})"),
            None => "the archive".to_owned(),
        }
    }
}

/// What is wrong at a place of an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveFault {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(io::Error),
    /// It ends too soon.
    #[error("it ends here, before it is whole")]
    EndsEarly,
    /// A header is none that the writer makes.
    #[error("this is not the header of a member of a backup")]
    Header,
    /// A member has a name that no file of a backup has.
    #[error("a backup has no file of the name {0:?}")]
    Name(String),
    /// A member comes twice, or after the manifest.
    #[error("the member has no place here")]
    Misplaced,
    /// A member is longer than it can be.
    #[error("it has {bytes} bytes, more than such a file can have")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
    /// The zeros behind a member are none.
    #[error("the filling behind the member is not zero")]
    Padding,
    /// A member has another SHA-256 than the manifest says.
    #[error("its SHA-256 differs from the one in the manifest")]
    Sha256,
    /// The manifest has another SHA-256 than the last member says.
    #[error("the SHA-256 of the manifest differs from the one behind it")]
    ManifestSha256,
    /// The manifest is of a format that this program does not know.
    #[error("the backup has format {0}, this program reads format {FORMAT}")]
    Format(u64),
    /// The manifest does not say what a manifest says.
    #[error("the manifest is not one: {0}")]
    Manifest(String),
    /// The manifest lists other files than those that are there.
    #[error("the manifest does not list these files")]
    Files,
    /// The log ends elsewhere than the manifest says.
    #[error("the log does not end as the manifest says: {0} differs")]
    End(&'static str),
}
