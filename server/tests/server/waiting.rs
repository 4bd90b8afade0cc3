//! An edit that comes before the one it depends on waits for that, whoever goes meanwhile.

use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::sync_frame;
use tempfile::tempdir;

use crate::client::Client;
use crate::process::{Server, coscribe, until};

const FLAGS: [&str; 2] = ["--grace", "10ms"];

/// Somebody replaces a word and goes. What was typed before that is late: gives it.
async fn half_a_replacement(server: &Server) -> Vec<u8> {
    let mut author = Client::connect(server.address, "doc").await;
    author.save("word").await;
    let late = author.edit("s");
    author.replace("other").await;
    author.leave().await;
    server.logs("closed document=\"doc\"").await;
    late
}

#[tokio::test]
async fn half_a_replacement_is_not_shown_and_not_forgotten_over_restarts() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &FLAGS);
    let late = half_a_replacement(&server).await;
    let checkpoints = server.log().matches("checkpointed").count();
    assert_eq!(checkpoints, 1, "what waits is no reason for another one");
    server.kill();

    let server = Server::start(data.path(), &FLAGS);
    let mut reader = Client::connect(server.address, "doc").await;
    reader.synced().await;
    assert_eq!(reader.text(), "word");
    reader.leave().await;
    until("the document is closed", || server.log().contains("closed document=\"doc\"")).await;
    assert!(!server.log().contains("checkpointed"), "there is nothing new");
    server.stop().await;

    let verify = coscribe().args(["verify", "--deep", "--data"]).arg(data.path()).output().unwrap();
    assert!(verify.status.success(), "{verify:?}");

    let server = Server::start(data.path(), &FLAGS);
    let mut other = Client::connect(server.address, "doc").await;
    other.send(sync_frame(&SyncMessage::Update(&late))).await.unwrap();
    other.shows(|text| text == "other").await;
    let late = other.ask().await.unwrap();
    other.acknowledged(late).await.unwrap();
    server.kill();

    let server = Server::start(data.path(), &FLAGS);
    let mut reader = Client::connect(server.address, "doc").await;
    reader.synced().await;
    assert_eq!(reader.text(), "other");
}

#[tokio::test]
async fn only_who_has_sent_what_waits_is_not_acknowledged_until_the_rest_comes() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut lacking = Client::connect(server.address, "doc").await;
    let mut other = Client::connect(server.address, "doc").await;
    // Nobody who is asked for the first of these has it.
    let mut author = Client::connect(server.address, "elsewhere").await;
    let (late, waiting) = (author.edit("a"), author.edit("b"));
    lacking.send(sync_frame(&SyncMessage::Update(&waiting))).await.unwrap();
    let waits = lacking.ask().await.unwrap();
    other.save("c").await;
    lacking.shows(|text| text.contains('c')).await;
    assert!(!lacking.was_acknowledged(waits).await);

    other.send(sync_frame(&SyncMessage::Update(&late))).await.unwrap();
    lacking.acknowledged(waits).await.unwrap();
    other.save("d").await;
    server.kill();

    let server = Server::start(data.path(), &[]);
    let mut reader = Client::connect(server.address, "doc").await;
    reader.synced().await;
    for written in ["ab", "c", "d"] {
        assert!(reader.text().contains(written), "{:?}", reader.text());
    }
}
