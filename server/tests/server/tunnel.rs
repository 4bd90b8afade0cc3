//! TLS on behalf of clients that speak none: they connect to a tunnel, and that to the server.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConfig};

use crate::certificates::{Authority, NAME};
use crate::process::{Server, until};

/// As little as the kernel allows: a large message is many writes, most of which take only a part.
const NARROW_BYTES: u32 = 4 << 10;

/// A way to a server, which ends when it is dropped.
pub(crate) struct Tunnel {
    /// Where clients connect, plainly.
    pub(crate) address: SocketAddr,
    /// How the server has ended connections.
    endings: Arc<Mutex<Vec<io::Result<()>>>>,
    _task: JoinSet<()>,
}

impl Tunnel {
    /// A tunnel whose connections take as much as the kernel likes.
    pub(crate) async fn to(server: &Server, authority: &Authority) -> Tunnel {
        Tunnel::over(server.address, authority.client(ALL_VERSIONS, &["http/1.1"]), None).await
    }

    /// A tunnel whose connections take little at a time.
    pub(crate) async fn narrow(server: &Server, authority: &Authority) -> Tunnel {
        let client = authority.client(ALL_VERSIONS, &["http/1.1"]);
        Tunnel::over(server.address, client, Some(NARROW_BYTES)).await
    }

    async fn over(server: SocketAddr, client: Arc<ClientConfig>, buffer: Option<u32>) -> Tunnel {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endings = Arc::<Mutex<Vec<_>>>::default();
        let (mut task, noted) = (JoinSet::new(), Arc::clone(&endings));
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((plain, _)) = listener.accept().await {
                let (client, noted) = (Arc::clone(&client), Arc::clone(&noted));
                connections.spawn(async move {
                    let ending = carry(plain, server, client, buffer).await;
                    noted.lock().unwrap().push(ending);
                });
            }
        });
        Tunnel { address, endings, _task: task }
    }

    /// Sends raw HTTP and gives the whole answer.
    pub(crate) async fn http(&self, request: &str) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Waits until the server has ended so many connections, each with the words of TLS for that.
    pub(crate) async fn ended_in_order(&self, connections: usize) {
        until("connections end", || self.endings.lock().unwrap().len() >= connections).await;
        assert!(self.endings.lock().unwrap().iter().all(Result::is_ok), "{:?}", self.endings);
    }
}

/// Opens a TLS connection.
pub(crate) async fn connect(
    server: SocketAddr,
    client: Arc<ClientConfig>,
    buffer: Option<u32>,
) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(client).connect(NAME.try_into().unwrap(), stream).await
}

/// Carries bytes both ways until the server ends. An error says that it did so without a word.
async fn carry(
    plain: TcpStream,
    server: SocketAddr,
    client: Arc<ClientConfig>,
    buffer: Option<u32>,
) -> io::Result<()> {
    let (mut from_server, mut to_server) = split(connect(server, client, buffer).await?);
    plain.set_nodelay(true)?;
    let (mut from_client, mut to_client) = plain.into_split();
    let there = async {
        // Where the client goes away, the server is told so.
        let _ = copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    let back = async {
        let ending = copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
        ending.map(drop)
    };
    tokio::join!(there, back).1
}
