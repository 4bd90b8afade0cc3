//! Connections never take the descriptors that files need.

use std::process::Command;

use tempfile::tempdir;
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep};
use yrs::Doc;

use crate::client::Client;
use crate::process::{Server, coscribe};

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_saved_and_checkpointed_while_others_use_up_all_connections() {
    let data = tempdir().unwrap();
    let server = Server::spawn(with_open_files(128, data.path()));
    server.logs("the system allows 128 open files").await;
    let mut person = Client::connect(server.address, "doc").await;
    person.save("before ").await;
    let mut others = Vec::new();
    for _ in 0..300 {
        others.push(TcpStream::connect(server.address).await.unwrap());
    }
    let checkpoints = server.log().matches("checkpointed").count();
    let after = "after".repeat(1000);
    person.save(&after).await;
    server.logs_times("checkpointed", checkpoints + 1).await;
    assert!(!server.log().contains("not checkpointed") && !server.log().contains("cannot accept"));
    drop(others);
    // The server may not have seen yet that they are gone.
    let mut last = loop {
        if let Ok(client) = Client::try_connect(server.address, "doc", Doc::new()).await {
            break client;
        }
        sleep(Duration::from_millis(10)).await;
    };
    last.shows(|text| text.ends_with(&after)).await;
}

/// A server that may have so many files open, and makes a checkpoint for each edit.
fn with_open_files(limit: u32, data: &std::path::Path) -> Command {
    let serve = coscribe();
    let mut limited = Command::new("sh");
    limited
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("COSCRIBE_")));
    limited.env("COSCRIBE_LOG", "debug");
    limited.args(["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh", &limit.to_string()]);
    limited.arg(serve.get_program());
    limited.args(["serve", "--listen", "127.0.0.1:0", "--checkpoint-bytes", "1", "--data"]).arg(data);
    limited
}
