//! Backups of a reward pool's log: one archive that says of itself whether it is whole, written
//! while the service draws, and a directory made of it again.
//!
//! - [`archive`]: the files of a log in a tar file with a manifest. A reader takes exactly what the
//!   writer makes, so every changed byte is noticed, and told with its place.
//! - [`PartialFile`]: a file that appears under its name only when it is whole and durable.
//! - [`RestoreDirectory`]: the same for the directory that a backup is restored to.
//!
//! Which files a log has, and what they mean, is the engine's business.
pub mod archive;
mod directory;
mod partial;

pub use directory::{DirectoryError, RestoreDirectory};
pub use partial::{PartialError, PartialFile};
