//! Damage by the disk to what was written last: the document is unreadable, and not an earlier or an empty one.

use std::fs;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use crate::client::Client;
use crate::process::{Server, coscribe, until};

/// The report of `coscribe verify`, and whether it was content.
fn verify(data: &Path) -> (bool, String) {
    let output = coscribe().args(["verify", "--data"]).arg(data).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

/// Flips a bit where the log first has these bytes.
fn flip_in_log(data: &Path, content: &[u8]) {
    let path = data.join("00000001.log");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(content.len()).position(|window| window == content).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// What is in a data directory now.
fn copy_of(data: &Path) -> TempDir {
    let copy = tempdir().unwrap();
    for name in ["00000001.log", "catalog"] {
        fs::copy(data.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

async fn write(server: &Server) {
    for (name, words) in [("sound", "earlier words"), ("broken", "the last words")] {
        let mut client = Client::connect(server.address, name).await;
        client.save(words).await;
        client.leave().await;
    }
}

async fn expect_broken(data: &Path) {
    let (sound, report) = verify(data);
    assert!(!sound && report.contains("NOT SOUND"), "{report}");
    let server = Server::start(data, &[]);
    let close = Client::connect(server.address, "broken").await.close_frame().await;
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1011, "the document cannot be read"));
    let mut client = Client::connect(server.address, "sound").await;
    client.synced().await;
    assert_eq!(client.text(), "earlier words");
    server.kill();
}

#[tokio::test]
async fn after_a_clean_stop_one_flipped_bit_in_the_last_record_makes_its_document_unreadable() {
    // The second one makes it the record of another document.
    for damaged in ["the last words", "broken"] {
        let data = tempdir().unwrap();
        let server = Server::start(data.path(), &[]);
        write(&server).await;
        server.stop().await;
        let (sound, report) = verify(data.path());
        assert!(sound && !report.contains("end mark"), "{report}");
        flip_in_log(data.path(), damaged.as_bytes());
        expect_broken(data.path()).await;
    }
}

#[tokio::test]
async fn so_does_one_after_a_crash_where_nothing_was_written_for_a_while() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    write(&server).await;
    until("the log has an end mark", || !verify(copy_of(data.path()).path()).1.contains("no end mark")).await;
    server.kill();
    flip_in_log(data.path(), b"broken");
    expect_broken(data.path()).await;
}

#[tokio::test]
async fn after_a_crash_it_is_said_what_cannot_be_vouched_for() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--grace", "1h"]);
    write(&server).await;
    server.kill();
    let (sound, report) = verify(data.path());
    assert!(sound && report.contains("have no end mark"), "{report}");
    let server = Server::start(data.path(), &["--grace", "1h"]);
    server.logs("have no end mark").await;
    server.stop().await;
    let server = Server::start(data.path(), &[]);
    assert!(!server.log().contains("end mark"), "{}", server.log());
}
