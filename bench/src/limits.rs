//! Every bound of the load generator, with its reason. The sizes of loads and attacks are not bounds: they stand with their scenarios.

use std::time::Duration;

// A turn of the generator: few things at a time, so that no message that is due waits for another.
/// Socket events handled in one turn.
pub const EVENTS_PER_TURN: usize = 32;
/// Reads of one connection in one turn, so that one that never runs dry does not starve the others.
pub const READS_PER_TURN: usize = 4;
/// Bytes read at a time from one connection.
pub const READ_BYTES: usize = 256 << 10;
/// Writes between two reads when the schedule is behind.
pub const WRITES_PER_TURN: usize = 32;
/// Cursor moves between two reads when the schedule is behind.
pub const MOVES_PER_TURN: usize = 32;
/// Handshakes under way at the same time: fewer than a listener's usual backlog.
pub const HANDSHAKES: usize = 64;

// Messages.
/// The longest inflated message: longer than any that a scenario causes.
pub const MESSAGE_BYTES: usize = 1 << 30;
/// Read buffer of each connection of the relay; the library's default is 128 KiB.
pub const RELAY_READ_BYTES: usize = 4 << 10;

// Histograms.
/// Longest latency that is recorded, ten minutes; a longer one counts as this.
pub const LONGEST_LATENCY_MICROS: u64 = 600_000_000;
/// Longest time between two sightings that is recorded, ten minutes; a longer one counts as this.
pub const LONGEST_GAP_MICROS: u64 = 600_000_000;
/// Longest lateness that is recorded, a minute; a longer one counts as this.
pub const LONGEST_LATENESS_MICROS: u64 = 60_000_000;

// Memory.
/// A server that takes more than this under a load is stopped before it takes the machine with it.
pub const SERVER_MEMORY_BYTES: u64 = 4 << 30;
/// A server that takes more than this under an attack is killed before it takes the machine with it.
pub const ATTACKED_SERVER_MEMORY_BYTES: u64 = 6_000_000_000;
/// Samples of the server's processor time that are remembered: more than a rest takes.
pub const MONITOR_SAMPLES: usize = 64;
/// Bytes that an attacker reads at a time.
pub const ATTACKER_READ_BYTES: usize = 128 << 10;
/// Stack of an attacker's thread that only reads.
pub const ATTACKER_STACK_BYTES: usize = 64 << 10;

// Patience with servers under loads.
/// How long a server may take to listen, and to end.
pub const SERVER_START: Duration = Duration::from_secs(30);
/// How long an editor may take to connect while others do.
pub const CONNECT: Duration = Duration::from_secs(30);
/// After a silence of this length, nothing more comes.
pub const QUIET: Duration = Duration::from_millis(300);
/// A crowd that is not quiet by then is left as it is.
pub const SETTLING: Duration = Duration::from_secs(30);
/// Longest wait for deliveries, even while some still come.
pub const DRAIN: Duration = Duration::from_secs(120);
/// How long the server may take to have the document, and joiners to get it.
pub const JOIN: Duration = Duration::from_secs(30);
/// After a silence of this length, a joiner who seems to have the document has everything.
pub const JOIN_QUIET: Duration = Duration::from_millis(200);
/// How long one document may take.
pub const DOCUMENT: Duration = Duration::from_secs(30);
/// Longest silence in the wait for deliveries to the editors who stalled.
pub const STALLED_QUIET: Duration = Duration::from_secs(10);

// Patience with servers that are soaked: nobody waits for that long if all is well.
/// How long a server may take to answer a guest, or to let one go.
pub const GUEST: Duration = Duration::from_secs(30);
/// How long a server may take to confirm the last characters, and to let people go.
pub const CONFIRMED: Duration = Duration::from_secs(30);
/// How long documents may stay open after a rest, in which everybody had left.
pub const EVICTED: Duration = Duration::from_secs(60);
/// How long a server may take to tell its metrics.
pub const METRICS: Duration = Duration::from_secs(10);

// Patience with servers under attack.
/// How long the preparation of an attack may take.
pub const PLAN: Duration = Duration::from_secs(60);
/// How long a server may take to accept a connection, and to send its first message.
pub const FIRST_MESSAGE: Duration = Duration::from_secs(20);
/// How long a server may take to accept a write before the attack.
pub const PREPARATION_WRITE: Duration = Duration::from_secs(40);
/// How long a server may take to answer the second question of a frame.
pub const PROBE_ANSWER: Duration = Duration::from_millis(500);
/// How long a server may take to refuse a bad token before the attack.
pub const PROBE_REFUSAL: Duration = Duration::from_secs(2);
/// Longest silence in the wait for the last deliveries to the typists.
pub const TYPISTS_QUIET: Duration = Duration::from_secs(5);
