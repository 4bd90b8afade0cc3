//! The names of frames in the drawing of a run.

use bytes::Bytes;
use coscribe_engine::dialect::hocuspocus::{Answer, Frame, Reply, Request};
use coscribe_engine::dialect::y_websocket::{self, Messages, Replies};
use coscribe_engine::message::{Inbound, Outbound};

use crate::scenario::Dialect;

const UNREADABLE: &str = "unreadable";

/// A frame from an editor.
pub(super) fn of_editor(frame: &Bytes, dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::YWebsocket => match Messages::of(frame.clone()).next() {
            Some(Ok(y_websocket::Request::Say(message))) => of_inbound(&message),
            Some(Ok(y_websocket::Request::Token(_))) => "token",
            _ => UNREADABLE,
        },
        Dialect::Hocuspocus => match Frame::read(frame) {
            Ok(Frame::Addressed { request: Ok(Request::Auth { .. }), .. }) => "auth",
            Ok(Frame::Addressed { request: Ok(Request::Close), .. }) => "close",
            Ok(Frame::Addressed { request: Ok(Request::Say(_, message)), .. }) => of_inbound(&message),
            Ok(Frame::Ping) => "ping",
            Ok(Frame::Pong) => "pong",
            Ok(Frame::Addressed { request: Err(_), .. }) | Err(_) => UNREADABLE,
        },
    }
}

/// A frame from the server.
pub(super) fn of_server(frame: &Bytes, dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::YWebsocket => match Replies::of(frame.clone()).next() {
            Some(Ok(message)) => of_outbound(&message),
            _ => UNREADABLE,
        },
        Dialect::Hocuspocus => match Reply::read(frame) {
            Ok(Some(Reply::Addressed { answer: Answer::Say(message), .. })) => of_outbound(&message),
            Ok(Some(Reply::Addressed { answer: Answer::Closed(_), .. })) => "close",
            Ok(Some(Reply::Addressed { .. })) => "auth",
            Ok(Some(Reply::Ping)) => "ping",
            Ok(None) | Err(_) => UNREADABLE,
        },
    }
}

fn of_inbound(message: &Inbound) -> &'static str {
    match message {
        Inbound::Step1(_) => "SyncStep1",
        Inbound::Step2(_) => "SyncStep2",
        Inbound::Update(_) => "update",
        Inbound::Awareness(_) => "awareness",
        Inbound::QueryAwareness => "queryAwareness",
        Inbound::Confirm(_) => "SyncStatus",
        Inbound::Offer => "offer",
        Inbound::Create => "create",
        Inbound::Stateless(_) => "stateless",
    }
}

fn of_outbound(message: &Outbound) -> &'static str {
    match message {
        Outbound::Step1(_) => "SyncStep1",
        Outbound::Step2(_) => "SyncStep2",
        Outbound::Update(_) => "update",
        Outbound::Awareness(_) => "awareness",
        Outbound::Confirmed(_) | Outbound::Saved(_) => "SyncStatus",
        Outbound::Denied(_) => "denied",
        Outbound::Access(_) => "access",
        Outbound::QueryAwareness => "queryAwareness",
        Outbound::Stateless(_) => "stateless",
    }
}
