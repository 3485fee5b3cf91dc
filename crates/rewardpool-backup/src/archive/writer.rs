//! Writes an archive in parts, so that whoever takes them sets the pace.
use std::io;

use rewardpool_engine::{Backup, BackupFile};
use sha2::{Digest as _, Sha256};

use super::manifest::Manifest;
use super::{
    END_BYTES, MANIFEST, MANIFEST_SHA256, PART, checksum_line, hexadecimal, member, member_bytes,
    padding,
};

/// Who makes an archive, and when.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// Version of the program.
    pub version: &'a str,
    /// Milliseconds since 1970.
    pub time_ms: u64,
}

/// Why an archive was not finished.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// A file of the log cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// Whoever takes the parts takes no more.
    #[error(transparent)]
    Taken(E),
}

/// An archive that is being written.
pub struct ArchiveWriter {
    backup: Backup,
    manifest: Manifest,
    /// In seconds since 1970.
    time: u64,
}

impl ArchiveWriter {
    /// An archive of these files.
    pub fn new(backup: Backup, made: Made<'_>) -> Self {
        let manifest = Manifest::of(&backup, made.version, made.time_ms);
        Self { backup, manifest, time: made.time_ms / 1000 }
    }

    /// What it says about itself; the hashes are zeros.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Length of the archive.
    pub fn bytes(&self) -> u64 {
        let files: u64 = self.manifest.files.iter().map(|file| member_bytes(file.bytes)).sum();
        // Hashes have one length, so the manifest has it already.
        let manifest = member_bytes(self.manifest.encode().len() as u64);
        let zeros = hexadecimal(&[0; 32]);
        let checksum = member_bytes(checksum_line(&zeros).len() as u64);
        files + manifest + checksum + END_BYTES as u64
    }

    /// Hands out the archive part by part, each of at most 64 KiB. A file is closed as soon as all of
    /// it was taken.
    ///
    /// # Errors
    /// The archive is not whole then.
    pub fn write<E>(
        mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Manifest, WriteError<E>> {
        let mut buffer = vec![0; PART];
        let files = std::mem::take(&mut self.backup.files);
        for (file, place) in files.into_iter().zip(0..) {
            let name = file.name.to_string();
            take(&member::encode(&name, file.bytes, self.time)).map_err(WriteError::Taken)?;
            let hash = copy(&file, &mut buffer, &mut take)?;
            self.manifest.files[place].sha256 = hexadecimal(&hash);
            take_zeros(padding(file.bytes), &mut take)?;
        }
        let manifest = self.manifest.encode();
        let sha256 = hexadecimal(&Sha256::digest(&manifest));
        for (name, bytes) in
            [(MANIFEST, &manifest[..]), (MANIFEST_SHA256, checksum_line(&sha256).as_bytes())]
        {
            let length = bytes.len() as u64;
            take(&member::encode(name, length, self.time)).map_err(WriteError::Taken)?;
            for part in bytes.chunks(PART) {
                take(part).map_err(WriteError::Taken)?;
            }
            take_zeros(padding(length), &mut take)?;
        }
        take_zeros(END_BYTES, &mut take)?;
        Ok(self.manifest)
    }
}

fn copy<E>(
    file: &BackupFile,
    buffer: &mut [u8],
    take: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<[u8; 32], WriteError<E>> {
    let mut hash = Sha256::new();
    let mut offset = 0;
    while offset < file.bytes {
        let left = usize::try_from(file.bytes - offset).unwrap_or(usize::MAX);
        let part = &mut buffer[..left.min(PART)];
        let read = file.source.read_at(offset, part);
        read.map_err(|source| WriteError::Read { file: file.name.to_string(), source })?;
        hash.update(&*part);
        take(part).map_err(WriteError::Taken)?;
        offset += part.len() as u64;
    }
    Ok(hash.finalize().into())
}

fn take_zeros<E>(
    count: usize,
    take: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), WriteError<E>> {
    if count == 0 {
        return Ok(());
    }
    take(&[0; END_BYTES][..count]).map_err(WriteError::Taken)
}
