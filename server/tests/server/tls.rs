//! `--tls-cert` and `--tls-key`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ALL_VERSIONS, HandshakeKind};

use crate::certificates::Authority;
use crate::client::Client;
use crate::process::{PATIENCE, Server, coscribe};
use crate::tunnel::{Tunnel, connect};

/// A server with a certificate of this authority, and its data.
fn start(authority: &Authority, flags: &[&str]) -> (tempfile::TempDir, Server) {
    let data = tempdir().unwrap();
    let pair = authority.flags();
    let flags: Vec<_> = pair.iter().map(String::as_str).chain(flags.iter().copied()).collect();
    let server = Server::start(data.path(), &flags);
    (data, server)
}

/// The certificate that the server shows to who connects now.
async fn shown(server: &Server, authority: &Authority) -> CertificateDer<'static> {
    let stream = connect(server.address, authority.client(ALL_VERSIONS, &[]), None).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

#[tokio::test]
async fn editors_share_a_document_of_ten_megabytes() {
    let authority = Authority::new();
    let (_data, server) = start(&authority, &[]);
    let tunnel = Tunnel::to(&server, &authority).await;
    let text: String = (0..1_000_000).map(|n| format!("{n:09},")).collect();
    let mut writer = Client::connect(tunnel.address, "doc").await;
    writer.save(&text).await;
    let mut reader = Client::connect(tunnel.address, "doc").await;
    reader.synced().await;
    assert!(reader.text() == text);
    writer.write("and more").await.unwrap();
    reader.shows(|shown| shown.ends_with("and more")).await;
    reader.save("!").await;
    writer.shows(|shown| shown.ends_with("and more!")).await;
}

#[tokio::test]
async fn a_narrow_connection_gets_all_of_a_large_document_and_is_heard_meanwhile() {
    let authority = Authority::new();
    let (_data, server) = start(&authority, &[]);
    let wide = Tunnel::to(&server, &authority).await;
    let narrow = Tunnel::narrow(&server, &authority).await;
    let text = "ten bytes.".repeat(400_000);
    let mut writer = Client::connect(wide.address, "doc").await;
    writer.save(&text).await;
    let mut reader = Client::connect(narrow.address, "doc").await;
    reader.write("me").await.unwrap();
    writer.shows(|shown| shown.contains("me")).await;
    reader.synced().await;
    reader.shows(|shown| shown.len() == text.len() + 2).await;
    reader.leave().await;
    writer.leave().await;
    narrow.ended_in_order(1).await;
    wide.ended_in_order(1).await;
}

#[tokio::test]
async fn both_versions_are_spoken_and_no_other_protocol_than_http_1_1() {
    let authority = Authority::new();
    let (_data, server) = start(&authority, &[]);
    for version in [&TLS12, &TLS13] {
        let client = authority.client(&[version], &["h2", "http/1.1"]);
        let mut stream = connect(server.address, Arc::clone(&client), None).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        // An error, where the end is not announced.
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let again = connect(server.address, client, None).await.unwrap();
        assert_eq!(again.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    }
    let client = authority.client(ALL_VERSIONS, &["h2"]);
    assert!(connect(server.address, client, None).await.is_err());
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_who_comes_and_keeps_who_is_here() {
    let authority = Authority::new();
    let (_data, server) = start(&authority, &[]);
    let tunnel = Tunnel::to(&server, &authority).await;
    let mut early = Client::connect(tunnel.address, "doc").await;
    early.save("before").await;
    let first = shown(&server, &authority).await;

    authority.put(&authority.issue());
    server.logs("new certificate").await;
    assert!(shown(&server, &authority).await != first);
    let mut late = Client::connect(tunnel.address, "doc").await;
    late.shows(|text| text == "before").await;
    early.write(", after").await.unwrap();
    late.shows(|text| text == "before, after").await;
}

#[tokio::test]
async fn a_broken_certificate_is_warned_about_and_the_old_one_stays() {
    let authority = Authority::new();
    let (_data, server) = start(&authority, &[]);
    let first = shown(&server, &authority).await;

    let (mut broken, other) = (authority.issue(), authority.issue());
    broken.key.clone_from(&other.key);
    authority.put(&broken);
    server.logs("the certificate stays as it was").await;
    assert!(server.log().contains("does not fit the certificate"), "{}", server.log());
    assert!(shown(&server, &authority).await == first);

    broken.certificate.truncate(100);
    authority.put(&broken);
    server.logs_times("the certificate stays as it was", 2).await;
    assert!(shown(&server, &authority).await == first);

    authority.put(&other);
    server.logs("new certificate").await;
    assert!(shown(&server, &authority).await != first);
    assert_eq!(server.log().matches("the certificate stays as it was").count(), 2, "once for each");
}

#[tokio::test]
async fn plain_http_is_told_what_is_spoken_here() {
    let authority = Authority::new();
    let (_data, server) = start(&authority, &[]);
    let answer = server.http("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
}

#[tokio::test]
async fn who_does_not_finish_a_handshake_is_dropped() {
    let authority = Authority::new();
    let (_data, server) = start(&authority, &["--header-timeout", "200ms"]);
    // Nothing at all, the beginning of a record, and one that is none.
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"\x80\x00\x00\x00\x00\x00\x00"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        // Reset, where there were bytes that the server has not read.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("dropped");
    }
    let tunnel = Tunnel::to(&server, &authority).await;
    Client::connect(tunnel.address, "doc").await.save("others are served").await;
}

#[tokio::test]
async fn a_shutdown_says_so_and_ends_tls_in_order() {
    let authority = Authority::new();
    let (_data, server) = start(&authority, &["--shutdown-spread", "0s"]);
    let tunnel = Tunnel::to(&server, &authority).await;
    let mut client = Client::connect(tunnel.address, "doc").await;
    client.synced().await;
    server.signal("TERM");
    let close = client.close_frame().await;
    assert_eq!(u16::from(close.code), 1001);
    client.leave().await;
    tunnel.ended_in_order(1).await;
    let mut server = server;
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn announced_urls_and_those_of_y_sweet_are_encrypted() {
    let authority = Authority::new();
    let (_data, mut server) = start(&authority, &[]);
    let port = server.address.port();
    let line = server.line();
    assert!(line.contains(&format!("wss://127.0.0.1:{port}/<document>")), "{line}");
    let tunnel = Tunnel::to(&server, &authority).await;
    let post = |path: &str, body: &str| {
        let length = body.len();
        format!(
            "POST /y-sweet{path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    tunnel.http(&post("/doc/new", "{\"docId\":\"notes\"}")).await;
    let token = tunnel.http(&post("/doc/notes/auth", "")).await;
    assert!(token.contains(&format!("\"wss://localhost:{port}/y-sweet/d/notes/ws\"")), "{token}");
    assert!(token.contains(&format!("\"https://localhost:{port}/y-sweet/d/notes\"")), "{token}");
}

#[test]
fn what_is_wrong_with_the_files_is_said_at_the_start() {
    let authority = Authority::new();
    let (pair, other) = (authority.issue(), authority.issue());
    let file = |name: &str, text: &str| {
        let path = authority.home().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (certificate, key) = (file("chain.pem", &pair.certificate), file("key.pem", &pair.key));
    let other = file("other.pem", &other.key);
    let encrypted = file("encrypted.pem", &pair.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    let damaged = file("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let missing = authority.home().join("missing.pem");
    let data = tempdir().unwrap();
    let said = |flags: &[(&str, &PathBuf)]| {
        let mut command: Command = coscribe();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
        for (flag, path) in flags {
            command.arg(flag).arg(path);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    for (flags, says) in [
        (&[("--tls-cert", &certificate)][..], ["tls_cert is given without tls_key", ""]),
        (&[("--tls-key", &key)], ["tls_key is given without tls_cert", ""]),
        (&[("--tls-cert", &missing), ("--tls-key", &key)], ["cannot read", "missing.pem"]),
        (&[("--tls-cert", &key), ("--tls-key", &key)], ["key.pem", "no certificate in it"]),
        (&[("--tls-cert", &certificate), ("--tls-key", &certificate)], ["chain.pem", "no private key in it"]),
        (&[("--tls-cert", &certificate), ("--tls-key", &other)], ["other.pem", "does not fit"]),
        (&[("--tls-cert", &certificate), ("--tls-key", &encrypted)], ["encrypted.pem", "is encrypted"]),
        (&[("--tls-cert", &damaged), ("--tls-key", &key)], ["damaged.pem", "cannot be used"]),
    ] {
        let said = said(flags);
        assert!(says.iter().all(|part| said.contains(part)), "{said}");
    }
}
