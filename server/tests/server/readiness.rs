//! What `/healthz` and `/readyz` say.

use std::process::Command;

use tempfile::tempdir;

use crate::client::Client;
use crate::process::{Server, coscribe};

/// The largest file that the server may write, in blocks of 512 bytes: 8 MiB.
const FILE_BLOCKS: u32 = 16 * 1024;

#[tokio::test]
async fn a_server_is_alive_and_ready() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    assert!(server.get("/readyz").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn after_the_log_has_failed_editors_go_on_but_nothing_is_acknowledged() {
    let data = tempdir().unwrap();
    let coscribe = coscribe();
    // Without the signal, a file that is too large is a failed write, as a full disk is.
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -f {FILE_BLOCKS}; exec \"$@\""))
        .arg("sh")
        .arg(coscribe.get_program())
        .env("COSCRIBE_LOG", "debug")
        .args(["serve", "--listen", "127.0.0.1:0", "--grace", "0s", "--data"])
        .arg(data.path());
    let mut server = Server::spawn(command);
    let mut writer = Client::connect(server.address, "doc").await;
    let mut reader = Client::connect(server.address, "doc").await;
    writer.save("kept").await;
    let mut early = Client::connect(server.address, "early").await;
    early.save("on disk").await;

    writer.ask(b"after").await.unwrap();
    for _ in 0..9 {
        writer.write(&"x".repeat(1 << 20)).await.unwrap();
    }
    writer.ask(b"never").await.unwrap();
    server.logs("the log cannot be written").await;
    writer.acknowledged(b"after").await.unwrap();

    writer.write("the end").await.unwrap();
    reader.shows(|text| text.ends_with("the end")).await;
    let ready = server.get("/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(server.log().matches("the log cannot be written").count(), 1, "{}", server.log());
    assert!(!writer.was_acknowledged(b"never").await);

    early.leave().await;
    server.logs("closed document=\"early\"").await;

    server.signal("TERM");
    drop((writer, reader));
    assert_eq!(server.ended().await.code(), Some(1), "it must not look as if all was saved");
}
