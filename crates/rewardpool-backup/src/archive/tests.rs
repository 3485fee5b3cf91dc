//! Goal: an archive is read back as it was written, and nothing else is ever taken for one. Method:
//! archives of arbitrary files; every byte of one changed, every length cut, and archives made by
//! hand with names, links and lengths that would lead a reader astray.
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::io::Cursor;

use proptest::prelude::*;
use rewardpool_engine::{Backup, BackupFile, BackupOptions, LogPosition};
use rewardpool_wal::storage::Storage as _;
use rewardpool_wal::{Identity, LogFile, SegmentNumber};

use super::*;

const MADE: Made<'_> = Made { version: "1.2.3", time_ms: 1_764_000_000_123 };

fn backup(files: &BTreeMap<String, Vec<u8>>) -> Backup {
    let file = |(name, bytes): (&String, &Vec<u8>)| BackupFile {
        name: LogFile::parse(name).unwrap(),
        bytes: bytes.len() as u64,
        source: Box::new(bytes.clone()),
    };
    Backup {
        identity: Identity { uuid: *b"0123456789abcdef" },
        snapshot_lsn: 3,
        position: LogPosition {
            lsn: 10,
            last_request_id: 7,
            time_ms: 5,
            digest: 6,
            chain: 9,
            segment: 1,
            pools: 1,
        },
        options: BackupOptions { history: false, secrets: true },
        files: files.iter().map(file).collect(),
        lock: None,
    }
}

fn write(files: &BTreeMap<String, Vec<u8>>) -> (Vec<u8>, Manifest) {
    let writer = ArchiveWriter::new(backup(files), MADE);
    let (expected, mut bytes) = (writer.bytes(), Vec::new());
    let manifest = writer.write(|part| {
        assert!(!part.is_empty() && part.len() <= PART);
        bytes.extend_from_slice(part);
        Ok::<(), Infallible>(())
    });
    assert_eq!(bytes.len() as u64, expected, "the length is known before");
    (bytes, manifest.unwrap())
}

fn some_files() -> BTreeMap<String, Vec<u8>> {
    let file = |name: &str, length: usize| (name.to_owned(), vec![b'x'; length]);
    BTreeMap::from([
        file("POOL", 74),
        file("secret.0", 65),
        file("wal.007", 1024),
        file("wal.008", 0),
    ])
}

fn arbitrary_file() -> impl Strategy<Value = (LogFile, Vec<u8>)> {
    let name = prop_oneof![
        Just(LogFile::Identity),
        Just(LogFile::Restored),
        any::<u32>().prop_map(LogFile::Secret),
        any::<u64>().prop_map(LogFile::Snapshot),
        any::<u32>().prop_map(|number| LogFile::Segment(SegmentNumber(number))),
    ];
    let length = prop_oneof![0..2000_usize, Just(PART), Just(PART + 1), Just(2 * PART - 512)];
    let bytes = (length, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]);
    let small = prop::collection::vec(any::<u8>(), 0..700);
    (name, prop_oneof![bytes, small]).prop_map(|(name, mut bytes)| {
        if matches!(name, LogFile::Identity | LogFile::Restored | LogFile::Secret(_)) {
            bytes.truncate(PART);
        }
        (name, bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read_back(files in prop::collection::vec(arbitrary_file(), 0..8)) {
        let files: BTreeMap<String, Vec<u8>> =
            files.into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect();
        let (bytes, manifest) = write(&files);
        let contents = read(&mut Cursor::new(&bytes)).unwrap();
        prop_assert_eq!(&contents.manifest, &manifest);
        prop_assert_eq!(contents.bytes, bytes.len() as u64);
        prop_assert_eq!(manifest.files.len(), files.len());
        for (entry, offset) in manifest.files.iter().zip(&contents.offsets) {
            let begin = usize::try_from(*offset).unwrap();
            let content = &bytes[begin..begin + usize::try_from(entry.bytes).unwrap()];
            prop_assert_eq!(content, &files[&entry.name][..]);
        }
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("archive");
        fs::write(&path, &bytes).unwrap();
        let archive = Archive::open(&path).unwrap();
        let mut names = archive.list().unwrap();
        names.sort();
        prop_assert!(names.iter().eq(files.keys()));
        for (name, expected) in &files {
            let mut found = Vec::new();
            archive.read(name, &mut found).unwrap();
            prop_assert_eq!(&found, expected);
        }
    }

    /// Several changes at once, which a sum of bytes might not notice.
    #[test]
    fn what_was_changed_is_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..6),
    ) {
        let (good, _) = write(&some_files());
        let mut bad = good.clone();
        for (place, change) in changes {
            bad[place.index(good.len())] ^= change;
        }
        prop_assume!(bad != good);
        prop_assert!(read(&mut Cursor::new(&bad)).is_err());
    }
}

#[test]
fn every_changed_byte_is_refused_with_its_place() {
    let (good, manifest) = write(&some_files());
    let contents = read(&mut Cursor::new(&good)).unwrap();
    // Of each byte, in which member it is: the one whose header begins before it.
    let mut begins: Vec<(u64, String)> = Vec::new();
    for (entry, offset) in manifest.files.iter().zip(&contents.offsets) {
        begins.push((offset - BLOCK as u64, entry.name.clone()));
    }
    for place in 0..good.len() {
        for change in [1, 0x20, 0xff] {
            let mut bad = good.clone();
            bad[place] ^= change;
            let error = read(&mut Cursor::new(&bad)).unwrap_err();
            assert!(error.is_corruption(), "{error}");
            let at = place as u64;
            let member = begins.iter().rev().find(|(begin, _)| *begin <= at);
            let (begin, name) = member.unwrap();
            let is_file = at < contents.offsets.last().unwrap() + BLOCK as u64;
            if is_file && error.member.is_some() {
                assert_eq!(error.member.as_ref(), Some(name), "byte {place}: {error}");
            }
            if is_file {
                assert!((*begin..=at).contains(&error.offset), "byte {place}: {error}");
            }
        }
    }
}

#[test]
fn every_other_length_is_refused() {
    let (good, _) = write(&some_files());
    for length in 0..good.len() {
        let error = read(&mut Cursor::new(&good[..length])).unwrap_err();
        assert!(matches!(error.fault, ArchiveFault::EndsEarly), "length {length}: {error}");
        assert!(error.offset <= length as u64, "length {length}: {error}");
    }
    let mut long = good.clone();
    long.push(0);
    let error = read(&mut Cursor::new(&long)).unwrap_err();
    assert_eq!((error.offset, error.is_corruption()), (good.len() as u64, true), "{error}");
}

/// The files of an archive, and members put before them as somebody with a tar library could.
fn with_member(header: &mut tar::Header, content: &[u8]) -> Vec<u8> {
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes.extend(write(&some_files()).0);
    bytes
}

fn member_header(name: &[u8], bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    // Not through the library, which refuses some of them itself.
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes);
    header.set_mtime(MADE.time_ms / 1000);
    header.set_entry_type(tar::EntryType::Regular);
    header
}

#[track_caller]
fn refused(bytes: &[u8]) -> ArchiveFault {
    let error = read(&mut Cursor::new(bytes)).unwrap_err();
    assert_eq!(error.offset, 0, "{error}");
    error.fault
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let names: [&[u8]; 12] = [
        b"../POOL",
        b"/etc/passwd",
        b"./POOL",
        b"data/wal.000",
        b"wal.000/",
        b"wal.7",
        b"wal.next.0",
        b"snapshot.1.tmp",
        b"..",
        b"manifest.json.sha512",
        b"",
        b"POOL\nx",
    ];
    for name in names {
        let fault = refused(&with_member(&mut member_header(name, 4), b"evil"));
        assert!(matches!(fault, ArchiveFault::Name(_)), "{name:?}: {fault}");
    }
    let fault = refused(&with_member(&mut member_header(b"\xff\xfe", 4), b"evil"));
    assert!(matches!(fault, ArchiveFault::Header), "{fault}");
    // The prefix of a header is a part of the path.
    let mut header = member_header(b"POOL", 4);
    header.as_ustar_mut().unwrap().prefix[..2].copy_from_slice(b"..");
    assert!(matches!(refused(&with_member(&mut header, b"evil")), ArchiveFault::Name(_)));
}

#[test]
fn links_and_extensions_are_refused() {
    use tar::EntryType;
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Directory,
        EntryType::Fifo,
        EntryType::Char,
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::GNUSparse,
        EntryType::XHeader,
        EntryType::XGlobalHeader,
        EntryType::Continuous,
        EntryType::new(0),
    ] {
        let mut header = member_header(b"wal.001", 0);
        header.set_entry_type(kind);
        header.set_link_name("/etc/passwd").unwrap();
        let fault = refused(&with_member(&mut header, b""));
        assert!(matches!(fault, ArchiveFault::Header), "{kind:?}: {fault}");
    }
}

#[test]
fn lengths_beyond_reason_are_refused_before_anything_is_read() {
    for (name, bytes) in [
        ("POOL", 1 << 20),
        ("secret.4294967295", u64::MAX),
        ("snapshot.1", u64::MAX),
        ("wal.000", u64::MAX / 2),
        ("wal.000", (4 << 30) + 1),
        ("manifest.json", 1 << 40),
    ] {
        let fault = refused(&with_member(&mut member_header(name.as_bytes(), bytes), b""));
        assert!(matches!(fault, ArchiveFault::TooLong { .. }), "{name}: {fault}");
    }
    // One that lies about its length ends before the manifest is found.
    let mut header = member_header(b"wal.000", 4 << 30);
    let error = read(&mut Cursor::new(with_member(&mut header, b""))).unwrap_err();
    assert!(matches!(error.fault, ArchiveFault::EndsEarly), "{error}");
}

#[test]
fn members_that_come_twice_or_late_are_refused() {
    let error = read(&mut Cursor::new(with_member(&mut member_header(b"POOL", 4), b"evil")));
    let error = error.unwrap_err();
    assert!(matches!(error.fault, ArchiveFault::Misplaced), "{error}");
    // One more than the manifest lists.
    let error = read(&mut Cursor::new(with_member(&mut member_header(b"RESTORED", 4), b"evil")));
    let error = error.unwrap_err();
    assert!(matches!(error.fault, ArchiveFault::Files), "{error}");
    assert_eq!((error.member.as_deref(), error.offset), (Some("RESTORED"), BLOCK as u64));
    // The manifest first.
    let mut files = some_files();
    let (whole, _) = write(&files);
    files.clear();
    let (empty, _) = write(&files);
    let manifest_only = &empty[..empty.len() - END_BYTES];
    let error = read(&mut Cursor::new([manifest_only, &whole].concat())).unwrap_err();
    assert_eq!(error.offset, manifest_only.len() as u64, "{error}");
    // One less.
    let one_less = &whole[member_bytes_of(74)..];
    let error = read(&mut Cursor::new(one_less)).unwrap_err();
    assert!(matches!(error.fault, ArchiveFault::Files), "{error}");
}

fn member_bytes_of(bytes: u64) -> usize {
    usize::try_from(member_bytes(bytes)).unwrap()
}

#[test]
fn another_format_is_named() {
    let (_, mut manifest) = write(&BTreeMap::new());
    manifest.format = 2;
    let text = manifest.encode();
    assert!(matches!(Manifest::decode(&text), Err(ArchiveFault::Format(2))));
    let later = br#"{"format":3,"something":"else"}"#;
    assert!(matches!(Manifest::decode(later), Err(ArchiveFault::Format(3))));
    manifest.format = 1;
    let text = manifest.encode();
    assert_eq!(Manifest::decode(&text).unwrap(), manifest);
    let compact = serde_json::to_vec(&manifest).unwrap();
    assert!(matches!(Manifest::decode(&compact), Err(ArchiveFault::Manifest(_))));
}

/// What ordinary tools make of it.
#[test]
fn tar_lists_it_and_sha256sum_agrees() {
    let place = tempfile::tempdir().unwrap();
    let (bytes, manifest) = write(&some_files());
    fs::write(place.path().join("archive"), bytes).unwrap();
    let run = |script: &str| {
        let output = std::process::Command::new("sh")
            .current_dir(place.path())
            .args(["-ec", script])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run("tar xf archive && sha256sum --check --quiet manifest.json.sha256");
    for entry in manifest.files {
        let sum = run(&format!("sha256sum {}", entry.name));
        assert!(sum.starts_with(&entry.sha256), "{sum}");
        assert_eq!(fs::metadata(place.path().join(&entry.name)).unwrap().len(), entry.bytes);
    }
    assert!(run("tar tvf archive").lines().all(|line| line.starts_with("-rw------- 0/0")));
}
