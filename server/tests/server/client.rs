//! An editor: a yrs document behind a y-websocket provider.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{Replies, Request, encode_request};
use coscribe_engine::message::Outbound;
use coscribe_provider::Effect;
use coscribe_provider::awareness::ClientAwareness;
use coscribe_provider::line::{Address, End, Incoming, Line, OpenError};
use coscribe_provider::receipts::Receipt;
use coscribe_provider::y_websocket::Provider;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, ReadTxn, Text, Transact, Update};

use crate::process::PATIENCE;

/// No test is about awareness that is renewed, or expires.
const NOW: Duration = Duration::ZERO;

/// A connected editor, whom nobody sees. It reads only while one of its functions waits for something.
pub(crate) struct Client {
    pub(crate) line: Line,
    provider: Provider,
    doc: Doc,
    /// The last receipt that has come.
    durable: Option<Receipt>,
    /// SyncStep2 messages that have come.
    answers: u32,
    /// Awareness messages that have come.
    awareness: u32,
}

impl Client {
    /// Connects, and asks for the document.
    pub(crate) async fn connect(server: SocketAddr, path: &str) -> Client {
        Client::try_connect(server, path, Doc::new()).await.unwrap()
    }

    /// Connects with a document that may already have content.
    pub(crate) async fn try_connect(server: SocketAddr, path: &str, doc: Doc) -> Result<Client, OpenError> {
        let line = Line::open(&address(server, path)).await?;
        Ok(Client::on(line, doc).await)
    }

    /// Connects over a TCP connection that the test has made its own way.
    pub(crate) async fn over(stream: TcpStream, path: &str) -> Client {
        let server = stream.peer_addr().unwrap();
        let line = Line::over(stream, &address(server, path)).await.unwrap();
        Client::on(line, Doc::new()).await
    }

    async fn on(line: Line, doc: Doc) -> Client {
        let provider = Provider::new(ClientAwareness::unseen(doc.client_id().get()));
        let mut client = Client { line, provider, doc, durable: None, answers: 0, awareness: 0 };
        let state_vector = client.doc.transact().state_vector().encode_v1();
        client.provider.opened(state_vector.into(), NOW);
        // Where the connection has ended already, the test finds it out when it reads.
        let _ = client.carry_out().await;
        client
    }

    /// Sends a binary message.
    pub(crate) async fn send(&mut self, frame: impl Into<Bytes>) -> Result<(), End> {
        self.line.send(frame.into()).await
    }

    /// Appends text and sends the update.
    pub(crate) async fn write(&mut self, text: &str) -> Result<(), End> {
        let update = self.edit(text);
        self.provider.write(update.into());
        self.carry_out().await
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
        self.provider.write(update.into());
        self.carry_out().await.unwrap();
    }

    /// What this editor shows.
    pub(crate) fn text(&self) -> String {
        let content = self.doc.get_or_insert_text("content");
        content.get_string(&self.doc.transact())
    }

    /// Asks for a receipt of everything sent so far.
    pub(crate) async fn ask(&mut self) -> Result<Receipt, End> {
        let receipt = self.provider.confirm().expect("connected");
        self.carry_out().await?;
        Ok(receipt)
    }

    /// Waits for a receipt.
    pub(crate) async fn acknowledged(&mut self, receipt: Receipt) -> Result<(), End> {
        while self.durable < Some(receipt) {
            self.read().await?;
        }
        Ok(())
    }

    /// Whether a receipt has arrived by the time that the server has answered something else.
    pub(crate) async fn was_acknowledged(&mut self, receipt: Receipt) -> bool {
        let before = self.answers;
        self.provider.ask(Bytes::from_static(&[0]), NOW);
        self.carry_out().await.unwrap();
        while self.answers == before {
            self.read().await.unwrap();
        }
        self.durable >= Some(receipt)
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
        let receipt = self.ask().await.unwrap();
        self.acknowledged(receipt).await.unwrap();
    }

    /// Waits for the first SyncStep2.
    pub(crate) async fn synced(&mut self) {
        while !self.provider.is_synced() {
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
            match self.next().await {
                Incoming::Frame(_) => {}
                Incoming::Ended(End::Closed(frame)) => return frame.expect("a Close frame with a code"),
                Incoming::Ended(end) => panic!("the connection ended {end}"),
            }
        }
    }

    /// Closes in order, or answers the server's Close.
    pub(crate) async fn leave(mut self) {
        self.line.close().await;
        while let Incoming::Frame(_) | Incoming::Ended(End::Closed(_)) = self.next().await {}
    }

    /// The document, for another connection.
    pub(crate) fn into_doc(self) -> Doc {
        self.doc
    }

    /// Waits for what comes next.
    pub(crate) async fn next(&mut self) -> Incoming {
        timeout(PATIENCE, self.line.next()).await.expect("the server is silent")
    }

    /// Reads for a while.
    pub(crate) async fn reads_what_there_is(&mut self, within: Duration) {
        let until = Instant::now() + within;
        while let Ok(next) = timeout_at(until, self.line.next()).await {
            match next {
                Incoming::Frame(frame) => self.take_in(frame).await.unwrap(),
                Incoming::Ended(end) => panic!("the connection ended {end}"),
            }
        }
    }

    /// Waits for one frame and takes it in as a provider does.
    async fn read(&mut self) -> Result<(), End> {
        match self.next().await {
            Incoming::Frame(frame) => self.take_in(frame).await,
            Incoming::Ended(End::Closed(frame)) => panic!("closed by the server: {frame:?}"),
            Incoming::Ended(end) => Err(end),
        }
    }

    async fn take_in(&mut self, frame: Bytes) -> Result<(), End> {
        for message in Replies::of(frame) {
            let message = message.unwrap();
            self.answers += u32::from(matches!(message, Outbound::Step2(_)));
            self.awareness += u32::from(matches!(message, Outbound::Awareness(_)));
            self.provider.receive(message, NOW).unwrap();
            self.carry_out().await?;
        }
        Ok(())
    }

    async fn carry_out(&mut self) -> Result<(), End> {
        while let Some(effect) = self.provider.poll_effect() {
            match effect {
                Effect::Send(request) => self.request(&request).await?,
                Effect::Apply(update) => self.apply(&update),
                Effect::Answer(known) => self.provider.answer(self.lacking(&known)),
                Effect::Durable(receipt) => self.durable = Some(receipt),
                Effect::Denied(reason) => panic!("denied by the server: {reason}"),
                Effect::Synced | Effect::Resync | Effect::Granted(_) => {}
            }
        }
        Ok(())
    }

    async fn request(&mut self, request: &Request) -> Result<(), End> {
        self.send(encode_request(request).expect("no provider sends offers")).await
    }

    fn lacking(&self, known: &[u8]) -> Bytes {
        let known = yrs::StateVector::decode_v1(known).unwrap();
        self.doc.transact().encode_diff_v1(&known).into()
    }

    fn apply(&self, update: &[u8]) {
        self.doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }
}

fn address(server: SocketAddr, path: &str) -> Address {
    format!("ws://{server}/{path}").parse().unwrap()
}
