//! Memory is bounded over all, and whoever has most gives way.

use coscribe_engine::lib0::write_var_buf;
use tempfile::tempdir;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::process::{Server, until};
use crate::raw::Raw;

/// Where those come from who use up the memory.
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

const MEMORY: &str = "48MiB";

const HELD: &str = "coscribe_memory_held_bytes";

const GAVE_WAY: &str = "coscribe_memory_gave_way_total";

/// A person who types while others use up the memory, and the memory before that.
async fn person(server: &Server) -> (Client, u64) {
    let mut person = Client::connect(server.address, "people").await;
    person.save("before ").await;
    (person, server.memory())
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
            tokio::task::yield_now().await;
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
    let gave_way = format!("{GAVE_WAY}{{debtor=\"connection\"}}");
    assert!(server.metric(&gave_way).await > 0.0);
    assert!(server.log().contains("short of memory"));
    // Who has not given way still holds some.
    attackers.clear();
    check(&server, person, before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_given_way_is_told_to_try_again_later() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--memory", "2MiB"]);
    let mut raw = Raw::connect_from(ELSEWHERE, server.address, "doc").await;
    raw.try_write(&[0x82, 0xff, 0, 0, 0, 0, 0, 0x40, 0, 0, 1, 2, 3, 4]).await.unwrap();
    raw.try_write(&vec![0; 3 << 20]).await.unwrap();
    assert_eq!(raw.close_code().await, 1013);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_take_much_are_closed_where_memory_is_short() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--memory", MEMORY]);
    let (person, before) = person(&server).await;
    let mut attackers = JoinSet::new();
    for number in 0..100 {
        let address = server.address;
        attackers.spawn(async move {
            let mut raw = Raw::connect_from(ELSEWHERE, address, &format!("a{number}")).await;
            // It may be turned away.
            let _ = raw.try_send(0x82, &waiting(1 << 20)).await;
            raw
        });
    }
    let attackers = attackers.join_all().await;
    let gave_way = format!("{GAVE_WAY}{{debtor=\"document\"}}");
    while server.metric(&gave_way).await == 0.0 {
        tokio::task::yield_now().await;
    }
    drop(attackers);
    check(&server, person, before).await;
    until("the documents are closed", || server.log().contains("closed")).await;
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
