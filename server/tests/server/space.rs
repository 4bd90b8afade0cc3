//! Before the disk is full, documents that do not exist yet are refused.

use std::fs;
use std::time::Duration;

use tempfile::tempdir;
use tokio::time::sleep;

use crate::client::Client;
use crate::process::Server;

/// Expects that a document that does not exist yet is refused, in every way.
async fn expect_refused(server: &Server) {
    let close = Client::connect(server.address, "new").await.close_frame().await;
    assert_eq!(u16::from(close.code), 1013);
    assert!(close.reason.contains("the server is short of disk space"), "{}", close.reason);
    let created = create(server).await;
    assert!(created.starts_with("HTTP/1.1 503 ") && created.contains("short of disk space"), "{created}");
    assert_eq!(server.metric("coscribe_disk_short").await, 1.0);
    assert!(server.metric("coscribe_rejected_total{reason=\"disk\"}").await >= 2.0);
}

async fn create(server: &Server) -> String {
    let body = "{\"docId\":\"created\"}";
    let request = format!(
        "POST /y-sweet/doc/new HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    );
    server.http(&request).await
}

#[tokio::test]
async fn where_the_directory_takes_all_that_it_may_new_documents_are_refused_and_others_go_on() {
    let data = tempdir().unwrap();
    let server =
        Server::start(data.path(), &["--max-disk", "8MiB", "--grace", "0s", "--min-free-disk", "1B"]);
    let mut open = Client::connect(server.address, "open").await;
    open.save("before").await;
    let mut closed = Client::connect(server.address, "closed").await;
    closed.save("before").await;
    closed.leave().await;

    let ballast = data.path().join("ballast");
    fs::write(&ballast, vec![7; 10 << 20]).unwrap();
    server.logs("short of disk space: the documents take").await;
    expect_refused(&server).await;
    open.save(", and after").await;
    let mut again = Client::connect(server.address, "closed").await;
    again.save(", and after").await;
    again.shows(|text| text.contains("before") && text.contains("after")).await;

    fs::remove_file(ballast).unwrap();
    server.logs("there is enough disk space again").await;
    Client::connect(server.address, "new").await.save("taken in").await;
    assert!(create(&server).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(server.metric("coscribe_disk_short").await, 0.0);
    for said in ["short of disk space: ", "there is enough disk space again"] {
        assert_eq!(server.log().matches(said).count(), 1, "{}", server.log());
    }
}

#[tokio::test]
async fn where_the_disk_has_less_free_than_it_should_nothing_new_is_taken_in_from_the_start() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    Client::connect(server.address, "kept").await.save("before").await;
    assert!(server.metric("coscribe_disk_free_bytes").await > 0.0);
    // It is looked at once a second.
    while server.metric("coscribe_log_live_bytes").await == 0.0 {
        sleep(Duration::from_millis(20)).await;
    }
    assert!(server.metric("coscribe_log_bytes").await > 0.0);
    server.kill();

    let server = Server::start(data.path(), &["--min-free-disk", "1000TiB"]);
    assert!(server.log().contains("min_free_disk is"), "{}", server.log());
    expect_refused(&server).await;
    let mut kept = Client::connect(server.address, "kept").await;
    kept.save(", and after").await;
    assert_eq!(kept.text().len(), "before, and after".len());
}
