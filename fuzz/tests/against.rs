//! Runs against real servers over real sockets: coscribe, and one in this file that can be broken.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{self, GREETING, Messages};
use coscribe_engine::message::Inbound;
use coscribe_engine::room::{Effect, PeerId, Room, RoomLimits, Terms};
use coscribe_engine::work::finish;
use futures_util::{Sink, Stream};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// Every seventh update gets lost.
    Drops,
    /// Documents are gone when everybody has left, though everything was acknowledged.
    Forgets,
    /// It closes a connection now and then.
    Closes,
}

/// `coscribe-fuzz against`: its exit code and what it says.
fn against(address: SocketAddr, flags: &[&str]) -> (i32, String) {
    against_url(&format!("ws://{address}"), flags)
}

fn against_url(url: &str, flags: &[&str]) -> (i32, String) {
    // Findings are written into the current directory.
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coscribe-fuzz"));
    command.args(["against", url, "--quiet", "--yjs", "0"]);
    let output = command.args(flags).current_dir(folder.path()).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn nothing_is_found_in_a_server_that_is_sound() {
    let (code, told) = against(serve(Bug::None), &["--seed", "1", "--runs", "30", "--forbid-gaps"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("30 runs") && told.contains("no failure"), "{told}");
}

#[test]
fn a_server_that_drops_updates_is_found() {
    let (code, told) = against(serve(Bug::Drops), &["--seed", "1", "--runs", "30", "--settle", "500ms"]);
    assert_eq!(code, 1, "{told}");
    // What shows first depends on which updates were dropped, and on how busy the machine is: each of these is true.
    let true_findings =
        ["lacks what replica", "lacks what it had acknowledged", "does not know that something"];
    assert!(true_findings.iter().any(|finding| told.contains(finding)), "{told}");
    assert!(told.contains("--replay"), "{told}");
}

#[test]
fn a_server_that_forgets_what_it_acknowledged_is_found_unless_it_may() {
    let address = serve(Bug::Forgets);
    let (code, told) = against(address, &["--seed", "1", "--runs", "30"]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("the server lacks what it had acknowledged"), "{told}");
    let (code, told) = against(address, &["--seed", "1", "--runs", "30", "--may-forget"]);
    assert_eq!(code, 0, "{told}");
}

#[test]
fn a_server_that_closes_connections_is_found() {
    let (code, told) = against(serve(Bug::Closes), &["--seed", "1", "--runs", "30"]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("unasked"), "{told}");
}

#[test]
fn a_finding_is_written_where_it_can_be_tried_again() {
    let address = serve(Bug::Drops);
    let folder = tempfile::tempdir().unwrap();
    let (failures, junit) = (folder.path().join("failures"), folder.path().join("junit.xml"));
    let flags = [
        "--seed",
        "1",
        "--runs",
        "30",
        "--settle",
        "500ms",
        "--failures",
        failures.to_str().unwrap(),
        "--junit",
    ];
    let (code, told) = against(address, &[&flags[..], &[junit.to_str().unwrap()]].concat());
    assert_eq!(code, 1, "{told}");
    assert!(std::fs::read_to_string(junit).unwrap().contains("<failure"));
    let file = std::fs::read_dir(failures).unwrap().next().unwrap().unwrap().path();
    let replay = ["--settle", "500ms", "--runs", "10", "--replay", file.to_str().unwrap()];
    let (code, told) = against(address, &replay);
    assert_eq!(code, 1, "{told}");
}

#[test]
fn ctrl_c_ends_the_search_with_what_it_came_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coscribe-fuzz"));
    command.args(["against", &format!("ws://{}", serve(Bug::None)), "--quiet", "--yjs", "0"]);
    let mut search = command.current_dir(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(search.stdout.take().unwrap());
    // It says what it is going to do when it listens to Ctrl-C.
    told.read_line(&mut String::new()).unwrap();
    Command::new("kill").args(["-INT", &search.id().to_string()]).status().unwrap();
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    assert_eq!(search.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.contains("no failure") && rest.contains(", compared "), "{rest}");
}

#[test]
fn nobody_at_the_address_is_said_so() {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let (code, told) = against(address, &["--runs", "1"]);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("cannot connect"), "{told}");
}

#[test]
fn coscribe_keeps_what_it_acknowledged_also_when_it_is_killed() {
    let Some(coscribe) = std::env::var_os("COSCRIBE_BIN") else {
        return eprintln!("skipped: COSCRIBE_BIN does not name the server's binary");
    };
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let script = folder.path().join("restart");
    std::fs::write(&script, restart_script(Path::new(&coscribe), folder.path(), address)).unwrap();
    let restart = format!("sh '{}'", script.display());
    let server = Killed(folder.path().join("pid"));
    assert!(Command::new("sh").arg(&script).status().unwrap().success());
    for scheme in ["ws", "hocuspocus", "y-sweet"] {
        let flags = ["--seed", "1", "--runs", "20", "--forbid-gaps", "--restart-cmd", &restart];
        let (code, told) = against_url(&format!("{scheme}://{address}"), &flags);
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(code, 0, "{told}\n{log}");
        assert!(told.contains("20 runs") && !told.contains(" 0 restarts"), "{told}");
        assert!(told.contains("acknowledges by SyncStatus"), "{told}");
    }
    drop(server);
}

/// One whose port the system gives to nobody while the server is down.
fn free_address() -> SocketAddr {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let port = std::iter::repeat_with(|| fastrand::u16(10_000..30_000)).find(free).unwrap();
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Kills the server, and starts it until it listens: the one before may not have let go of its port.
fn restart_script(coscribe: &Path, folder: &Path, address: SocketAddr) -> String {
    let (coscribe, folder) = (coscribe.display(), folder.display());
    format!(
        "cd '{folder}'\n\
         [ -e pid ] && kill -9 $(cat pid)\n\
         while :; do\n\
           '{coscribe}' serve --log warn --listen {address} --data data >log 2>&1 </dev/null &\n\
           echo $! >pid\n\
           while kill -0 $(cat pid) 2>/dev/null; do\n\
             grep -q listening log && exit\n\
             sleep 0.01\n\
           done\n\
         done\n"
    )
}

/// A server that is ended when this is dropped, by the id in this file.
struct Killed(std::path::PathBuf);

impl Drop for Killed {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(&self.0) {
            let _ = Command::new("kill").args(["-9", pid.trim()]).status();
        }
    }
}

/// Starts a server with a bug in a thread, for as long as the test runs.
fn serve(bug: Bug) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let server =
                Rc::new(RefCell::new(Server { bug, documents: BTreeMap::new(), peers: 0, received: 0 }));
            while let Ok((stream, _)) = listener.accept().await {
                spawn_local(connection(stream, Rc::clone(&server)));
            }
        });
    });
    address
}

struct Server {
    bug: Bug,
    documents: BTreeMap<String, Document>,
    peers: u64,
    received: u64,
}

struct Document {
    room: Room,
    outboxes: BTreeMap<PeerId, UnboundedSender<Bytes>>,
}

impl Server {
    fn join(&mut self, name: &str) -> (PeerId, UnboundedReceiver<Bytes>) {
        self.peers += 1;
        let (peer, (sender, outbox)) = (PeerId(self.peers), unbounded_channel());
        let new = || Document { room: Room::new(RoomLimits::default()), outboxes: BTreeMap::new() };
        let document = self.documents.entry(name.to_owned()).or_insert_with(new);
        document.outboxes.insert(peer, sender);
        document.room.connect(peer, Terms::default(), Duration::ZERO);
        for wish in &GREETING {
            finish(document.room.receive(peer, wish.clone(), Duration::ZERO));
        }
        document.carry_out();
        (peer, outbox)
    }

    fn leave(&mut self, name: &str, peer: PeerId) {
        let Some(document) = self.documents.get_mut(name) else { return };
        finish(document.room.disconnect(peer));
        document.outboxes.remove(&peer);
        document.carry_out();
        if document.outboxes.is_empty() && self.bug == Bug::Forgets {
            self.documents.remove(name);
        }
    }

    /// Gives whether the connection goes on.
    fn receive(&mut self, name: &str, peer: PeerId, frame: &Bytes) -> bool {
        let Some(document) = self.documents.get_mut(name) else { return false };
        for message in Messages::of(frame.clone()) {
            let Ok(y_websocket::Request::Say(message)) = message else { return false };
            if matches!(message, Inbound::Update(_) | Inbound::Step2(_)) {
                self.received += 1;
                match self.bug {
                    Bug::Drops if self.received.is_multiple_of(7) => continue,
                    Bug::Closes if self.received.is_multiple_of(100) => return false,
                    _ => {}
                }
            }
            finish(document.room.receive(peer, message, Duration::ZERO));
        }
        document.carry_out();
        true
    }
}

impl Document {
    /// Everything is sent at once, and taken for durable at once.
    fn carry_out(&mut self) {
        finish(self.room.tick(Duration::ZERO));
        while let Some(effect) = self.room.poll_effect() {
            let (message, to) = match effect {
                Effect::Send { peer, message, .. } => (message, vec![peer]),
                Effect::Broadcast { message, to } => (message, to),
                Effect::Append { sequence, .. } => {
                    self.room.durable(sequence);
                    finish(self.room.tick(Duration::ZERO));
                    continue;
                }
                Effect::Probe { .. } | Effect::Warn { .. } => continue,
                Effect::Part { peer, .. } => {
                    self.outboxes.remove(&peer);
                    continue;
                }
            };
            for outbox in to.iter().filter_map(|peer| self.outboxes.get(peer)) {
                // Who has gone does not need it.
                let _ = outbox.send(y_websocket::encode(&message).expect("the dialect has it").to_bytes());
            }
            finish(self.room.tick(Duration::ZERO));
        }
    }
}

#[expect(clippy::result_large_err, reason = "the callback is tungstenite's")]
async fn connection(stream: TcpStream, server: Rc<RefCell<Server>>) {
    let mut name = String::new();
    let path = |request: &Request, response: Response| {
        name = request.uri().path().to_owned();
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, path).await else { return };
    let (peer, mut outbox) = server.borrow_mut().join(&name);
    loop {
        tokio::select! {
            message = next(&mut socket) => match message {
                Some(Message::Binary(frame)) => {
                    if !server.borrow_mut().receive(&name, peer, &frame) {
                        break;
                    }
                }
                Some(_) => {}
                None => break,
            },
            frame = outbox.recv() => match frame {
                Some(frame) => if send(&mut socket, frame).await.is_none() { break },
                None => break,
            },
        }
    }
    server.borrow_mut().leave(&name, peer);
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Option<Message> {
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *socket).poll_next(cx)).await?.ok()
}

async fn send(socket: &mut WebSocketStream<TcpStream>, frame: Bytes) -> Option<()> {
    use std::future::poll_fn;
    use std::pin::Pin;
    poll_fn(|cx| Pin::new(&mut *socket).poll_ready(cx)).await.ok()?;
    Pin::new(&mut *socket).start_send(Message::Binary(frame)).ok()?;
    poll_fn(|cx| Pin::new(&mut *socket).poll_flush(cx)).await.ok()
}
