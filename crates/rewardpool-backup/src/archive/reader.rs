//! Reads an archive from its beginning to its end and verifies all of it, in memory of a fixed
//! size, so that it can be done to a stream that goes on to somewhere else.
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::error::{ArchiveError, ArchiveFault};
use super::manifest::Manifest;
use super::member::{self, Kind, Member};
use super::{BLOCK, END_BYTES, MANIFEST, PART, checksum_line, hexadecimal, padding};

/// An archive whose every byte was verified.
#[derive(Clone, Debug)]
pub struct Contents {
    /// What it says about itself.
    pub manifest: Manifest,
    /// Where each file of the manifest begins in the archive.
    pub offsets: Vec<u64>,
    /// Length of the archive.
    pub bytes: u64,
}

/// Reads and verifies an archive, which must end where the input ends.
///
/// # Errors
/// The first place at which it is not what the writer makes.
pub fn read(input: &mut dyn Read) -> Result<Contents, ArchiveError> {
    let mut reader = Reader { input, offset: 0, member: None, buffer: vec![0; PART] };
    let mut seen: Vec<Seen> = Vec::new();
    let manifest = loop {
        let begins = reader.offset;
        let member = reader.member()?;
        let misplaced = reader.error(begins, ArchiveFault::Misplaced);
        match member.kind {
            Kind::File(_) => {
                if seen.iter().any(|other| other.member.name == member.name) {
                    return Err(misplaced);
                }
                let offset = reader.offset;
                let sha256 = reader.content(member.bytes, &mut |_| {})?;
                seen.push(Seen { member, offset, sha256: hexadecimal(&sha256) });
            }
            Kind::Manifest => break reader.manifest(member.bytes)?,
            Kind::ManifestSha256 => return Err(misplaced),
        }
    };
    let (manifest, manifest_offset) = manifest;
    for (place, seen) in seen.iter().enumerate() {
        let at = |fault| ArchiveError {
            member: Some(seen.member.name.clone()),
            offset: seen.offset,
            fault,
        };
        match manifest.files.get(place) {
            Some(entry) if entry.name != seen.member.name || entry.bytes != seen.member.bytes => {
                return Err(at(ArchiveFault::Files));
            }
            Some(entry) if entry.sha256 != seen.sha256 => return Err(at(ArchiveFault::Sha256)),
            Some(_) if seen.member.time != manifest.made_ms / 1000 => {
                return Err(at(ArchiveFault::Header));
            }
            Some(_) => {}
            None => return Err(at(ArchiveFault::Files)),
        }
    }
    if manifest.files.len() != seen.len() {
        let member = Some(MANIFEST.to_owned());
        return Err(ArchiveError { member, offset: manifest_offset, fault: ArchiveFault::Files });
    }
    let offsets = seen.iter().map(|seen| seen.offset).collect();
    Ok(Contents { manifest, offsets, bytes: reader.offset })
}

struct Seen {
    member: Member,
    offset: u64,
    sha256: String,
}

struct Reader<'r> {
    input: &'r mut dyn Read,
    offset: u64,
    /// The member that is being read.
    member: Option<String>,
    buffer: Vec<u8>,
}

impl Reader<'_> {
    fn error(&self, offset: u64, fault: ArchiveFault) -> ArchiveError {
        ArchiveError { member: self.member.clone(), offset, fault }
    }

    /// Reads so many bytes to the beginning of the buffer.
    fn fill(&mut self, count: usize) -> Result<(), ArchiveError> {
        let filled = self.input.read_exact(&mut self.buffer[..count]);
        filled.map_err(|error| {
            let is_end = error.kind() == io::ErrorKind::UnexpectedEof;
            let fault = if is_end { ArchiveFault::EndsEarly } else { ArchiveFault::Io(error) };
            self.error(self.offset, fault)
        })?;
        self.offset += count as u64;
        Ok(())
    }

    /// Reads the header of the next member.
    fn member(&mut self) -> Result<Member, ArchiveError> {
        let begins = self.offset;
        self.member = None;
        self.fill(BLOCK)?;
        let block = self.buffer[..BLOCK].try_into().expect("a block has this length");
        let member = member::decode(block).map_err(|fault| self.error(begins, fault))?;
        self.member = Some(member.name.clone());
        Ok(member)
    }

    /// Reads the bytes of a member and what fills its last block. Gives their SHA-256.
    fn content(
        &mut self,
        bytes: u64,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<[u8; 32], ArchiveError> {
        let mut hash = Sha256::new();
        let mut left = bytes;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(PART);
            self.fill(part)?;
            hash.update(&self.buffer[..part]);
            see(&self.buffer[..part]);
            left -= part as u64;
        }
        self.zeros(padding(bytes))?;
        Ok(hash.finalize().into())
    }

    fn zeros(&mut self, count: usize) -> Result<(), ArchiveError> {
        let begins = self.offset;
        self.fill(count)?;
        if let Some(place) = self.buffer[..count].iter().position(|&byte| byte != 0) {
            return Err(self.error(begins + place as u64, ArchiveFault::Padding));
        }
        Ok(())
    }

    /// Reads the manifest and all that must follow it. Gives where it begins, too.
    fn manifest(&mut self, bytes: u64) -> Result<(Manifest, u64), ArchiveError> {
        let begins = self.offset;
        let mut text = Vec::new();
        let sha256 = self.content(bytes, &mut |part| text.extend_from_slice(part))?;
        let header = self.offset;
        let member = self.member()?;
        if member.kind != Kind::ManifestSha256 {
            return Err(self.error(header, ArchiveFault::Misplaced));
        }
        let mut line = Vec::new();
        self.content(member.bytes, &mut |part| line.extend_from_slice(part))?;
        if line != checksum_line(&hexadecimal(&sha256)).as_bytes() {
            // Which of the two is damaged cannot be told.
            self.member = Some(MANIFEST.to_owned());
            return Err(self.error(begins, ArchiveFault::ManifestSha256));
        }
        self.member = None;
        self.zeros(END_BYTES)?;
        let mut more = [0];
        match self.input.read(&mut more) {
            Ok(0) => {}
            Ok(_) => return Err(self.error(self.offset, ArchiveFault::Misplaced)),
            Err(error) => return Err(self.error(self.offset, ArchiveFault::Io(error))),
        }
        let manifest = Manifest::decode(&text);
        let member_name = Some(MANIFEST.to_owned());
        let manifest = manifest.map_err(|fault| ArchiveError {
            member: member_name.clone(),
            offset: begins,
            fault,
        })?;
        if member.time != manifest.made_ms / 1000 {
            return Err(self.error(header, ArchiveFault::Header));
        }
        Ok((manifest, begins))
    }
}
