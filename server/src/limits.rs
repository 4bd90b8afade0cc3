//! Every bound of the server that is not configured, with its reason. [`Config`](crate::config::Config) has the others.

use std::time::Duration;

use coscribe_engine::limits::{DELETIONS_SHARE, PARKED_BYTES};
use coscribe_persistence::limits::{MAX_NAME_BYTES, MAX_STATE_BYTES};

// Accepting and closing connections.

/// TCP connections that have not become WebSockets, or never will. They are many for a moment when all editors come back at
/// once, and otherwise only when somebody wants to use up file descriptors.
pub(crate) const MAX_REQUESTING: usize = 4096;

/// One part in so many of these places is the most that one address has, or one /64 network of IPv6, unless it is a trusted proxy:
/// a few addresses cannot keep all others out.
pub(crate) const REQUESTING_SHARE: usize = 8;

/// As many an address may have in any case, also where there are few descriptors: a browser opens six.
pub(crate) const FEW_REQUESTING: usize = 16;

/// How long a connection may take for its request while others want its place and have no better right to it. On a slow
/// link, TCP and TLS take four round trips of half a second.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(3);

/// How often the log says that places are short.
pub(crate) const REQUESTING_LOGGED_WITHIN: Duration = Duration::from_secs(60);

/// Descriptors that are not for sockets of clients: files of the log and of snapshots, of which loading threads may have several
/// open, connections to the application, and a few for good. Of very few, half.
pub(crate) const RESERVED_DESCRIPTORS: usize = 256;

/// The pause after the system had no file descriptor or no memory for a connection.
pub(crate) const ACCEPT_BACK_OFF: Duration = Duration::from_millis(200);

/// How often the server looks whether the files with its certificate and key have changed. They are read when they have been the
/// same for as long: the two are not replaced at once.
pub(crate) const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(1);

/// How long connections may take to agree to be closed, after the last was asked to. It is a second more than one of them may
/// take.
pub(crate) const LAST_CLOSES: Duration = Duration::from_secs(4);

/// How long a connection stays that has no place in a room. y-websocket forgets its failed tries when a socket opens, and
/// would be back a tenth of a second later; this is its longest pause between two tries.
pub(crate) const TURNED_AWAY_AFTER: Duration = Duration::from_millis(2500);

/// How many of these may stay beside the connections that are counted, so that a crowd before one document keeps nobody from
/// another.
pub(crate) const MAX_TURNED_AWAY: usize = 1024;

/// How long a Hocuspocus provider may take to open its first document. Its token may come from elsewhere.
pub(crate) const OPENS_WITHIN: Duration = Duration::from_secs(60);

// Memory.

/// What is held for a connection for as long as it is open: itself, its task, its buffers and its sockets'.
pub(crate) const CONNECTION_BYTES: usize = 8 << 10;

/// What TLS takes besides: keys, and the buffer in which a record is collected.
pub(crate) const TLS_BYTES: usize = 8 << 10;

/// The same for a document that is empty, and its peer.
pub(crate) const ROOM_BYTES: usize = 4 << 10;

/// The largest limit of a document that can be configured, and of a message. Browsers give up on far smaller ones.
pub(crate) const LARGEST_DOCUMENT_BYTES: usize = 256 << 20;

const _: () = assert!(
    LARGEST_DOCUMENT_BYTES + LARGEST_DOCUMENT_BYTES / DELETIONS_SHARE + PARKED_BYTES
        < MAX_STATE_BYTES / 4 * 3,
    "a document that was made as large as it may be can be stored, also where that was estimated too low"
);

/// How often a message may be in memory: as it has come, and as what becomes of it.
pub(crate) const MESSAGE_FORMS: usize = 2;

/// How often a record may be in memory: as the room has made it, and as it is written.
pub(crate) const RECORD_FORMS: usize = 2;

/// How often a snapshot may be in memory while it is stored: as the document that it is read back to, as it is written, and as it
/// is read from disk once more.
pub(crate) const SNAPSHOT_FORMS: usize = 3;

/// The least memory that a server may be given. One person who types takes 32 KiB of it, in blocks of 16 KiB; one who pastes a megabyte has
/// it in memory some four times for a moment, and is disconnected where that is more than three quarters.
pub(crate) const LEAST_MEMORY_BYTES: usize = 8 << 20;

/// Bytes of messages that a connection may have before the server waits for it, where three quarters of the memory are in use.
/// People's messages are far smaller.
pub(crate) const ALLOWANCE: usize = 1 << 20;

/// The same where seven eighths are. It is more than [`CONNECTION_BYTES`], so that people go on typing.
pub(crate) const LAST_ALLOWANCE: usize = 64 << 10;

/// How long memory may be short before the largest debtors are sent away. Documents that nobody uses are closed at once.
pub(crate) const STRAIN_PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked at meanwhile.
pub(crate) const RELIEF_INTERVAL: Duration = Duration::from_millis(50);

/// How long a document that is to give way may take before another one is chosen as well: it may have to be stored.
pub(crate) const GIVES_WAY_WITHIN: Duration = Duration::from_secs(5);

/// What a room's memory may have grown by before it is looked at again, as steps of work of 64 bytes.
pub(crate) const STEPS_BETWEEN_ACCOUNTS: u64 = 16 << 10;

/// A room in which anything happens is looked at after this time in any case.
pub(crate) const MEASURED_AT_LEAST: Duration = Duration::from_secs(1);

// The documents of one connection.

/// Documents that a Hocuspocus provider's connection may have open, with those that it was denied. An application with more of
/// them uses several connections.
pub(crate) const DOCUMENTS_PER_CONNECTION: usize = 1000;

/// An address of Hocuspocus: the name of a document, and a session, which providers make of a dozen letters.
pub(crate) const ADDRESS_BYTES: usize = MAX_NAME_BYTES + 1 + 128;

/// A token. Signed ones have a kilobyte or two.
pub(crate) const TOKEN_BYTES: usize = 16 << 10;

// Access.

/// How far clocks may be configured to be apart. Tokens and grants outlive their end by as much.
pub(crate) const LONGEST_LEEWAY: Duration = Duration::from_secs(3600);

/// Refusals of one address that are told at once. Somebody whose token has expired may have as many documents open.
pub(crate) const REFUSALS_AT_ONCE: u32 = 10;

/// Refusals of one address that are told on an open WebSocket at all.
pub(crate) const REFUSALS_TOLD: u32 = 30;

/// After this time, an address has one refusal less behind it.
pub(crate) const REFUSALS_FORGOTTEN: Duration = Duration::from_secs(1);

/// Refusals of one address that the log has a line for, in each [`REFUSALS_LOGGED_WITHIN`].
pub(crate) const REFUSALS_LOGGED: u32 = 30;

/// The time after which refusals of an address are logged once more, and the number of those that were not.
pub(crate) const REFUSALS_LOGGED_WITHIN: Duration = Duration::from_secs(60);

/// Addresses of which refusals are counted: some hundred kilobytes.
pub(crate) const REFUSED_ADDRESSES: usize = 10_000;

/// Bad tokens that are known as such without another look.
pub(crate) const BAD_TOKENS: usize = 10_000;

/// How long it is known of a token that it is bad. Its key may be added meanwhile.
pub(crate) const BAD_TOKEN_HOLDS: Duration = Duration::from_secs(5);

/// Revocations that are kept, each of at most some hundred bytes.
pub(crate) const REVOCATIONS: usize = 100_000;

/// A subject or a token's id in a revocation.
pub(crate) const REVOKED_NAME_BYTES: usize = 256;

/// The body of a request to `/api/v1/access`.
pub(crate) const API_BODY_BYTES: usize = 64 << 10;

/// Messages of one connection that may wait until it is decided who may have their documents, in bytes. Clients that send any before
/// send a question and their awareness.
pub(crate) const UNDECIDED_BYTES: usize = 1 << 20;

/// Questions about one connection that may be without an answer before nothing more is read of it.
pub(crate) const QUESTIONS_ON_CONNECTION: usize = 32;

/// Questions about clients of one address that are asked at once: others have their turns, too.
pub(crate) const ASKED_FOR_ADDRESS: usize = 16;

/// How long after a question about an open document that had no answer the next one is asked.
pub(crate) const REVIEW_RETRY: Duration = Duration::from_secs(5);

/// How long a grant holds at least, so that one whose end has passed is not given again and again.
pub(crate) const SHORTEST_GRANT: Duration = Duration::from_secs(1);

/// How long a browser may remember that its pages may read answers.
pub(crate) const CORS_REMEMBERED: Duration = Duration::from_secs(600);

/// Documents that may be refused to one connection for its tokens before it ends. An application with more of them has one token for
/// all.
pub(crate) const REFUSALS_ON_CONNECTION: u32 = 100;
/// A secret of HS256: as long as its hash, as RFC 7518 asks for.
pub(crate) const LEAST_SECRET_BYTES: usize = 32;

/// Patterns in a token. A document's name is compared with each.
pub(crate) const PATTERNS_PER_TOKEN: usize = 1000;

/// Keys that are tried for a token that names none. Each takes up to 60 µs.
pub(crate) const KEYS_TRIED: usize = 16;

/// Keys in a set. Issuers have two or three.
pub(crate) const KEYS_PER_SET: usize = 100;

/// A set of keys from a URL: a hundred large ones.
pub(crate) const JWKS_BYTES: usize = 256 << 10;

/// How long a server of keys may take.
pub(crate) const JWKS_TIMEOUT: Duration = Duration::from_secs(5);

/// The pauses after a server of keys has not answered: the first, and the longest.
pub(crate) const JWKS_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long keys are kept before they are fetched again, at least and at most, whatever their server says.
pub(crate) const KEYS_KEPT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));

/// How long they are kept if it says nothing.
pub(crate) const KEYS_KEPT_USUALLY: Duration = Duration::from_secs(600);

/// A key that nobody knows makes us ask for it at most once in this time. Anybody can send tokens with such keys.
pub(crate) const REFETCH_PAUSE: Duration = Duration::from_secs(5);

/// How long a connection to a server of the application is kept for its next request.
pub(crate) const CLIENT_IDLE: Duration = Duration::from_secs(30);

/// Host names that are looked up at once.
pub(crate) const LOOKUPS_AT_ONCE: usize = 2;

/// The name of a subject, as people see it. A longer one is cut.
pub(crate) const SHOWN_NAME_BYTES: usize = 256;

/// Why the application does not allow a document, in its words. A close frame has room for 123 bytes.
pub(crate) const REASON_BYTES: usize = 120;

/// How long a grant of the application may hold. A time beyond it is rather a mistake, such as milliseconds for seconds.
pub(crate) const GRANTED_AT_MOST: Duration = Duration::from_secs(365 * 24 * 3600);

/// An answer of the application. A large one has a few hundred bytes.
pub(crate) const ANSWER_BYTES: usize = 64 << 10;

/// Questions that the application is asked at once.
pub(crate) const ASKED_AT_ONCE: usize = 64;

/// Questions that may be open, with those that wait for their turn. Beyond them nobody is asked, and nobody let in.
pub(crate) const ASK_WAITING: usize = 4096;

/// The pause before the application is asked a second time; it doubles then.
pub(crate) const ASK_PAUSE: Duration = Duration::from_millis(100);

/// Answers that are kept: some hundred bytes each.
pub(crate) const CACHED_ANSWERS: usize = 20_000;

/// How long an answer holds for others, whatever the application says.
pub(crate) const CACHED_AT_MOST: Duration = Duration::from_secs(3600);

/// The same for a denial: somebody may just be given access.
pub(crate) const DENIAL_CACHED_AT_MOST: Duration = Duration::from_secs(3);

// y-sweet.

/// The key of y-sweet. Whoever has a token may try keys until one fits, as fast as they like.
pub(crate) const LEAST_KEY_CHARS: usize = 16;

/// How long a token is valid where nobody says, as with y-sweet itself.
pub(crate) const TOKEN_VALID: Duration = Duration::from_secs(3600);

/// How long a token may be valid. It cannot be taken back.
pub(crate) const TOKEN_VALID_AT_MOST: Duration = Duration::from_secs(30 * 24 * 3600);

/// y-sweet's clients give a connection up on which nothing comes for 3 seconds after they have asked for a confirmation. They ask
/// after 2 seconds without a message: where that is confirmed, nothing else is sent.
pub(crate) const Y_SWEET_KEEP_ALIVE: Duration = Duration::from_millis(2500);

// Reading one connection.

/// Bytes of replies, to a client that does not read them, above which nothing is read of it either.
pub(crate) const REPLY_BYTES: usize = 64 << 10;

/// Messages of a frame that a room gets at once. A frame may have millions: they are counted, and wait for space, as if they
/// had come in as many frames.
pub(crate) const MESSAGES_AT_ONCE: usize = 256;

/// A frame of this size may have inflated from a few kilobytes. It is not kept for longer than it takes to deliver a second's
/// worth of messages: others wait for their turn to inflate theirs.
pub(crate) const LARGE_FRAME_BYTES: usize = 1 << 20;

/// A burst is not slowed down that would take this long at the full rate.
pub(crate) const BURST: Duration = Duration::from_secs(1);

/// How long a connection may use all that it is allowed, and want more.
pub(crate) const TOO_FAST_PATIENCE: Duration = Duration::from_secs(10);

/// How long answers can keep a connection from being read.
pub(crate) const LONGEST_CHARGE: Duration = Duration::from_secs(5);

// Sending to one connection.

/// Smaller messages are sent without a look at the link: at 32 kB/s they arrive within 16 seconds.
pub(crate) const LARGE_MESSAGE_BYTES: usize = 512 << 10;

/// A message that would take longer than this goes in pieces: a third of the time that clients wait.
pub(crate) const WHOLE_TIME: Duration = Duration::from_secs(10);

/// How long a piece is to take. With shorter ones, clients merge what they keep more often.
pub(crate) const PIECE_TIME: Duration = Duration::from_secs(4);

/// The same for a message on a connection that may have several documents: the others wait meanwhile.
pub(crate) const WHOLE_TIME_AMONG_OTHERS: Duration = Duration::from_secs(1);

/// How long a piece is to take there.
pub(crate) const PIECE_TIME_AMONG_OTHERS: Duration = Duration::from_secs(1);

/// The size of a piece, at least and at most, whatever the rate.
pub(crate) const PIECE_BYTES: (usize, usize) = (16 << 10, 16 << 20);

/// A piece is at most so many times as large as the last one: a rate that was measured over a moment may be wrong.
pub(crate) const PIECE_GROWTH: usize = 4;

/// How long clients wait for a message, less some time for other bytes on the link.
pub(crate) const CLIENT_PATIENCE: Duration = Duration::from_secs(25);

/// Bytes that are sent to measure. The first ones find slow links. Where the way is long, TCP has not got up to speed by then,
/// so others follow where these were there at once.
pub(crate) const PROBE_BYTES: [usize; 2] = [64 << 10, 256 << 10];

/// Where a probe took less than this, a larger one is worth its bytes.
pub(crate) const FAST_PROBE: Duration = Duration::from_millis(300);

/// How long a pong is waited for before a look at what else the peer does: the pong waits behind all that the peer sends.
pub(crate) const PONG_WINDOW: Duration = Duration::from_secs(10);

/// A peer that sends this much in a window is busy, and not deaf.
pub(crate) const BUSY_BYTES: usize = 16 << 10;

/// Windows after which the pong is not waited for any more.
pub(crate) const PONG_WINDOWS: u32 = 6;

/// How long the last measurement holds.
pub(crate) const SPEED_HOLDS: Duration = Duration::from_secs(10);

/// Large messages are cut one at a time: a peer with a slow link may ask for a large document again and again.
pub(crate) const CUT_AT_ONCE: usize = 1;

// Rooms.

/// The cost of a message in an inbox beside its bytes, so that many small ones are bounded as well.
pub(crate) const INBOX_MESSAGE_COST: usize = 256;

/// The cost of a message in an outbox beside its bytes, for the same reason.
pub(crate) const OUTBOX_MESSAGE_COST: usize = 64;

/// All outboxes of one connection together may have so many times the bytes of one. Beyond it, each lags that is sent more.
pub(crate) const FULL_OUTBOXES: usize = 4;

/// Inputs that a room takes from its inbox before it flushes.
pub(crate) const INPUTS_PER_FLUSH: usize = 256;

/// To free the memory of a larger document takes longer than others should wait, so another thread does it.
pub(crate) const FREED_ELSEWHERE_BYTES: usize = 1 << 20;

/// Bytes of one room that may wait for the journal. Beyond it that room waits, and with it its connections. With one bound for
/// all rooms, a room that writes much would make all others wait.
pub(crate) const UNSTORED_BYTES: u32 = 32 << 20;

/// Characters of a document name in a log line: the name is whatever somebody asked for.
pub(crate) const SHOWN_NAME_CHARS: usize = 80;

/// How much of an origin is shown in a log line: a name of the DNS has 253 bytes at most.
pub(crate) const SHOWN_ORIGIN_BYTES: usize = 300;

/// Threads that read documents from disk. Each may hold a whole log in memory, so there are few.
pub(crate) const LOADING_THREADS: usize = 8;

/// Threads for all that would hold others up: these, and those that compress, cut and free what is large.
pub(crate) const BLOCKING_THREADS: usize = LOADING_THREADS + 8;

/// An idle one of these ends after this time. It is longer than [`DIRECTORY_INTERVAL`], so that the one that looks at the directory
/// stays, and shorter than two of them, or idle threads would take turns at that and stay for good.
pub(crate) const BLOCKING_THREAD_KEPT: Duration = Duration::from_millis(1500);

/// Documents that the background checkpoints hold open at a time.
pub(crate) const BACKGROUND_ROOMS: usize = 64;

// The journal.

/// A batch of records this large is committed without waiting for more.
pub(crate) const COMMIT_BYTES: usize = 4 << 20;

/// At most one part in so many of the time is spent on syncing, while that keeps syncs nearer than the longest interval. A
/// sync takes the processor about as long as the disk, and with it everybody who shares that.
pub(crate) const SYNC_SHARE: u32 = 64;

/// How far apart syncs are put. Nobody notices an acknowledgement that comes so much later.
pub(crate) const LONGEST_SYNC_INTERVAL: Duration = Duration::from_millis(20);

/// How long nothing is written before the log gets an end mark. It costs a sync, at most one for each pause of all who write.
pub(crate) const MARK_AFTER: Duration = Duration::from_secs(5);

/// How often a full disk is looked at.
pub(crate) const FULL_DISK_RETRY: Duration = Duration::from_secs(1);

/// Room that a full disk must have before anything is written again, unless the batch that failed was larger.
pub(crate) const FULL_DISK_ROOM_BYTES: usize = 1 << 20;

/// Most snapshots that are stored in one go: each go costs several syncs.
pub(crate) const CHECKPOINTS_AT_ONCE: usize = 256;

/// Most bytes of these, so that the others are there soon. A single larger snapshot still goes.
pub(crate) const CHECKPOINT_BATCH_BYTES: usize = 32 << 20;

/// Megabytes of records that are moved out of old segments of the log between two goes of snapshots: one go can leave as much behind.
pub(crate) const TRIMS_AT_ONCE: usize = 64;

/// Where disk space was short, there must be more than enough by one part in so many before it counts as enough.
pub(crate) const DISK_MARGIN: u64 = 16;

/// How often the server looks whether the directory of the documents is still there, and how much space it has.
pub(crate) const DIRECTORY_INTERVAL: Duration = Duration::from_secs(1);

/// Updates that `coscribe import` collects before it writes and syncs them together.
pub(crate) const IMPORT_BATCH_BYTES: usize = 8 << 20;

// The log.

/// Lines that wait for the reader of stderr, and as many that are being written. What comes while there are so many is dropped.
pub(crate) const LOG_BYTES: usize = 1 << 20;

/// How long the end of the server waits until the last lines are written, counted from when the reader of stderr took the line before, if that
/// is earlier.
pub(crate) const LAST_LINES: Duration = Duration::from_secs(2);

// What is exported to a collector.

/// Spans, and log lines, that wait to be exported. What comes while so many wait is dropped.
pub(crate) const EXPORT_QUEUE: usize = 4096;

/// Of these, at most so many go at once.
pub(crate) const EXPORT_BATCH: usize = 512;

/// How often what waits is exported, where it does not fill a batch before.
pub(crate) const EXPORT_INTERVAL: Duration = Duration::from_secs(2);

/// How long a collector may take for a batch, and how long the end of the server waits for the last spans, and the last lines.
pub(crate) const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is read of a collector's answer, which says no more than that it has taken the batch, or why not.
pub(crate) const EXPORT_ANSWER_BYTES: usize = 64 << 10;

/// Messages of one membership that are traced. A connection may last for days, and no viewer can show a trace of a million spans.
pub(crate) const MESSAGES_TRACED: u32 = 100;

/// Traced messages that one record or one flush of a room is linked to, and records whose spans wait to be confirmed.
pub(crate) const SPANS_IN_ROOM: usize = 32;
