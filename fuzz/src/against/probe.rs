//! Whether a server acknowledges, asked once at the start.

use std::future::poll_fn;

use anyhow::{Context, bail};
use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{self, Message};
use coscribe_engine::lib0::Reader;
use tokio::time::{Instant, timeout_at};

use super::line::{Incoming, Line};
use super::run::is_for_yjs;
use super::stop::Stop;
use super::target::Target;
use crate::limits;

const TOKEN: &[u8] = b"coscribe-fuzz";

/// Whether the server gives SyncStatus messages back, as coscribe and y-sweet do. Such a server must not lose
/// what it gave one back for.
///
/// # Errors
/// If it cannot be reached, or does not speak y-websocket.
pub(super) async fn acknowledges(target: &Target, document: &str) -> anyhow::Result<bool> {
    let url = target.url(document);
    let mut line = Line::new(target.open(document).await?);
    line.send(y_websocket::sync_frame(&SyncMessage::Step1(&[0])));
    line.send(y_websocket::sync_status_frame(TOKEN));
    let (mut deadline, mut answered) = (Instant::now() + limits::FIRST_ANSWER, false);
    loop {
        match timeout_at(deadline, poll_fn(|cx| line.poll(cx))).await {
            Ok(Incoming::Frame(frame)) => match read(&frame)? {
                Answer::State if !answered => {
                    (deadline, answered) = (Instant::now() + limits::ACKNOWLEDGEMENT, true);
                }
                Answer::Acknowledgement => return Ok(true),
                Answer::State | Answer::Other => {}
            },
            // It may have been closed for the message that it does not know.
            Ok(Incoming::Closed(_)) if answered => return Ok(false),
            Ok(Incoming::Closed(how)) => bail!("{url}: the server closes the connection, {how}"),
            Err(_) if answered => return Ok(false),
            Err(_) => bail!(
                "{url}: no answer to SyncStep1 for {} s: is it y-websocket?",
                limits::FIRST_ANSWER.as_secs()
            ),
        }
    }
}

enum Answer {
    State,
    Acknowledgement,
    Other,
}

fn read(frame: &Bytes) -> anyhow::Result<Answer> {
    match is_for_yjs(frame) {
        Ok(true) => {}
        Ok(false) => return Ok(Answer::Other),
        Err(Stop::Impossible(error)) => return Err(error),
        Err(Stop::Broken(_, detail)) => bail!(detail),
    }
    let message = Message::read(&mut Reader::new(frame)).context("the server does not speak y-websocket")?;
    Ok(match message {
        Message::Sync(SyncMessage::Step2(_)) => Answer::State,
        Message::SyncStatus(payload) if payload == TOKEN => Answer::Acknowledgement,
        _ => Answer::Other,
    })
}
