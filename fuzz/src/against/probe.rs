//! Whether a server acknowledges, asked once at the start.

use std::future::poll_fn;

use anyhow::{Context, bail};
use bytes::Bytes;
use coscribe_engine::dialect::hocuspocus::{self, Answer, Reply, Request};
use coscribe_engine::dialect::y_websocket::{self, Replies};
use coscribe_engine::message::{Inbound, Outbound};
use coscribe_provider::line::Incoming;
use tokio::time::{Instant, timeout_at};

use super::line::Line;
use super::target::Target;
use crate::checked_provider::Speech;
use crate::limits;

const TOKEN: &[u8] = b"coscribe-fuzz";

/// Whether the server gives SyncStatus messages back, as coscribe and y-sweet do, or sends them for updates, as those of
/// Hocuspocus do. Such a server must not lose what it gave one for.
///
/// # Errors
/// If it cannot be reached, or does not speak the dialect.
pub(super) async fn acknowledges(target: &Target, document: &str) -> anyhow::Result<bool> {
    let url = target.url(document);
    let speech = target.speech(document, true);
    let mut line = Line::new(target.open(document).await?);
    questions(&speech).into_iter().for_each(|frame| line.send(frame));
    let (mut deadline, mut answered) = (Instant::now() + limits::FIRST_ANSWER, false);
    loop {
        match timeout_at(deadline, poll_fn(|cx| line.poll(cx))).await {
            Ok(Incoming::Frame(frame)) => match read(&speech, &frame)? {
                Some(Told::State) if !answered => {
                    (deadline, answered) = (Instant::now() + limits::ACKNOWLEDGEMENT, true);
                }
                Some(Told::Acknowledgement) => return Ok(true),
                Some(Told::State) | None => {}
            },
            // It may have been closed for the message that it does not know.
            Ok(Incoming::Ended(_)) if answered => return Ok(false),
            Ok(Incoming::Ended(how)) => bail!("{url}: the server closes the connection, {how}"),
            Err(_) if answered => return Ok(false),
            Err(_) => bail!(
                "{url}: no answer to SyncStep1 for {} s: is it the right dialect?",
                limits::FIRST_ANSWER.as_secs()
            ),
        }
    }
}

/// The frames of a client that has nothing, lacks everything, and wants to hear that nothing is stored.
fn questions(speech: &Speech) -> Vec<Bytes> {
    let (nobody, nothing) = (Bytes::from_static(&[0]), Bytes::from_static(&[0, 0]));
    match speech {
        Speech::YWebsocket { .. } => {
            // A client of y-sweet gets no receipt before it has said what it has.
            let confirm = Inbound::Confirm(Bytes::from_static(TOKEN));
            let questions = [Inbound::Step1(nobody), Inbound::Step2(nothing), confirm];
            questions.iter().filter_map(y_websocket::encode_inbound).collect()
        }
        Speech::Hocuspocus { address, token } => {
            let auth = Request::Auth { token: token.clone(), tells_version: true };
            let question = Request::Say(Some(Inbound::Offer), Inbound::Step1(nobody));
            let update = Request::Say(None, Inbound::Update(nothing));
            let requests = [auth, question, update];
            requests.iter().filter_map(|request| hocuspocus::encode_request(address, request)).collect()
        }
    }
}

/// Something that the server has told.
enum Told {
    State,
    Acknowledgement,
}

/// The first message of a frame that tells something.
fn read(speech: &Speech, frame: &Bytes) -> anyhow::Result<Option<Told>> {
    let foreign = "the server does not speak the dialect";
    let messages = match speech {
        Speech::YWebsocket { .. } => Replies::of(frame.clone()).collect::<Result<_, _>>().context(foreign)?,
        Speech::Hocuspocus { .. } => match Reply::read(frame).context(foreign)? {
            Some(Reply::Addressed { answer: Answer::Say(message), .. }) => vec![message],
            Some(Reply::Addressed { answer: Answer::Denied(reason), .. }) => {
                vec![Outbound::Denied(reason.into())]
            }
            _ => Vec::new(),
        },
    };
    for message in messages {
        match message {
            Outbound::Step2(_) => return Ok(Some(Told::State)),
            Outbound::Confirmed(token) if token == TOKEN => return Ok(Some(Told::Acknowledgement)),
            Outbound::Saved(true) => return Ok(Some(Told::Acknowledgement)),
            Outbound::Denied(reason) => bail!("the server denies access: {reason}"),
            _ => {}
        }
    }
    Ok(None)
}
