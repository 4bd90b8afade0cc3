//! What becomes a WebSocket and what doesn't.

use tempfile::tempdir;

use crate::client::Client;
use crate::process::Server;

fn handshake(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n{headers}\r\n")
}

const SOUND: &str =
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn bad_handshakes_are_refused_in_words() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let long = format!("/{}", "x".repeat(1025));
    let ten_kilobytes = format!("/{}", "%C3%BC".repeat(2000));
    let sound = format!("{SOUND}Connection: close\r\n");
    let no_key = "Connection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n";
    for (path, headers, status, reason) in [
        (long.as_str(), sound.as_str(), "414", "1024 bytes"),
        (ten_kilobytes.as_str(), sound.as_str(), "414", "1024 bytes"),
        ("/%FF%FE", sound.as_str(), "400", "not UTF-8"),
        ("/doc", no_key, "400", "Sec-WebSocket-Key"),
        ("/doc", &sound.replace("bXBs", "!!!!"), "400", "Sec-WebSocket-Key"),
        ("/doc", &sound.replace("13", "8"), "426", "version 13"),
        ("/doc", &sound.replace("Upgrade", "close"), "400", "Connection"),
        ("/doc", &format!("{sound}Sec-WebSocket-Extensions: a;\r\n"), "400", "Sec-WebSocket-Extensions"),
    ] {
        let answer = server.http(&handshake(path, headers)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(reason), "{answer}");
        if status == "426" {
            assert!(answer.to_ascii_lowercase().contains("sec-websocket-version: 13"), "{answer}");
        }
    }
    let post = handshake("/doc", &sound).replace("GET", "POST");
    assert!(server.http(&post).await.starts_with("HTTP/1.1 405 "));
}

#[tokio::test]
async fn a_document_may_have_the_name_of_a_plain_route() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut one = Client::connect(server.address, "healthz?token=secret").await;
    let mut other = Client::connect(server.address, "healthz").await;
    one.write("both").await.unwrap();
    other.shows(|text| text == "both").await;
    assert!(server.get("/healthz").await.contains("alive"));
    assert!(!server.log().contains("secret"), "{}", server.log());
}

#[tokio::test]
async fn encoded_and_plain_spellings_of_a_name_are_one_document() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let mut one = Client::connect(server.address, "room%20a/%C3%BC").await;
    let mut other = Client::connect(server.address, "room%20%61/%c3%bc").await;
    one.write("same").await.unwrap();
    other.shows(|text| text == "same").await;
}

#[tokio::test]
async fn the_root_shows_a_page_and_an_unknown_path_does_not() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let page = server.get("/").await;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("coscribe"), "{page}");
    assert!(server.get("/elsewhere").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn no_more_rooms_than_configured_are_opened() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--max-rooms", "2"]);
    let mut one = Client::connect(server.address, "one").await;
    let mut two = Client::connect(server.address, "two").await;
    one.synced().await;
    two.synced().await;
    let close = Client::connect(server.address, "three").await.close_frame().await;
    assert!(u16::from(close.code) == 1013 && close.reason.contains("too many documents"), "{close:?}");
    let mut again = Client::connect(server.address, "one").await;
    one.write("open").await.unwrap();
    again.shows(|text| text == "open").await;
}
