//! `GET /metrics`.

use tempfile::tempdir;

use crate::client::Client;
use crate::process::Server;

/// The value of a metric, with its labels in its name.
async fn value(server: &Server, name: &str) -> f64 {
    let text = server.get("/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().unwrap()
}

#[tokio::test]
async fn what_happens_is_counted_and_no_document_is_named() {
    let data = tempdir().unwrap();
    let server = Server::start(
        data.path(),
        &["--grace", "0s", "--max-message-bytes", "100KB", "--max-document-bytes", "100KB"],
    );
    let mut reader = Client::connect(server.address, "a-document").await;
    reader.synced().await;
    let mut writer = Client::connect(server.address, "a-document").await;
    writer.synced().await;
    writer.save(&"x".repeat(10_000)).await;
    reader.shows(|text| text.len() == 10_000).await;

    for (name, expected) in [
        ("coscribe_connections", 2.0),
        ("coscribe_rooms", 1.0),
        ("coscribe_lagging_peers", 0.0),
        ("coscribe_updates_received_total", 1.0),
        ("coscribe_updates_sent_total", 1.0),
        ("coscribe_log_append_seconds_count", 1.0),
        ("coscribe_log_sync_seconds_count", 1.0),
    ] {
        assert_eq!(value(&server, name).await, expected, "{name}");
    }
    for name in [
        "coscribe_received_bytes_total",
        "coscribe_received_wire_bytes_total",
        "coscribe_sent_bytes_total",
        "coscribe_sent_wire_bytes_total",
        "coscribe_flush_bytes_sum",
    ] {
        assert!((10_000.0..11_000.0).contains(&value(&server, name).await), "{name}");
    }
    let messages = value(&server, "coscribe_messages_sent_total").await;
    assert!(messages >= 5.0 && value(&server, "coscribe_messages_received_total").await >= 5.0);
    assert!(!server.get("/metrics").await.contains("a-document"));

    writer.send(vec![0; 200_000]).await.unwrap();
    writer.close_frame().await;
    assert_eq!(value(&server, "coscribe_rejected_total{reason=\"too_large\"}").await, 1.0);
    drop(writer);
    reader.leave().await;
    server.logs("closed document").await;
    assert_eq!(value(&server, "coscribe_rooms").await, 0.0);
}
