//! Whether a server acknowledges, asked once at the start.

use std::future::poll_fn;

use anyhow::{Context, bail};
use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{Replies, encode_inbound};
use coscribe_engine::message::{Inbound, Outbound};
use coscribe_provider::line::Incoming;
use tokio::time::{Instant, timeout_at};

use super::line::Line;
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
    let questions = [Inbound::Step1(Bytes::from_static(&[0])), Inbound::Confirm(Bytes::from_static(TOKEN))];
    questions.iter().filter_map(encode_inbound).for_each(|frame| line.send(frame));
    let (mut deadline, mut answered) = (Instant::now() + limits::FIRST_ANSWER, false);
    loop {
        match timeout_at(deadline, poll_fn(|cx| line.poll(cx))).await {
            Ok(Incoming::Frame(frame)) => match read(frame)? {
                Answer::State if !answered => {
                    (deadline, answered) = (Instant::now() + limits::ACKNOWLEDGEMENT, true);
                }
                Answer::Acknowledgement => return Ok(true),
                Answer::State | Answer::Other => {}
            },
            // It may have been closed for the message that it does not know.
            Ok(Incoming::Ended(_)) if answered => return Ok(false),
            Ok(Incoming::Ended(how)) => bail!("{url}: the server closes the connection, {how}"),
            Err(_) if answered => return Ok(false),
            Err(_) => bail!(
                "{url}: no answer to SyncStep1 for {} s: is it y-websocket?",
                limits::FIRST_ANSWER.as_secs()
            ),
        }
    }
}

/// The first message of a frame that says something.
enum Answer {
    State,
    Acknowledgement,
    Other,
}

fn read(frame: Bytes) -> anyhow::Result<Answer> {
    for message in Replies::of(frame) {
        match message.context("the server does not speak y-websocket")? {
            Outbound::Step2(_) => return Ok(Answer::State),
            Outbound::Confirmed(token) if token == TOKEN => return Ok(Answer::Acknowledgement),
            Outbound::Denied(reason) => bail!("the server denies access: {reason}"),
            _ => {}
        }
    }
    Ok(Answer::Other)
}
