//! An editor: a yrs document behind a y-websocket connection.

use std::net::SocketAddr;

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket;
use coscribe_engine::dialect::y_websocket::Message;
use coscribe_engine::lib0::Reader;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, ReadTxn, Text, Transact, Update};

use crate::process::PATIENCE;

/// A connected editor. It reads only while one of its functions waits for something.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<TcpStream>,
    doc: Doc,
    acknowledged: Vec<Vec<u8>>,
    synced: bool,
    awareness: u32,
}

impl Client {
    /// Connects, and asks for the document.
    pub(crate) async fn connect(server: SocketAddr, path: &str) -> Client {
        Client::try_connect(server, path, Doc::new()).await.unwrap()
    }

    /// Connects with a document that may already have content.
    pub(crate) async fn try_connect(
        server: SocketAddr,
        path: &str,
        doc: Doc,
    ) -> Result<Client, tungstenite::Error> {
        let socket = TcpSocket::new_v4()?;
        let stream = socket.connect(server).await?;
        Client::over(stream, path, doc).await
    }

    /// Connects over a TCP connection that the test has made its own way.
    pub(crate) async fn over(stream: TcpStream, path: &str, doc: Doc) -> Result<Client, tungstenite::Error> {
        stream.set_nodelay(true)?;
        let (socket, _) = client_async(format!("ws://test/{path}"), stream).await?;
        let mut client = Client { socket, doc, acknowledged: Vec::new(), synced: false, awareness: 0 };
        let state = client.doc.transact().state_vector().encode_v1();
        client.send(y_websocket::sync_frame(&SyncMessage::Step1(&state))).await?;
        Ok(client)
    }

    /// Sends a binary message.
    pub(crate) async fn send(&mut self, frame: impl Into<Bytes>) -> Result<(), tungstenite::Error> {
        self.socket.send(tungstenite::Message::Binary(frame.into())).await
    }

    /// Appends text and sends the update.
    pub(crate) async fn write(&mut self, text: &str) -> Result<(), tungstenite::Error> {
        let update = self.edit(text);
        self.send(y_websocket::sync_frame(&SyncMessage::Update(&update))).await
    }

    /// Appends text and gives the update, without sending it.
    pub(crate) fn edit(&mut self, text: &str) -> Vec<u8> {
        let content = self.doc.get_or_insert_text("content");
        let mut transaction = self.doc.transact_mut();
        let before = content.len(&transaction);
        content.insert(&mut transaction, before, text);
        transaction.encode_update_v1()
    }

    /// Replaces all text and sends the update.
    pub(crate) async fn replace(&mut self, text: &str) {
        let content = self.doc.get_or_insert_text("content");
        let update = {
            let mut transaction = self.doc.transact_mut();
            let length = content.len(&transaction);
            content.remove_range(&mut transaction, 0, length);
            content.insert(&mut transaction, 0, text);
            transaction.encode_update_v1()
        };
        self.send(y_websocket::sync_frame(&SyncMessage::Update(&update))).await.unwrap();
    }

    /// What this editor shows.
    pub(crate) fn text(&self) -> String {
        let content = self.doc.get_or_insert_text("content");
        content.get_string(&self.doc.transact())
    }

    /// Asks for an acknowledgement of everything sent so far.
    pub(crate) async fn ask(&mut self, token: &[u8]) -> Result<(), tungstenite::Error> {
        self.send(y_websocket::sync_status_frame(token)).await
    }

    /// Waits for an acknowledgement.
    pub(crate) async fn acknowledged(&mut self, token: &[u8]) -> Result<(), tungstenite::Error> {
        while !self.acknowledged.iter().any(|known| known == token) {
            self.read().await?;
        }
        self.acknowledged.retain(|known| known != token);
        Ok(())
    }

    /// Whether an acknowledgement has arrived by the time that the server has answered something else.
    pub(crate) async fn was_acknowledged(&mut self, token: &[u8]) -> bool {
        self.synced = false;
        self.send(y_websocket::sync_frame(&SyncMessage::Step1(&[0]))).await.unwrap();
        self.synced().await;
        self.acknowledged.iter().any(|known| known == token)
    }

    /// Waits for an awareness message.
    pub(crate) async fn keep_alive(&mut self) {
        let before = self.awareness;
        while self.awareness == before {
            self.read().await.unwrap();
        }
    }

    /// Writes, and waits until it is on disk.
    pub(crate) async fn save(&mut self, text: &str) {
        self.write(text).await.unwrap();
        self.ask(b"saved").await.unwrap();
        self.acknowledged(b"saved").await.unwrap();
    }

    /// Waits for the first SyncStep2.
    pub(crate) async fn synced(&mut self) {
        while !self.synced {
            self.read().await.unwrap();
        }
    }

    /// Waits until this editor shows what it should.
    pub(crate) async fn shows(&mut self, shown: impl Fn(&str) -> bool) {
        while !shown(&self.text()) {
            self.read().await.unwrap();
        }
    }

    /// Reads up to the Close frame.
    pub(crate) async fn close_frame(&mut self) -> CloseFrame {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect("no Close frame");
            match message.expect("the stream ended without a Close frame").unwrap() {
                tungstenite::Message::Close(frame) => return frame.expect("a Close frame with a code"),
                _ => continue,
            }
        }
    }

    /// Closes in order, or answers the server's Close.
    pub(crate) async fn leave(mut self) {
        let _ = self.socket.close(None).await;
        while let Some(Ok(_)) = timeout(PATIENCE, self.socket.next()).await.unwrap() {}
    }

    /// The document, for another connection.
    pub(crate) fn into_doc(self) -> Doc {
        self.doc
    }

    /// Waits for one WebSocket message and takes it in as a y-websocket client does.
    async fn read(&mut self) -> Result<(), tungstenite::Error> {
        let message = timeout(PATIENCE, self.socket.next()).await.expect("the server is silent");
        match message.unwrap_or(Err(tungstenite::Error::ConnectionClosed))? {
            tungstenite::Message::Binary(frame) => self.take_in(&frame).await,
            tungstenite::Message::Close(frame) => panic!("closed by the server: {frame:?}"),
            _ => Ok(()),
        }
    }

    async fn take_in(&mut self, frame: &[u8]) -> Result<(), tungstenite::Error> {
        match Message::read(&mut Reader::new(frame)).unwrap() {
            Message::Sync(SyncMessage::Step1(state)) => {
                let state = yrs::StateVector::decode_v1(state).unwrap();
                let update = self.doc.transact().encode_diff_v1(&state);
                self.send(y_websocket::sync_frame(&SyncMessage::Step2(&update))).await
            }
            Message::Sync(SyncMessage::Step2(update)) => {
                self.synced = true;
                self.apply(update);
                Ok(())
            }
            Message::Sync(SyncMessage::Update(update)) => {
                self.apply(update);
                Ok(())
            }
            Message::SyncStatus(token) => {
                self.acknowledged.push(token.to_vec());
                Ok(())
            }
            Message::Awareness(_) => {
                self.awareness += 1;
                Ok(())
            }
            Message::QueryAwareness => Ok(()),
        }
    }

    fn apply(&self, update: &[u8]) {
        self.doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }
}
