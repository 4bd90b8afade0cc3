//! The bounds: the table of limits, and what ARCHITECTURE and the other pages tell of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use axum::response::IntoResponse;
use coscribe_engine::limits::{
    AWARENESS_BYTES, AWARENESS_BYTES_PER_PEER, AWARENESS_CLIENTS_PER_PEER, AWARENESS_STATE_BYTES,
    DELETIONS_SHARE, DOCUMENT_CLIENTS, MAX_ANY_DEPTH, MAX_CLOCK, MAX_RUNS_FROM_PEER, PARKED_BYTES,
    STATELESS_BYTES, SYNC_STATUS_BYTES, UNANSWERED_SYNC_STATUSES,
};
use coscribe_engine::message::Reason;
use coscribe_persistence::NameError;
use coscribe_persistence::limits::{
    LOG_SEGMENTS, LOG_SHARE, MAX_NAME_BYTES, MAX_SUBJECT_BYTES, SEGMENT_BYTES,
};
use coscribe_websocket::limits::{
    HTTP_BUFFER, LARGE_MESSAGES, SLOWEST_ANSWER_BYTES_PER_SECOND, SLOWEST_BYTES_PER_SECOND,
};

use super::{Value, differences, read, table, values};
use crate::connection::register::NoPlace;
use crate::connection::told_as;
use crate::http::BodyError;
use crate::http::y_sweet::Failure;
use crate::limits::{
    ADDRESS_BYTES, ALLOWANCE, ANSWER_BYTES, API_BODY_BYTES, ASK_WAITING, ASKED_FOR_ADDRESS, BURST,
    BUSY_BYTES, CACHED_AT_MOST, CLIENT_PATIENCE, DENIAL_CACHED_AT_MOST, DOCUMENTS_PER_CONNECTION,
    EXPORT_INTERVAL, EXPORT_QUEUE, EXPORT_TIMEOUT, FAST_PROBE, FEW_REQUESTING, FULL_OUTBOXES,
    GRANTED_AT_MOST, INPUTS_PER_FLUSH, JWKS_BYTES, JWKS_TIMEOUT, KEYS_PER_SET, LARGE_FRAME_BYTES,
    LARGE_MESSAGE_BYTES, LARGEST_DOCUMENT_BYTES, LAST_ALLOWANCE, LAST_LINES, LEAST_KEY_CHARS,
    LEAST_MEMORY_BYTES, LEAST_SECRET_BYTES, LOG_BYTES, LONGEST_LEEWAY, LONGEST_SYNC_INTERVAL, MARK_AFTER,
    MAX_REQUESTING, MAX_TURNED_AWAY, MESSAGES_AT_ONCE, MESSAGES_TRACED, OPENS_WITHIN, PATTERNS_PER_TOKEN,
    PIECE_GROWTH, PIECE_TIME, PIECE_TIME_AMONG_OTHERS, PONG_WINDOW, PROBE_BYTES, QUESTIONS_ON_CONNECTION,
    REASON_BYTES, REFETCH_PAUSE, REFUSALS_AT_ONCE, REFUSALS_FORGOTTEN, REFUSALS_LOGGED,
    REFUSALS_LOGGED_WITHIN, REFUSALS_ON_CONNECTION, REFUSALS_TOLD, REQUEST_TIME, REQUESTING_SHARE,
    RESERVED_DESCRIPTORS, REVOCATIONS, REVOKED_NAME_BYTES, SHOWN_NAME_BYTES, SPANS_IN_ROOM, STRAIN_PATIENCE,
    TOKEN_BYTES, TOKEN_VALID, TOKEN_VALID_AT_MOST, TOO_FAST_PATIENCE, TURNED_AWAY_AFTER, UNDECIDED_BYTES,
    UNSTORED_BYTES, WHOLE_TIME, WHOLE_TIME_AMONG_OTHERS, Y_SWEET_KEEP_ALIVE,
};
use crate::net::upgrade::UpgradeError;

/// "4,096".
fn number(n: impl TryInto<u64>) -> String {
    let digits = n.try_into().ok().unwrap().to_string();
    let groups: Vec<_> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

/// "64 KiB".
fn size(bytes: impl TryInto<u64>) -> String {
    match bytes.try_into().ok().unwrap() {
        bytes if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes if bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

/// "2.5 s".
fn time(time: Duration) -> String {
    if time < Duration::from_millis(100) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{} s", time.as_secs_f64())
    }
}

/// "two".
fn word(n: usize) -> &'static str {
    ["no", "one", "two", "three", "four"][n]
}

fn close(reason: Reason) -> String {
    format!("close {}", told_as(reason).0)
}

/// The rows of the table of limits: the first cell, and what the others say of bounds that are not configured.
fn limits() -> BTreeMap<&'static str, Vec<String>> {
    let status = |error: UpgradeError| format!("HTTP {}", error.into_response().status().as_u16());
    let long_name = NameError::TooLong { bytes: MAX_NAME_BYTES + 1 };
    let address = IpAddr::from([127, 0, 0, 1]);
    let (later, too_large, violation) =
        (close(Reason::Overload), close(Reason::TooLarge), close(Reason::Violation));
    BTreeMap::from([
        (
            "memory for all connections and documents together",
            vec![format!("{} at least", size(LEAST_MEMORY_BYTES))],
        ),
        (
            "a message, before and after decompression",
            vec![
                format!("{} at a time", word(LARGE_MESSAGES)),
                "at most `stall_timeout`".to_owned(),
                format!(
                    "{later} for one that arrives at less than {} a second",
                    size(SLOWEST_BYTES_PER_SECOND)
                ),
            ],
        ),
        ("a larger message", vec![too_large.clone()]),
        (
            "memory for larger messages",
            vec![format!("{} times `max_document_bytes`", word(2 * LARGE_MESSAGES))],
        ),
        (
            "messages of one connection (a frame may hold many)",
            vec![
                format!("up to {} second's worth", word(usize::try_from(BURST.as_secs()).unwrap())),
                format!("{later} if that goes on for {}", time(TOO_FAST_PATIENCE)),
            ],
        ),
        ("bytes of one connection, before and after decompression", vec![]),
        ("bytes of answers that one connection asks for", vec![]),
        ("connections", vec![status(NoPlace::Total.into())]),
        (
            "connections from one address, or one /64 network of IPv6",
            vec![status(NoPlace::Address(address).into())],
        ),
        (
            "connections to one document",
            vec![
                format!("{later}, after {}", time(TURNED_AWAY_AFTER)),
                format!("up to {} that wait for it", number(MAX_TURNED_AWAY)),
            ],
        ),
        ("a request header, and a TLS handshake", vec![size(HTTP_BUFFER)]),
        (
            "an answer that its client does not take",
            vec![
                "at most `stall_timeout`".to_owned(),
                format!("{} a second", size(SLOWEST_ANSWER_BYTES_PER_SECOND)),
            ],
        ),
        (
            "TCP connections that are not WebSockets",
            vec![
                number(MAX_REQUESTING),
                format!("1/{REQUESTING_SHARE} of them, and {FEW_REQUESTING} at least"),
                format!("younger than {}", time(REQUEST_TIME)),
            ],
        ),
        (
            "a document",
            vec![
                too_large,
                format!("{} (`max_document_bytes`), which is also the most", size(LARGEST_DOCUMENT_BYTES)),
                format!("{} clients", number(DOCUMENT_CLIENTS)),
                format!("an {} larger", if DELETIONS_SHARE == 8 { "eighth" } else { "other part" }),
            ],
        ),
        (
            "a document name",
            vec![
                format!("{} bytes", number(MAX_NAME_BYTES)),
                status(long_name.into()),
                format!("or {} if it is not UTF-8", UpgradeError::NotUtf8.into_response().status().as_u16()),
            ],
        ),
        ("the data directory", vec![format!("{later}, after {}", time(TURNED_AWAY_AFTER))]),
        ("free space of its file system", vec![]),
        (
            "the log",
            vec![format!(
                "{} times the records in it that no snapshot has, and {}",
                word(usize::try_from(LOG_SHARE).unwrap()),
                size(LOG_SEGMENTS * SEGMENT_BYTES)
            )],
        ),
        ("documents open at once", vec![format!("{later}, after {}", time(TURNED_AWAY_AFTER))]),
        (
            "queued for one slow reader",
            vec![format!("{} times as much for all documents of a connection", word(FULL_OUTBOXES))],
        ),
        ("queued for one document", vec![]),
        ("parked updates, which wait for missing ones", vec![size(PARKED_BYTES), later]),
        (
            "an awareness state",
            vec![
                size(AWARENESS_STATE_BYTES),
                format!(
                    "{AWARENESS_CLIENTS_PER_PEER} clients and {} in all on one connection",
                    size(AWARENESS_BYTES_PER_PEER)
                ),
                format!("{} in a document", size(AWARENESS_BYTES)),
            ],
        ),
        ("a message 102", vec![size(SYNC_STATUS_BYTES), violation.clone()]),
        (
            "messages 102 of one connection that are not answered yet",
            vec![number(UNANSWERED_SYNC_STATUSES), violation.clone()],
        ),
        ("documents on one connection", vec![format!("{} open or denied", number(DOCUMENTS_PER_CONNECTION))]),
        (
            "a connection of a Hocuspocus provider without a document",
            vec![time(OPENS_WITHIN), close(Reason::Silence)],
        ),
        (
            "an address of Hocuspocus",
            vec![format!("{} bytes of a session", ADDRESS_BYTES - MAX_NAME_BYTES - 1), violation.clone()],
        ),
        ("a token of Hocuspocus", vec![size(TOKEN_BYTES)]),
        ("a secret of HS256 tokens", vec![format!("{LEAST_SECRET_BYTES} bytes at least")]),
        ("patterns in a token", vec![number(PATTERNS_PER_TOKEN)]),
        (
            "keys of tokens at a URL",
            vec![
                format!("{KEYS_PER_SET} keys"),
                size(JWKS_BYTES),
                time(JWKS_TIMEOUT),
                format!("again after {}", time(REFETCH_PAUSE)),
            ],
        ),
        ("a subject", vec![format!("{MAX_SUBJECT_BYTES} bytes")]),
        ("a subject's name", vec![format!("{SHOWN_NAME_BYTES} bytes")]),
        ("a reason of the application", vec![format!("{REASON_BYTES} bytes")]),
        (
            "an answer of the application",
            vec![
                size(ANSWER_BYTES),
                format!("for {} s at most", number(CACHED_AT_MOST.as_secs())),
                format!("a denial for {}", time(DENIAL_CACHED_AT_MOST)),
            ],
        ),
        ("a grant of the application", vec![format!("{} days", GRANTED_AT_MOST.as_secs() / (24 * 3600))]),
        (
            "questions to the application",
            vec![
                number(ASK_WAITING),
                format!("{ASKED_FOR_ADDRESS} for one address"),
                format!("while {QUESTIONS_ON_CONNECTION} about it"),
            ],
        ),
        (
            "messages of a Hocuspocus provider before access to their documents is decided",
            vec![size(UNDECIDED_BYTES)],
        ),
        (
            "documents that one connection of a Hocuspocus provider is refused for its tokens",
            vec![REFUSALS_ON_CONNECTION.to_string(), close(Reason::Unauthorized)],
        ),
        (
            "refusals of one address",
            vec![
                format!("{REFUSALS_AT_ONCE} are told at once"),
                format!("{} more after {}", REFUSALS_TOLD - REFUSALS_AT_ONCE, time(TURNED_AWAY_AFTER)),
                format!("one is forgotten each {}", time(REFUSALS_FORGOTTEN)),
                format!("{REFUSALS_LOGGED} are logged in {}", time(REFUSALS_LOGGED_WITHIN)),
            ],
        ),
        ("a request of the API", vec![size(API_BODY_BYTES)]),
        ("revocations", vec![number(REVOCATIONS)]),
        ("a subject or an id that is revoked", vec![format!("{REVOKED_NAME_BYTES} bytes")]),
        ("a key of y-sweet", vec![format!("{LEAST_KEY_CHARS} characters at least")]),
        (
            "a token of y-sweet",
            vec![format!("{} seconds, unless", number(TOKEN_VALID.as_secs())), close(Reason::Unauthorized)],
        ),
        (
            "`validForSeconds` of a token of y-sweet",
            vec![
                format!("{} days", TOKEN_VALID_AT_MOST.as_secs() / (24 * 3600)),
                format!("HTTP {}", Failure::Validity.status_and_reason().0.as_u16()),
            ],
        ),
        ("a request of y-sweet", vec![format!("HTTP {}", BodyError::TooLarge.status().as_u16())]),
        ("a stateless message", vec![size(STATELESS_BYTES), violation.clone()]),
        ("clients and gaps in one update", vec![number(MAX_RUNS_FROM_PEER), violation.clone()]),
        ("bytes of one document that wait for the disk", vec![size(UNSTORED_BYTES)]),
        ("nesting of plain values", vec![number(MAX_ANY_DEPTH), violation.clone()]),
        ("content written by one client", vec![power_of_two_less_one(MAX_CLOCK), violation]),
    ])
}

/// "2³¹ − 1".
fn power_of_two_less_one(n: impl Into<u64>) -> String {
    let power = n.into() + 1;
    assert!(power.is_power_of_two());
    let exponent = power.trailing_zeros().to_string();
    let superscript = |digit: char| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(digit.to_digit(10).unwrap() as usize).unwrap();
    format!("2{} − 1", exponent.chars().map(superscript).collect::<String>())
}

#[test]
fn every_limit_is_in_its_table_and_says_what_the_code_does() {
    let expected = limits();
    let rows = table("docs/limits.md", "What");
    let names = rows.iter().map(|cells| cells[0].clone()).collect();
    let mut wrong = differences(&names, &expected.keys().map(ToString::to_string).collect());
    for cells in &rows {
        let row = cells.join(" | ");
        for part in expected.get(&*cells[0]).into_iter().flatten().filter(|part| !row.contains(*part)) {
            wrong.push(format!("the row {row:?} should say {part:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn begins_with_number(text: &str, number: &str) -> bool {
    text.strip_prefix(number).is_some_and(|rest| !rest.starts_with(is_digit))
}

#[test]
fn every_configured_limit_is_in_the_table_of_limits_with_its_default() {
    /// Numbers that bound nothing: beyond them the server does more, and refuses nothing.
    const NO_LIMITS: [&str; 1] = ["checkpoint_bytes"];
    let rows = table("docs/limits.md", "What");
    let mut wrong = Vec::new();
    for Value { key, default, value_name, .. } in values() {
        let named = format!("(`{key}`)");
        let bound =
            rows.iter().find_map(|cells| Some(cells[1].split_once(&named)?.0.replace([' ', ','], "")));
        let is_limit = matches!(&*value_name, "N" | "SIZE") && !NO_LIMITS.contains(&&*key);
        match bound {
            None if is_limit => wrong.push(format!("the table of limits has no row with {named}")),
            // Some rows say it in words.
            Some(bound) if bound.contains(is_digit) && !begins_with_number(&bound, &default) => {
                wrong.push(format!("the table of limits says {bound:?} for {named}, not {default:?}"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_bounds_that_architecture_tells_are_those_of_the_code() {
    let text = read("ARCHITECTURE.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let says = [
        format!("up to {MESSAGES_AT_ONCE} at a time"),
        format!("or {INPUTS_PER_FLUSH} inputs were taken"),
        format!("stays for {} and is closed with {}", time(TURNED_AWAY_AFTER), told_as(Reason::Overload).0),
        format!("(up to {})", time(LONGEST_SYNC_INTERVAL)),
        format!("nothing was written for {}", time(MARK_AFTER)),
        format!("one of {} rights", word(LARGE_MESSAGES)),
        format!("less than {} a second on average", size(SLOWEST_BYTES_PER_SECOND)),
        format!("before each message of {} or more", size(LARGE_MESSAGE_BYTES)),
        format!("It sends {} that say nothing", size(PROBE_BYTES[0])),
        format!("within {} but the message", time(FAST_PROBE)),
        format!("{} follow", size(PROBE_BYTES[1])),
        format!("A message that will take {} or less", time(WHOLE_TIME)),
        format!("in pieces of some {} each", time(PIECE_TIME)),
        format!(
            "within {}, and its pieces take {}",
            time(WHOLE_TIME_AMONG_OTHERS),
            time(PIECE_TIME_AMONG_OTHERS)
        ),
        format!("at most {} times the last one's", word(PIECE_GROWTH)),
        format!("no more than would take {}", time(CLIENT_PATIENCE)),
        format!("gets a keep-alive every {}", time(Y_SWEET_KEEP_ALIVE)),
        format!("has sent {} or more within {} is busy", size(BUSY_BYTES), time(PONG_WINDOW)),
        format!("{} of one room may wait", size(UNSTORED_BYTES)),
        format!("a frame above {} with more messages", size(LARGE_FRAME_BYTES)),
    ];
    let missing: Vec<_> = says.iter().filter(|said| !text.contains(*said)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md should say {missing:#?}");
}

#[test]
fn the_bounds_of_what_is_logged_and_exported_are_told() {
    let text = read("docs/observe.md");
    for said in [
        format!("up to {} of lines wait", size(LOG_BYTES)),
        format!("waits up to {} for its last lines", time(LAST_LINES)),
        format!("{} spans", number(EXPORT_QUEUE as u64)),
        format!("every {}", time(EXPORT_INTERVAL)),
        format!("have {}.", time(EXPORT_TIMEOUT)),
        format!("first {MESSAGES_TRACED} writing messages"),
        format!("up to {} others", SPANS_IN_ROOM - 1),
    ] {
        assert!(text.contains(&said), "docs/observe.md should say {said:?}");
    }
}

#[test]
fn the_bounds_of_memory_and_of_open_files_are_told() {
    let text = read("docs/limits.md");
    for said in [
        format!(
            "a connection that holds more than {} is not read; after {}",
            size(ALLOWANCE),
            time(STRAIN_PATIENCE)
        ),
        format!("a connection that holds more than {} is not read; no further", size(LAST_ALLOWANCE)),
        format!("{RESERVED_DESCRIPTORS} of them are kept for files"),
    ] {
        assert!(text.contains(&said), "docs/limits.md should say {said:?}");
    }
}

#[test]
fn the_longest_leeway_is_told() {
    let said = format!("{} s at most", LONGEST_LEEWAY.as_secs());
    assert!(read("docs/access.md").contains(&said), "docs/access.md should say {said:?}");
}

#[test]
fn every_bound_of_the_server_is_told_somewhere_or_known_to_be_internal() {
    /// Bounds that no peer can tell from other reasons to wait.
    const INTERNAL: [&str; 56] = [
        "CONNECTION_BYTES",
        "TLS_BYTES",
        "ROOM_BYTES",
        "MESSAGE_FORMS",
        "RECORD_FORMS",
        "SNAPSHOT_FORMS",
        "RELIEF_INTERVAL",
        "GIVES_WAY_WITHIN",
        "STEPS_BETWEEN_ACCOUNTS",
        "MEASURED_AT_LEAST",
        "REVIEW_RETRY",
        "SHORTEST_GRANT",
        "CORS_REMEMBERED",
        "BAD_TOKENS",
        "BAD_TOKEN_HOLDS",
        "REFUSED_ADDRESSES",
        "REPLY_BYTES",
        "ACCEPT_BACK_OFF",
        "REQUESTING_LOGGED_WITHIN",
        "CERTIFICATE_INTERVAL",
        "LAST_CLOSES",
        "KEYS_TRIED",
        "JWKS_RETRY",
        "KEYS_KEPT",
        "KEYS_KEPT_USUALLY",
        "CLIENT_IDLE",
        "LOOKUPS_AT_ONCE",
        "ASK_PAUSE",
        "CACHED_ANSWERS",
        "ASKED_AT_ONCE",
        "LONGEST_CHARGE",
        "PIECE_BYTES",
        "PONG_WINDOWS",
        "SPEED_HOLDS",
        "CUT_AT_ONCE",
        "INBOX_MESSAGE_COST",
        "OUTBOX_MESSAGE_COST",
        "FREED_ELSEWHERE_BYTES",
        "SHOWN_NAME_CHARS",
        "SHOWN_ORIGIN_BYTES",
        "LOADING_THREADS",
        "BLOCKING_THREADS",
        "BLOCKING_THREAD_KEPT",
        "BACKGROUND_ROOMS",
        "COMMIT_BYTES",
        "SYNC_SHARE",
        "FULL_DISK_RETRY",
        "FULL_DISK_ROOM_BYTES",
        "CHECKPOINTS_AT_ONCE",
        "CHECKPOINT_BATCH_BYTES",
        "TRIMS_AT_ONCE",
        "DISK_MARGIN",
        "DIRECTORY_INTERVAL",
        "IMPORT_BATCH_BYTES",
        "EXPORT_BATCH",
        "EXPORT_ANSWER_BYTES",
    ];
    let limits = read("server/src/limits.rs");
    let consts = limits.lines().filter_map(|line| line.strip_prefix("pub(crate) const ")?.split(':').next());
    let consts: BTreeSet<_> = consts.collect();
    // All that is named here is compared above, or stands in the list.
    let compared = read("server/src/readme/bounds.rs");
    let unknown: Vec<_> = consts.iter().filter(|name| !compared.contains(**name)).collect();
    assert!(
        unknown.is_empty(),
        "no table or sentence is compared with {unknown:?}, and they are not listed as internal"
    );
    let gone: Vec<_> = INTERNAL.iter().filter(|name| !consts.contains(**name)).collect();
    assert!(gone.is_empty(), "there are no bounds {gone:?}");
}
