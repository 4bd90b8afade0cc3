//! What `/healthz` and `/readyz` say.

use std::process::Command;

use rustix::process::{Resource, Rlimit, prlimit};
use tempfile::tempdir;

use crate::certificates::Authority;
use crate::client::Client;
use crate::process::{Server, coscribe, get};

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
async fn a_health_check_asks_where_the_server_listens() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let everywhere = format!("0.0.0.0:{}", server.address.port());
    let check = || coscribe().arg("health").env("COSCRIBE_LISTEN", &everywhere).output().unwrap();
    let healthy = check();
    assert!(healthy.status.success());
    assert_eq!(healthy.stdout, b"ready\n");
    server.stop().await;
    let gone = check();
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8(gone.stderr).unwrap().contains("no answer from 127.0.0.1:"));
}

#[tokio::test]
async fn a_health_check_speaks_tls_where_the_server_does_or_asks_its_admin_listener() {
    let (data, authority) = (tempdir().unwrap(), Authority::new());
    let [certificate, key] = authority.flags();
    let mut server = Server::start(data.path(), &[&certificate, &key, "--admin-listen", "127.0.0.1:0"]);
    let admin = server.admin().to_string();
    let listen = server.address.to_string();
    for flags in [vec!["--listen", &listen], vec!["--listen", "127.0.0.1:1", "--admin-listen", &admin]] {
        let check = coscribe().arg("health").args(flags).output().unwrap();
        assert_eq!(check.stdout, b"ready\n", "{check:?}");
        assert!(check.status.success());
    }
}

#[tokio::test]
async fn on_a_full_disk_editors_go_on_and_all_is_saved_when_there_is_room() {
    let data = tempdir().unwrap();
    let program = coscribe();
    // A file that is too large is a failed write, as a full disk is, and its signal ends nothing.
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -S -f {FILE_BLOCKS}; exec \"$@\""))
        .arg("sh")
        .arg(program.get_program())
        .env("COSCRIBE_LOG", "debug")
        .args(["serve", "--listen", "127.0.0.1:0", "--grace", "0s", "--data"])
        .arg(data.path());
    let server = Server::spawn(command);
    let mut writer = Client::connect(server.address, "doc").await;
    let mut reader = Client::connect(server.address, "doc").await;
    writer.save("kept").await;
    let mut early = Client::connect(server.address, "early").await;
    early.save("on disk").await;

    let after = writer.ask().await.unwrap();
    // More than a file may have, in one document, so that no other file can have it either.
    for _ in 0..9 {
        writer.write(&"x".repeat(1 << 20)).await.unwrap();
    }
    let later = writer.ask().await.unwrap();
    server.logs("the log cannot be written").await;
    writer.acknowledged(after).await.unwrap();

    writer.write("the end").await.unwrap();
    reader.shows(|text| text.ends_with("the end")).await;
    let ready = server.get("/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(!ready.contains(data.path().to_str().unwrap()) && !ready.contains("os error"), "{ready}");
    let check = coscribe().args(["health", "--listen", &server.address.to_string()]).output().unwrap();
    assert_eq!(check.status.code(), Some(1));
    assert!(ready.ends_with(&*String::from_utf8(check.stdout).unwrap()));
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
    assert!(!writer.was_acknowledged(later).await);
    let mut other = Client::connect(server.address, "other").await;
    other.write("meanwhile").await.unwrap();
    let meanwhile = other.ask().await.unwrap();
    early.leave().await;
    server.logs("closed document=\"early\"").await;
    // Once for what did not fit, and once more for all of it; not for each update.
    let complaints = server.log().matches("the log cannot be written").count();
    assert!(complaints <= 2, "{}", server.log());

    let unlimited = Rlimit { current: None, maximum: None };
    prlimit(Some(server.id()), Resource::Fsize, unlimited).unwrap();
    writer.acknowledged(later).await.unwrap();
    other.acknowledged(meanwhile).await.unwrap();
    assert!(server.get("/readyz").await.starts_with("HTTP/1.1 200 "));
    writer.save("more").await;
    server.kill();

    let server = Server::start(data.path(), &[]);
    let mut reader = Client::connect(server.address, "doc").await;
    reader.shows(|text| text.starts_with("kept") && text.ends_with("the endmore")).await;
    Client::connect(server.address, "other").await.shows(|text| text == "meanwhile").await;
}

#[tokio::test]
async fn a_server_that_could_not_save_everything_says_so_at_its_end_and_strangers_hear_no_paths() {
    let data = tempdir().unwrap();
    let mut server = Server::start(data.path(), &["--admin-listen", "127.0.0.1:0"]);
    let admin = server.admin();
    let mut writer = Client::connect(server.address, "doc").await;
    writer.save("kept").await;
    std::fs::remove_dir_all(data.path()).unwrap();
    server.logs("was removed or replaced").await;
    let path = data.path().to_str().unwrap();
    let ready = get(admin, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.contains("was removed or replaced"), "{ready}");
    assert!(ready.contains(path));
    for (request, status) in [
        ("GET /readyz", "503"),
        ("GET /y-sweet/ready", "503"),
        ("POST /y-sweet/check_store", "200"),
        ("POST /y-sweet/doc/new", "503"),
    ] {
        let head = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
        let answer = server.http(&format!("{request} {head}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(!answer.contains(path) && !answer.contains("os error"), "{request}: {answer}");
    }
    writer.write("lost").await.unwrap();
    let lost = writer.ask().await.unwrap();
    assert!(!writer.was_acknowledged(lost).await);
    server.signal("TERM");
    drop(writer);
    assert_eq!(server.ended().await.code(), Some(1), "it must not look as if all was saved");
}
