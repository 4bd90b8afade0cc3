//! Archives: documents come back as they were written, and nothing else is trusted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use coscribe_persistence::{ARCHIVE_MANIFEST, ArchiveError, ArchiveReader, ArchiveWriter, DocumentName};

fn name(text: &str) -> DocumentName {
    DocumentName::new(text).unwrap()
}

fn sample(dir: &Path) {
    let mut archive = ArchiveWriter::create(dir).unwrap();
    archive.add(&name("b/\u{1}/../x"), b"state of b", 7, 1000).unwrap();
    archive.add(&name("a"), b"", 0, 2000).unwrap();
    assert_eq!(archive.finish().unwrap(), 2);
}

#[test]
fn documents_come_back_sorted_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("new/archive");
    sample(&target);
    let archive = ArchiveReader::open(&target).unwrap();
    let documents: Vec<_> = archive.documents().map(Result::unwrap).collect();
    let [(a, a_state), (b, b_state)] = &documents[..] else { panic!("two documents") };
    assert_eq!((a.name.as_str(), &a_state[..], a.sequence, a.time), ("a", b"".as_slice(), 0, 2000));
    assert_eq!((b.name.as_str(), &b_state[..], b.sequence), ("b/\u{1}/../x", b"state of b".as_slice(), 7));
    assert_eq!(fs::read(target.join("documents/00000001.yjs")).unwrap(), b"state of b");
}

#[test]
fn an_archive_is_not_written_over_anything() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    assert!(matches!(ArchiveWriter::create(dir.path()), Err(ArchiveError::NotEmpty(_))));
}

#[test]
fn an_unfinished_archive_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = ArchiveWriter::create(dir.path()).unwrap();
    archive.add(&name("a"), b"state", 1, 0).unwrap();
    assert!(matches!(archive.add(&name("a"), b"again", 2, 0), Err(ArchiveError::Repeated(_))));
    drop(archive);
    assert!(matches!(ArchiveReader::open(dir.path()), Err(ArchiveError::Io { .. })));
}

#[test]
fn a_changed_file_is_noticed_and_concerns_one_document_only() {
    for state in ["State of b", "state of b and more", ""] {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path());
        fs::write(dir.path().join("documents/00000001.yjs"), state).unwrap();
        let archive = ArchiveReader::open(dir.path()).unwrap();
        let documents: Vec<_> = archive.documents().collect();
        assert!(documents[0].is_ok());
        assert!(
            matches!(&documents[1], Err(ArchiveError::Damaged { name, .. }) if name.as_str() == "b/\u{1}/../x")
        );
    }
}

#[test]
fn a_manifest_cannot_point_elsewhere_or_say_nonsense() {
    let changes = [
        ("00000001.yjs", "../00000001.yjs"),
        ("00000001.yjs", "/etc/passwd"),
        ("00000001.yjs", "..\\\\1.yjs"),
        ("00000001.yjs", ".yjs"),
        ("\"coscribe-archive\"", "\"something else\""),
        ("\"version\": 1", "\"version\": 2"),
        ("\"name\": \"a\"", "\"name\": \"\""),
        ("\"crc32c\": \"00000000\"", "\"crc32c\": \"no\""),
        ("\"documents\"", "\"nothing\""),
        ("}", ""),
    ];
    for (from, to) in changes {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path());
        let path = dir.path().join(ARCHIVE_MANIFEST);
        let manifest = fs::read_to_string(&path).unwrap();
        assert!(manifest.contains(from), "{from} in {manifest}");
        fs::write(&path, manifest.replace(from, to)).unwrap();
        assert!(matches!(ArchiveReader::open(dir.path()), Err(ArchiveError::Manifest { .. })), "{to}");
    }
}

#[test]
fn a_document_twice_in_a_manifest_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let path = dir.path().join(ARCHIVE_MANIFEST);
    let manifest = fs::read_to_string(&path).unwrap().replace("b/\\u0001/../x", "a");
    fs::write(&path, manifest).unwrap();
    assert!(matches!(ArchiveReader::open(dir.path()), Err(ArchiveError::Repeated(_))));
}
