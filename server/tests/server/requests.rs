//! Connections that are not WebSockets: none of them holds its place for ever, and many of them keep nobody out.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::certificates::Authority;
use crate::client::Client;
use crate::process::{PATIENCE, Server, until};

/// Requests of a connection that reads none of the answers: more than the kernel and the server keep for it.
const PIPELINED: usize = 2_000;

/// Connections of the attack, where this process may have as many.
const CROWD: usize = 4_200;

/// A connection from another address of this machine, with a small buffer for what it does not read.
async fn connect_from(from: [u8; 4], server: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4 << 10)?;
    socket.bind((from, 0).into())?;
    socket.connect(server).await
}

/// Writes as many requests as the kernel takes, and reads nothing.
fn pipeline(stream: &TcpStream) {
    let requests = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(PIPELINED);
    let mut left = requests.as_bytes();
    while !left.is_empty() {
        match stream.try_write(left) {
            Ok(written) => left = &left[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // The server has closed it.
            Err(_) => break,
        }
    }
}

/// As many connections as this process may have beside all else, up to so many.
fn crowd() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let most = limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap());
    CROWD.min(most.saturating_sub(most / 4).saturating_sub(200))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_pipelines_and_does_not_read_keeps_nobody_out() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let before = server.descriptors();
    let mut crowd_of = Vec::new();
    for _ in 0..crowd() {
        // Where places are short, who was there before may lose its own.
        if let Ok(stream) = connect_from([127, 0, 0, 2], server.address).await {
            stream.writable().await.unwrap();
            pipeline(&stream);
            crowd_of.push(stream);
        }
    }
    let mut person = Client::connect(server.address, "doc").await;
    for stream in &crowd_of {
        pipeline(stream);
    }
    person.save("in spite of all").await;
    assert!(server.get("/healthz").await.contains("alive"));
    Client::connect(server.address, "doc").await.shows(|text| text == "in spite of all").await;
    drop(crowd_of);
    until("the crowd is gone", || server.descriptors() <= before + 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_share_of_the_places_and_no_more() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--trusted-proxies", "none", "--header-timeout", "10m"]);
    let before = server.descriptors();
    let mut idle = Vec::new();
    for _ in 0..600.min(crowd()) {
        idle.push(connect_from([127, 0, 0, 2], server.address).await.unwrap());
    }
    assert!(server.get("/healthz").await.contains("alive"));
    server.logs("too many connections that are not WebSockets").await;
    until("there are no more than the share", || server.descriptors() <= before + 512 + 2).await;
    assert!(server.metric("coscribe_rejected_total{reason=\"requests\"}").await >= 1.0);
}

#[tokio::test]
async fn who_does_not_take_an_answer_is_let_go() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--stall-timeout", "1s"]);
    let before = server.descriptors();
    let mut crowd_of = Vec::new();
    for _ in 0..20 {
        let stream = connect_from([127, 0, 0, 2], server.address).await.unwrap();
        stream.writable().await.unwrap();
        pipeline(&stream);
        crowd_of.push(stream);
    }
    until("all of them are closed", || {
        crowd_of.iter().for_each(pipeline);
        server.log().contains("the answer is not read") && server.descriptors() <= before
    })
    .await;
}

#[tokio::test]
async fn who_takes_its_answers_slowly_gets_all_of_them() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--stall-timeout", "2s"]);
    let mut stream = connect_from([127, 0, 0, 2], server.address).await.unwrap();
    let requests = 2_000;
    let asked = "GET /elsewhere HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(requests - 1)
        + "GET /elsewhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (mut read, mut write) = stream.split();
    let slowly = async {
        let (mut answers, mut piece) = (Vec::new(), vec![0; 8 << 10]);
        loop {
            match timeout(PATIENCE, read.read(&mut piece)).await.unwrap().unwrap() {
                0 => return answers,
                length => answers.extend_from_slice(&piece[..length]),
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let (answers, asked) = tokio::join!(slowly, write.write_all(asked.as_bytes()));
    asked.unwrap();
    assert_eq!(String::from_utf8(answers).unwrap().matches("HTTP/1.1 404 ").count(), requests);
}

/// Sends a beginning, then the same piece again and again, until the server closes the connection. Gives the answer.
async fn drip(server: &Server, beginning: &str, piece: &str) -> String {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    write.write_all(beginning.as_bytes()).await.unwrap();
    let piece = piece.to_owned();
    let dripping = tokio::spawn(async move {
        while write.write_all(piece.as_bytes()).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    // It may be reset, since not all was read.
    let _ = timeout(PATIENCE, read.read_to_end(&mut answer)).await.expect("it is kept for ever");
    dripping.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn requests_that_never_end_are_given_up() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--header-timeout", "500ms", "--stall-timeout", "500ms"]);
    let post =
        |path: &str, length: &str| format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n");
    let recheck = "/api/v1/access/recheck";
    for (what, beginning, piece, answer) in [
        ("nothing is sent", String::new(), "", ""),
        ("idle after a request", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), "", "alive"),
        ("a header", "GET / HTTP/1.1\r\n".to_owned(), "X-A: b\r\n", ""),
        ("a path", "GET /".to_owned(), "a", ""),
        ("a body that does not come", post(recheck, "Content-Length: 10"), "", "408 "),
        ("a body that comes slowly", post(recheck, "Content-Length: 60000"), " ", "408 "),
        ("chunks without end", post(recheck, "Transfer-Encoding: chunked"), "1\r\n \r\n", "408 "),
        ("trailers without end", post(recheck, "Transfer-Encoding: chunked") + "0\r\n", "X-A: b\r\n", "408 "),
        ("a body that nobody wants", post("/healthz", "Content-Length: 60000"), " ", "405 "),
        ("chunks that nobody wants", post("/elsewhere", "Transfer-Encoding: chunked"), "1\r\n \r\n", "404 "),
    ] {
        let answered = drip(&server, &beginning, piece).await;
        assert!(answered.contains(answer), "{what}: {answered}");
    }
    let large = format!("GET / HTTP/1.1\r\nX-A: {}\r\n\r\n", "a".repeat(200 << 10));
    let answered = drip(&server, &large, "").await;
    assert!(answered.starts_with("HTTP/1.1 431 "), "{answered}");
}

#[tokio::test]
async fn handshakes_of_tls_that_never_end_are_given_up() {
    let (data, authority) = (tempdir().unwrap(), Authority::new());
    let [certificate, key] = authority.flags();
    let flags = [certificate.as_str(), &key, "--header-timeout", "500ms", "--stall-timeout", "500ms"];
    let server = Server::start(data.path(), &flags);
    for (beginning, piece) in
        [("", ""), ("\u{16}\u{3}\u{1}\u{2}", ""), ("\u{16}\u{3}\u{1}\u{2}\0", "\0"), ("GET /", "a")]
    {
        drip(&server, beginning, piece).await;
    }
}
