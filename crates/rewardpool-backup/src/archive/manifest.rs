//! What an archive says about itself.
use rewardpool_engine::Backup;
use serde::{Deserialize, Serialize};

use super::error::ArchiveFault;

/// The format of archives that this program writes and reads.
pub(super) const FORMAT: u64 = 1;

/// The last but one member of an archive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the archive.
    pub format: u64,
    /// Version of the program that made it.
    pub version: String,
    /// When it was begun, in milliseconds since 1970.
    pub made_ms: u64,
    /// Identity of the log, in hexadecimal.
    pub uuid: String,
    /// The snapshot that it begins with: it can be restored to that position and to all after it.
    pub snapshot_lsn: u64,
    /// The last record.
    pub last_lsn: u64,
    /// Time of that record, in milliseconds since 1970.
    pub last_time_ms: u64,
    /// The last request id; 0 before the first draw.
    pub last_request_id: u64,
    /// How many pools there are.
    pub pools: u32,
    /// Checksum of the header of the last batch, the link to the next one.
    pub chain: u32,
    /// Digest of the state after the last record, in hexadecimal.
    pub digest: String,
    /// Whether the secrets of the pools are in it.
    pub has_secrets: bool,
    /// The members before the manifest, in their order.
    pub files: Vec<FileEntry>,
}

/// One member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its length in the archive.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// The manifest of a backup whose files were not read yet: their hashes are zeros.
    pub(super) fn of(backup: &Backup, version: &str, made_ms: u64) -> Self {
        let position = &backup.position;
        let files = backup.files.iter().map(|file| FileEntry {
            name: file.name.to_string(),
            bytes: file.bytes,
            sha256: super::hexadecimal(&[0; 32]),
        });
        Self {
            format: FORMAT,
            version: version.to_owned(),
            made_ms,
            uuid: backup.identity.to_hex(),
            snapshot_lsn: backup.snapshot_lsn,
            last_lsn: position.lsn,
            last_time_ms: position.time_ms,
            last_request_id: position.last_request_id,
            pools: position.pools,
            chain: position.chain,
            digest: format!("{:016x}", position.digest),
            has_secrets: backup.options.secrets,
            files: files.collect(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("numbers and texts are JSON");
        text.push(b'\n');
        text
    }

    /// Takes exactly what `encode` writes.
    pub(super) fn decode(text: &[u8]) -> Result<Self, ArchiveFault> {
        #[derive(Deserialize)]
        struct Version {
            format: u64,
        }
        let other = |error: serde_json::Error| ArchiveFault::Manifest(error.to_string());
        let Version { format } = serde_json::from_slice(text).map_err(other)?;
        if format != FORMAT {
            return Err(ArchiveFault::Format(format));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(other)?;
        if manifest.encode() == text {
            Ok(manifest)
        } else {
            Err(ArchiveFault::Manifest("it is written in another way".to_owned()))
        }
    }
}
