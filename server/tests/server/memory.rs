//! Memory is bounded over all, and whoever has most gives way.

use coscribe_engine::lib0::write_var_buf;
use tempfile::tempdir;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep, timeout};

use crate::client::Client;
use crate::process::Server;
use crate::raw::Raw;

/// Where those come from who use up the memory.
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

const MEMORY: &str = "48MiB";

/// The least that a server may be given.
const LEAST: &str = "8MiB";

const HELD: &str = "coscribe_memory_held_bytes";

const GAVE_WAY: &str = "coscribe_memory_gave_way_total";

/// A person who types while others use up the memory, and the memory before that.
async fn person(server: &Server) -> (Client, u64) {
    let mut person = Client::connect(server.address, "people").await;
    person.save("before ").await;
    (person, server.memory())
}

/// How often somebody of this kind was sent away for want of memory.
async fn gave_way(server: &Server, debtor: &str) -> f64 {
    server.metric(&format!("{GAVE_WAY}{{debtor=\"{debtor}\"}}")).await
}

/// The bound held, the person noticed nothing, and the memory is free again.
async fn check(server: &Server, mut person: Client, before: u64) {
    person.save("after").await;
    assert_eq!(person.text(), "before after");
    let grown = server.peak_memory() - before;
    // Some of it is the allocator's, and what is made of messages while they are taken in.
    assert!(grown < 96 << 20, "{grown} bytes");
    assert!(!server.log().contains("\"people\" code"), "nobody else is sent away");
    for debtor in ["connection", "document"] {
        let metric = format!("{HELD}{{debtor=\"{debtor}\"}}");
        while server.metric(&metric).await > f64::from(2 << 20) {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_without_an_end_are_given_up_where_memory_is_short() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--memory", MEMORY]);
    let (person, before) = person(&server).await;
    let mut attackers = JoinSet::new();
    for number in 0..24 {
        let address = server.address;
        attackers.spawn(async move {
            let mut raw = Raw::connect_from(ELSEWHERE, address, &format!("a{number}")).await;
            let header = [0x82, 0xff, 0, 0, 0, 0, 1, 0xf0, 0, 0, 1, 2, 3, 4];
            raw.try_write(&header).await.unwrap();
            // 31 MiB are announced, and 4 MiB of them sent.
            for _ in 0..64 {
                if raw.try_write(&[0; 64 << 10]).await.is_err() {
                    break;
                }
            }
            raw
        });
    }
    let mut attackers = attackers.join_all().await;
    assert!(gave_way(&server, "connection").await > 0.0);
    assert!(server.log().contains("short of memory"));
    // Who has not given way still holds some.
    attackers.clear();
    check(&server, person, before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_least_memory_people_type_and_paste() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--memory", LEAST]);
    let mut person = Client::connect(server.address, "doc").await;
    for _ in 0..100 {
        person.save("word ").await;
    }
    person.save(&"long ".repeat(200_000)).await;
    person.save("word ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_given_way_is_told_to_try_again_later() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--memory", LEAST]);
    let mut raw = Raw::connect_from(ELSEWHERE, server.address, "doc").await;
    raw.try_write(&[0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4]).await.unwrap();
    raw.try_write(&vec![0; 7 << 20]).await.unwrap();
    assert_eq!(raw.close_code().await, 1013);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_take_much_are_closed_where_memory_is_short() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--memory", MEMORY, "--grace", "1s"]);
    let (person, before) = person(&server).await;
    let mut attackers = Vec::new();
    while gave_way(&server, "document").await == 0.0 {
        let mut raw = Raw::connect_from(ELSEWHERE, server.address, &format!("a{}", attackers.len())).await;
        // It may be turned away.
        let _ = raw.try_send(0x82, &waiting(1 << 20)).await;
        attackers.push(raw);
        assert!(attackers.len() < 1000, "nobody gives way");
        // One after the other: nothing much is on its way, so the documents owe most.
        sleep(Duration::from_millis(20)).await;
    }
    drop(attackers);
    check(&server, person, before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_after_a_refusal_is_not_kept() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--max-connections-per-document", "1"]);
    let (_person, before) = person(&server).await;
    let mut refused = JoinSet::new();
    for _ in 0..20 {
        let address = server.address;
        refused.spawn(async move {
            let mut raw = Raw::connect_from(ELSEWHERE, address, "people").await;
            let header = [0x82, 0xff, 0, 0, 0, 0, 1, 0xf0, 0, 0, 1, 2, 3, 4];
            raw.try_write(&header).await.unwrap();
            // It may be closed before all is sent.
            let _ = timeout(Duration::from_secs(10), raw.try_write(&vec![0; 8 << 20])).await;
        });
    }
    refused.join_all().await;
    let grown = server.peak_memory() - before;
    assert!(grown < 64 << 20, "{grown} bytes of 160 MiB");
}

/// An update with text that waits for what comes before it, which never comes.
fn waiting(bytes: usize) -> Vec<u8> {
    let mut update = vec![1, 1, 1, 5, 0x04, 1, 1, b't'];
    write_var_buf(&mut update, &vec![b'x'; bytes]);
    update.push(0);
    let mut message = vec![0, 2];
    write_var_buf(&mut message, &update);
    message
}
