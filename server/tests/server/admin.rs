//! `--admin-listen`.

use tempfile::tempdir;

use crate::client::Client;
use crate::process::{Server, get, http};

const UPGRADE: &str = "GET /doc HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test]
async fn metrics_have_a_listener_of_their_own_and_documents_do_not() {
    let data = tempdir().unwrap();
    let mut server = Server::start(data.path(), &["--admin-listen", "127.0.0.1:0"]);
    let admin = server.admin();
    Client::connect(server.address, "metrics").await.save("a document").await;
    for (path, public, private) in [
        ("/healthz", "200", "200"),
        ("/readyz", "200", "200"),
        ("/metrics", "404", "200"),
        ("/api/v1", "404", "404"),
        ("/y-sweet/ready", "200", "404"),
        ("/", "200", "404"),
    ] {
        for (address, status) in [(server.address, public), (admin, private)] {
            let answer = get(address, path).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        }
    }
    for path in ["/doc", "/metrics", "/healthz"] {
        let answer = http(admin, &UPGRADE.replace("/doc", path)).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
}
