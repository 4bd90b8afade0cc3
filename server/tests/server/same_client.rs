//! Two clients with the same client id, as where a machine was copied while it ran.

use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{sync_frame, sync_status_frame};
use coscribe_provider::line::{End, Incoming};
use tempfile::tempdir;
use yrs::Doc;

use crate::client::Client;
use crate::process::Server;

#[tokio::test]
async fn the_second_hears_that_its_text_is_not_saved() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let connect = || Client::try_connect(server.address, "doc", Doc::with_client_id(7));
    let mut second = connect().await.unwrap();
    second.synced().await;
    let other = second.edit("another text");
    let mut first = connect().await.unwrap();
    first.save("the first text").await;
    // It has not heard of that when it writes.
    second.send(sync_frame(&SyncMessage::Update(&other))).await.unwrap();
    // It may be closed already.
    let _ = second.send(sync_status_frame(b"7")).await;
    let close = loop {
        match second.next().await {
            Incoming::Frame(frame) => assert_ne!(frame[0], 102, "it is not acknowledged"),
            Incoming::Ended(End::Closed(frame)) => break frame.expect("a Close frame with a code"),
            Incoming::Ended(end) => panic!("the connection ended {end}"),
        }
    };
    assert!(u16::from(close.code) == 1008 && close.reason.contains("same client"), "{close}");
    first.save(", and more").await;
    let mut reader = Client::connect(server.address, "doc").await;
    reader.shows(|text| text == "the first text, and more").await;
}
