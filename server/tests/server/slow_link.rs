//! A peer behind a slow link: a document that would take too long as one message comes in pieces, of which nothing shows
//! before the last.

use std::net::SocketAddr;
use std::time::Duration;

use coscribe_engine::dialect::y_websocket::Replies;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::message::Outbound;
use coscribe_engine::update::Update;
use coscribe_provider::line::Incoming;
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::client::Client;
use crate::process::Server;
use crate::raw::{PONG, Raw};

/// A slow link to a server, as an address: so many bytes a second come through from there.
async fn link(server: SocketAddr, bytes_per_second: usize) -> SocketAddr {
    const READ: u32 = 8 << 10;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(READ).unwrap();
            let (mut from_server, mut to_server) = socket.connect(server).await.unwrap().into_split();
            let (mut from_client, mut to_client) = client.into_split();
            tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut bytes = [0; READ as usize];
                while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                    to_client.write_all(&bytes[..read]).await?;
                    sleep(Duration::from_secs_f64(read as f64 / bytes_per_second as f64)).await;
                }
                to_client.shutdown().await
            });
        }
    });
    address
}

/// The next update, how long its message is, and whether it answers a question.
async fn update(client: &mut Client) -> (Update, usize, bool) {
    loop {
        let Incoming::Frame(frame) = client.next().await else { panic!("the connection has ended") };
        let len = frame.len();
        let message = Replies::of(frame).next().expect("a message").expect("sound");
        let Some(update) = message.update() else { continue };
        let is_answer = matches!(message, Outbound::Step2(_));
        return (Update::scan(update.to_bytes()).expect("sound"), len, is_answer);
    }
}

/// Text that compression would gain nothing from, and that is cut into many blocks.
fn text(bytes: usize) -> String {
    (0..bytes).map(|_| char::from(fastrand::u8(b' '..b'~'))).collect()
}

async fn server_with(text: &str, data: &std::path::Path) -> Server {
    let server = Server::start(data, &[]);
    let mut writer = Client::connect(server.address, "doc").await;
    writer.synced().await;
    writer.save(text).await;
    writer.leave().await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_document_comes_in_pieces_that_show_nothing_before_the_last() {
    let data = tempdir().unwrap();
    let text = text(4 << 20);
    let server = server_with(&text, data.path()).await;
    let rate = 300_000;
    let slow = TcpStream::connect(link(server.address, rate).await).await.unwrap();
    let mut client = Client::over(slow, "doc").await;
    let (mut blocks, mut pieces) = (Blocks::default(), 0);
    loop {
        let (update, len, is_answer) = update(&mut client).await;
        // What takes seconds, and not half a minute.
        assert!(len < 10 * rate, "{len} bytes at {rate} bytes a second");
        blocks.admit(&update, 1);
        pieces += 1;
        assert_eq!(blocks.is_empty(), !is_answer, "piece {pieces}");
        if is_answer {
            break;
        }
    }
    assert!(pieces > 2, "{pieces} pieces");
    let mut other = Client::connect(server.address, "doc").await;
    let whole = update(&mut other).await;
    assert!(whole.2 && whole.1 > text.len(), "as one message where the link is fast");
    let mut expected = Blocks::default();
    expected.admit(&whole.0, 1);
    assert_eq!(blocks.encode_state(), expected.encode_state());
}

/// What somebody else pastes is one block.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_paste_comes_in_pieces_and_what_follows_comes_after_it() {
    let data = tempdir().unwrap();
    let server = server_with("before", data.path()).await;
    let rate = 300_000;
    let slow = TcpStream::connect(link(server.address, rate).await).await.unwrap();
    let mut client = Client::over(slow, "doc").await;
    let mut blocks = Blocks::default();
    let size = |blocks: &Blocks| blocks.state_vector().iter().map(|(_, clock)| clock as usize).sum::<usize>();
    blocks.admit(&update(&mut client).await.0, 1);
    assert_eq!(size(&blocks), "before".len());
    for text in [text(4 << 20), "after".into()] {
        let mut writer = Client::connect(server.address, "doc").await;
        writer.synced().await;
        writer.save(&text).await;
    }
    let mut pieces = 0;
    while pieces == 0 || size(&blocks) == "before".len() {
        let (update, len, _) = update(&mut client).await;
        assert!(len < 10 * rate, "{len} bytes at {rate} bytes a second");
        blocks.admit(&update, 1);
        pieces += 1;
    }
    assert!(pieces > 2, "{pieces} pieces");
    while size(&blocks) < "before".len() + (4 << 20) + "after".len() {
        blocks.admit(&update(&mut client).await.0, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_the_link_is_measured_follows_of_itself() {
    let data = tempdir().unwrap();
    // Nothing else that would make the server look after the connection.
    let server = Server::start(data.path(), &["--keep-alive", "10m", "--ping-interval", "10m"]);
    let mut slow = Raw::connect(&server, "doc", "").await;
    let mut writer = Client::connect(server.address, "doc").await;
    let mut reader = Client::connect(server.address, "doc").await;
    reader.synced().await;
    writer.save(&text(600 << 10)).await;
    let probe = slow.unanswered_ping().await;
    writer.save("and the rest").await;
    reader.shows(|text| text.ends_with("and the rest")).await;
    slow.send(PONG, &probe).await;
    let is_rest = |message: &[u8]| message.windows(12).any(|part| part == b"and the rest");
    while !is_rest(&slow.message().await.1) {}
}
