//! Nothing that was acknowledged is lost, whenever the server is killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use tempfile::tempdir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::client::Client;
use crate::process::Server;

const DOCUMENTS: [&str; 3] = ["one", "two", "three"];
const WRITERS_PER_DOCUMENT: usize = 2;

/// Rounds in `make test`; more with `COSCRIBE_KILL_ROUNDS`.
const ROUNDS: u32 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_sigkill() {
    let rounds = std::env::var("COSCRIBE_KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let seed =
        std::env::var("COSCRIBE_KILL_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("COSCRIBE_KILL_SEED={seed} COSCRIBE_KILL_ROUNDS={rounds}");
    let mut rng = Rng::with_seed(seed);
    let data = tempdir().unwrap();
    // Evictions and checkpoints all the time, so that they are killed as well.
    let flags = ["--grace", "0s", "--checkpoint-bytes", "2KiB", "--commit-window", "1ms"];
    let mut promised: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for round in 0..rounds {
        let server = Server::start(data.path(), &flags);
        check(server.address, &promised).await;
        let (acknowledge, mut acknowledged) = mpsc::unbounded_channel();
        let writers: Vec<JoinHandle<()>> = (0..DOCUMENTS.len() * WRITERS_PER_DOCUMENT)
            .map(|writer| {
                let name = DOCUMENTS[writer % DOCUMENTS.len()];
                let (words, rng) = (format!("{round}.{writer}"), rng.fork());
                tokio::spawn(write_until_killed(server.address, name, words, rng, acknowledge.clone()))
            })
            .collect();
        drop(acknowledge);
        sleep(Duration::from_micros(rng.u64(1_000..150_000))).await;
        server.kill();
        for writer in writers {
            writer.await.unwrap();
        }
        while let Some((name, word)) = acknowledged.recv().await {
            promised.entry(name).or_default().push(word);
        }
    }
    let server = Server::start(data.path(), &flags);
    check(server.address, &promised).await;
    let words: usize = promised.values().map(Vec::len).sum();
    println!("{words} acknowledged words survived {rounds} kills");
    assert!(words > 0, "nothing was ever acknowledged: the test has tested nothing");
}

/// Writes words, some of them several at a time and some over a new connection, and reports those that were acknowledged.
async fn write_until_killed(
    server: SocketAddr,
    name: &'static str,
    words: String,
    mut rng: Rng,
    acknowledged: mpsc::UnboundedSender<(&'static str, String)>,
) {
    let mut n = 0;
    let mut doc = yrs::Doc::new();
    while let Ok(mut client) = Client::try_connect(server, name, doc).await {
        for _ in 0..rng.u32(1..20) {
            let batch: Vec<String> = (0..rng.usize(1..4)).map(|i| format!("<{words}.{}>", n + i)).collect();
            n += batch.len();
            for word in &batch {
                if client.write(word).await.is_err() {
                    return;
                }
            }
            let Ok(receipt) = client.ask().await else { return };
            if client.acknowledged(receipt).await.is_err() {
                return;
            }
            for word in batch {
                acknowledged.send((name, word)).unwrap();
            }
        }
        doc = client.into_doc();
    }
}

/// A new client sees every promised word, once.
async fn check(server: SocketAddr, promised: &BTreeMap<&str, Vec<String>>) {
    for (name, words) in promised {
        let mut client = Client::connect(server, name).await;
        client.synced().await;
        let text = client.text();
        for word in words {
            assert_eq!(text.matches(word.as_str()).count(), 1, "{word} in {name}");
        }
        client.leave().await;
    }
}
