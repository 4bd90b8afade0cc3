//! The configuration: defaults < file (`--config`, TOML) < environment (`COSCRIBE_*`) < flags.
//!
//! Each value is checked where it is read, so that an error can say which flag, variable or line of the file it is in.

mod listen;
mod patterns;
mod proxies;
mod values;

pub(crate) use listen::{Listen, in_order};
pub(crate) use patterns::{Pattern, Patterns};
pub(crate) use proxies::Proxies;
pub(crate) use values::{Interval, Size, Span, Switch};

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use tracing_subscriber::filter::LevelFilter;

/// Messages and bytes that a connection may send in a second.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Messages, of which a frame may have many; pings and pongs as well.
    pub(crate) messages: u32,
    /// Bytes, after decompression.
    pub(crate) bytes: usize,
}

/// What `coscribe serve` is told on its command line and in the environment.
#[derive(Args, Debug, Default)]
pub(crate) struct ServeArgs {
    /// A TOML file with settings: the names of the options below, with `_` for `-`
    #[arg(long, value_name = "FILE", env = "COSCRIBE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// What every other command needs to know: where the documents are.
#[derive(Args, Debug, Default)]
pub(crate) struct Place {
    /// A TOML file with settings, the same as for `serve`
    #[arg(long, value_name = "FILE", env = "COSCRIBE_CONFIG")]
    config: Option<PathBuf>,
    /// The directory that holds the documents [default: ./coscribe-data]
    #[arg(long, value_name = "DIR", env = "COSCRIBE_DATA")]
    data: Option<PathBuf>,
    /// What is logged to stderr: off, error, warn, info or debug [default: info]
    #[arg(long, value_name = "LEVEL", env = "COSCRIBE_LOG")]
    log: Option<LevelFilter>,
    /// Documents whose deleted content is kept, as for `serve`: all, or those with names like these; with `=`, because the
    /// name of a document may follow
    #[arg(long, value_name = "PATTERN,…", env = "COSCRIBE_KEEP_DELETED")]
    #[arg(num_args = 0..=1, default_missing_value = "**", value_delimiter = ',', require_equals = true)]
    keep_deleted: Option<Vec<Pattern>>,
}

/// One layer of settings: what a command line with its environment, or a file, says.
#[derive(Args, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Address or name, and port, to listen on; of a name all addresses; port 0 takes any free one [default: 127.0.0.1:1234]
    #[arg(long, value_name = "HOST:PORT", env = "COSCRIBE_LISTEN")]
    listen: Option<Listen>,
    /// The directory that holds the documents; made if it is missing [default: ./coscribe-data]
    #[arg(long, value_name = "DIR", env = "COSCRIBE_DATA")]
    data: Option<PathBuf>,
    /// What is logged to stderr: off, error, warn, info or debug [default: info]
    #[arg(long, value_name = "LEVEL", env = "COSCRIBE_LOG")]
    #[serde(deserialize_with = "values::from_string")]
    log: Option<LevelFilter>,
    /// How long a document stays in memory after its last editor left [default: 30s]
    #[arg(long, value_name = "TIME", env = "COSCRIBE_GRACE")]
    grace: Option<Span>,
    /// A quiet connection gets an empty awareness message this often; Yjs clients give up after 30 s [default: 15s]
    #[arg(long, value_name = "TIME", env = "COSCRIBE_KEEP_ALIVE")]
    keep_alive: Option<Interval>,
    /// WebSocket pings are sent this often; a peer silent for two intervals is gone [default: 25s]
    #[arg(long, value_name = "TIME", env = "COSCRIBE_PING_INTERVAL")]
    ping_interval: Option<Interval>,
    /// A peer that accepts no byte for this long is closed [default: 5m]
    #[arg(long, value_name = "TIME", env = "COSCRIBE_STALL_TIMEOUT")]
    stall_timeout: Option<Interval>,
    /// Updates that arrive within this time, or up to 20ms where syncs are frequent, are synced to disk together [default: 2ms]
    #[arg(long, value_name = "TIME", env = "COSCRIBE_COMMIT_WINDOW")]
    commit_window: Option<Span>,
    /// At shutdown, connections are closed one after another over this time [default: 2s]
    #[arg(long, value_name = "TIME", env = "COSCRIBE_SHUTDOWN_SPREAD")]
    shutdown_spread: Option<Span>,
    /// Whether messages may be compressed, both ways, for clients that ask for it [default: on]
    #[arg(long, value_name = "on|off", env = "COSCRIBE_COMPRESSION", hide_possible_values = true)]
    compression: Option<Switch>,
    /// The largest message that a client may send, before and after decompression [default: 32MiB]
    #[arg(long, value_name = "SIZE", env = "COSCRIBE_MAX_MESSAGE_BYTES")]
    max_message_bytes: Option<Size>,
    /// What may wait for one slow reader before it is left behind, to be resynced later [default: 1MiB]
    #[arg(long, value_name = "SIZE", env = "COSCRIBE_OUTBOX_BYTES")]
    outbox_bytes: Option<Size>,
    /// What may wait for one document before its editors are made to wait [default: 32MiB]
    #[arg(long, value_name = "SIZE", env = "COSCRIBE_INBOX_BYTES")]
    inbox_bytes: Option<Size>,
    /// A document in use is checkpointed when its log is this large, and half as large as the document [default: 4MiB]
    #[arg(long, value_name = "SIZE", env = "COSCRIBE_CHECKPOINT_BYTES")]
    checkpoint_bytes: Option<Size>,
    /// How large a document may become in memory, which is about what it takes encoded [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "COSCRIBE_MAX_DOCUMENT_BYTES")]
    max_document_bytes: Option<Size>,
    /// Documents whose deleted content is kept, for editors that show earlier versions (`gc: false`): all, or those with names
    /// like these: `notes`, `team/*`, `team/**` [default: none]
    #[arg(long, value_name = "PATTERN,…", env = "COSCRIBE_KEEP_DELETED")]
    #[arg(num_args = 0..=1, default_missing_value = "**", value_delimiter = ',')]
    keep_deleted: Option<Vec<Pattern>>,
    /// Messages that a connection may send in a second, for long [default: 2000]
    #[arg(long, value_name = "N", env = "COSCRIBE_MAX_MESSAGES_PER_SECOND")]
    max_messages_per_second: Option<NonZeroU32>,
    /// Bytes that a connection may send in a second, for long [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "COSCRIBE_MAX_BYTES_PER_SECOND")]
    max_bytes_per_second: Option<Size>,
    /// How many editors may be connected at once [default: 50000]
    #[arg(long, value_name = "N", env = "COSCRIBE_MAX_CONNECTIONS")]
    max_connections: Option<NonZeroUsize>,
    /// The same, from one address, or for IPv6 one /64 network [default: 1000]
    #[arg(long, value_name = "N", env = "COSCRIBE_MAX_CONNECTIONS_PER_ADDRESS")]
    max_connections_per_address: Option<NonZeroUsize>,
    /// The same, to one document [default: 10000]
    #[arg(long, value_name = "N", env = "COSCRIBE_MAX_CONNECTIONS_PER_DOCUMENT")]
    max_connections_per_document: Option<NonZeroUsize>,
    /// Proxies whose X-Forwarded-For is believed: addresses and networks, or none [default: 127.0.0.0/8,::1]
    #[arg(long, value_name = "NETWORKS", env = "COSCRIBE_TRUSTED_PROXIES")]
    trusted_proxies: Option<Proxies>,
    /// How long a client may take to send the header of a request [default: 10s]
    #[arg(long, value_name = "TIME", env = "COSCRIBE_HEADER_TIMEOUT")]
    header_timeout: Option<Interval>,
    /// How many documents may be open at once [default: 100000]
    #[arg(long, value_name = "N", env = "COSCRIBE_MAX_ROOMS")]
    max_rooms: Option<NonZeroUsize>,
}

/// The configuration that is in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub(crate) listen: Listen,
    /// Directory of the documents.
    pub(crate) data: PathBuf,
    /// What is logged.
    pub(crate) log: LevelFilter,
    /// How long an empty room stays open.
    pub(crate) grace: Duration,
    /// The longest time without a message to a client.
    pub(crate) keep_alive: Duration,
    /// Time between pings.
    pub(crate) ping_interval: Duration,
    /// How long a full socket may take nothing.
    pub(crate) stall_timeout: Duration,
    /// How long the writer collects before it syncs, at least.
    pub(crate) commit_window: Duration,
    /// Over which time connections are closed at shutdown.
    pub(crate) shutdown_spread: Duration,
    /// Whether permessage-deflate is negotiated.
    pub(crate) compression: bool,
    /// Largest inbound message in bytes, before and after decompression.
    pub(crate) max_message_bytes: usize,
    /// Bytes queued to one peer at which it counts as stalled.
    pub(crate) outbox_bytes: usize,
    /// Bytes queued to one room at which its connections stop reading.
    pub(crate) inbox_bytes: usize,
    /// Log bytes of a live document that start a checkpoint.
    pub(crate) checkpoint_bytes: usize,
    /// Memory that a document may take, in bytes.
    pub(crate) max_document_bytes: usize,
    /// Documents whose deleted content is kept.
    pub(crate) keep_deleted: Patterns,
    /// How fast a connection may send.
    pub(crate) rates: Rates,
    /// Most WebSockets open at once.
    pub(crate) max_connections: usize,
    /// The same, from one address.
    pub(crate) max_connections_per_address: usize,
    /// The same, to one document.
    pub(crate) max_connections_per_document: usize,
    /// Whose word counts on where a connection comes from.
    pub(crate) trusted_proxies: Proxies,
    /// How long the header of a request may take, and how long a connection may be idle between requests.
    pub(crate) header_timeout: Duration,
    /// Most rooms open at once.
    pub(crate) max_rooms: usize,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named by `--config` or `COSCRIBE_CONFIG` cannot be read.
    #[error("cannot read the configuration file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The file is not TOML, has an unknown key or a wrong value; the error says in which line.
    #[error("in the configuration file {}: {}", path.display(), error.to_string().trim_end())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        error: Box<toml::de::Error>,
    },
    /// A text is not TOML, has an unknown key or a wrong value; the error says in which line.
    #[error("in the configuration: {}", .0.to_string().trim_end())]
    Text(Box<toml::de::Error>),
}

impl Config {
    /// The configuration that a file of this text describes: README lists its keys. What it does not say has its default.
    ///
    /// # Errors
    /// If it is not TOML, or has an unknown key or a wrong value.
    pub fn from_toml(text: &str) -> Result<Config, ConfigError> {
        let settings: Settings = toml::from_str(text).map_err(|error| ConfigError::Text(Box::new(error)))?;
        Ok(settings.or_default())
    }
}

impl ServeArgs {
    /// Puts the layers together.
    pub(crate) fn resolve(self) -> Result<Config, ConfigError> {
        resolve(self.config.as_deref(), self.settings)
    }
}

impl Place {
    /// Puts the layers together.
    pub(crate) fn resolve(self) -> Result<Config, ConfigError> {
        let Place { config, data, log, keep_deleted } = self;
        let settings = Settings { data, log, keep_deleted, ..Settings::default() };
        resolve(config.as_deref(), settings)
    }
}

fn resolve(file: Option<&Path>, given: Settings) -> Result<Config, ConfigError> {
    let file = file.map(Settings::read).transpose()?.unwrap_or_default();
    Ok(given.over(file).or_default())
}

impl Settings {
    fn read(path: &Path) -> Result<Settings, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Wrong { path: path.to_owned(), error: Box::new(error) })
    }

    /// These settings where they say something, else the `lower` layer's.
    fn over(self, lower: Settings) -> Settings {
        Settings {
            listen: self.listen.or(lower.listen),
            data: self.data.or(lower.data),
            log: self.log.or(lower.log),
            grace: self.grace.or(lower.grace),
            keep_alive: self.keep_alive.or(lower.keep_alive),
            ping_interval: self.ping_interval.or(lower.ping_interval),
            stall_timeout: self.stall_timeout.or(lower.stall_timeout),
            commit_window: self.commit_window.or(lower.commit_window),
            shutdown_spread: self.shutdown_spread.or(lower.shutdown_spread),
            compression: self.compression.or(lower.compression),
            max_message_bytes: self.max_message_bytes.or(lower.max_message_bytes),
            outbox_bytes: self.outbox_bytes.or(lower.outbox_bytes),
            inbox_bytes: self.inbox_bytes.or(lower.inbox_bytes),
            checkpoint_bytes: self.checkpoint_bytes.or(lower.checkpoint_bytes),
            max_document_bytes: self.max_document_bytes.or(lower.max_document_bytes),
            keep_deleted: self.keep_deleted.or(lower.keep_deleted),
            max_messages_per_second: self.max_messages_per_second.or(lower.max_messages_per_second),
            max_bytes_per_second: self.max_bytes_per_second.or(lower.max_bytes_per_second),
            max_connections: self.max_connections.or(lower.max_connections),
            max_connections_per_address: self
                .max_connections_per_address
                .or(lower.max_connections_per_address),
            max_connections_per_document: self
                .max_connections_per_document
                .or(lower.max_connections_per_document),
            trusted_proxies: self.trusted_proxies.or(lower.trusted_proxies),
            header_timeout: self.header_timeout.or(lower.header_timeout),
            max_rooms: self.max_rooms.or(lower.max_rooms),
        }
    }

    fn or_default(self) -> Config {
        const MIB: usize = 1 << 20;
        Config {
            listen: self.listen.unwrap_or_default(),
            data: self.data.unwrap_or_else(|| PathBuf::from("coscribe-data")),
            log: self.log.unwrap_or(LevelFilter::INFO),
            grace: self.grace.map_or(Duration::from_secs(30), Span::get),
            keep_alive: self.keep_alive.map_or(Duration::from_secs(15), Interval::get),
            ping_interval: self.ping_interval.map_or(Duration::from_secs(25), Interval::get),
            stall_timeout: self.stall_timeout.map_or(Duration::from_mins(5), Interval::get),
            commit_window: self.commit_window.map_or(Duration::from_millis(2), Span::get),
            shutdown_spread: self.shutdown_spread.map_or(Duration::from_secs(2), Span::get),
            compression: self.compression != Some(Switch::Off),
            max_message_bytes: self.max_message_bytes.map_or(32 * MIB, Size::get),
            outbox_bytes: self.outbox_bytes.map_or(MIB, Size::get),
            inbox_bytes: self.inbox_bytes.map_or(32 * MIB, Size::get),
            checkpoint_bytes: self.checkpoint_bytes.map_or(4 * MIB, Size::get),
            max_document_bytes: self.max_document_bytes.map_or(256 * MIB, Size::get),
            keep_deleted: Patterns(self.keep_deleted.unwrap_or_default()),
            rates: Rates {
                messages: self.max_messages_per_second.map_or(2000, NonZeroU32::get),
                bytes: self.max_bytes_per_second.map_or(64 * MIB, Size::get),
            },
            max_connections: self.max_connections.map_or(50_000, NonZeroUsize::get),
            max_connections_per_address: self.max_connections_per_address.map_or(1000, NonZeroUsize::get),
            max_connections_per_document: self.max_connections_per_document.map_or(10_000, NonZeroUsize::get),
            trusted_proxies: self.trusted_proxies.unwrap_or_default(),
            header_timeout: self.header_timeout.map_or(Duration::from_secs(10), Interval::get),
            max_rooms: self.max_rooms.map_or(100_000, NonZeroUsize::get),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coscribe_persistence::DocumentName;

    fn file(text: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_layer_wins_over_the_one_below_it_and_defaults_fill_the_rest() {
        let lower = file("grace = \"1s\"\noutbox_bytes = 4096\nlisten = \"[::1]:80\"").unwrap();
        let upper = file("grace = \"250ms\"").unwrap();
        let config = upper.over(lower).or_default();
        assert_eq!(config.grace, Duration::from_millis(250));
        assert_eq!(config.outbox_bytes, 4096);
        assert_eq!(config.listen.port(), 80);
        assert_eq!(config.max_rooms, 100_000);
    }

    #[test]
    fn deleted_content_is_kept_of_all_documents_or_of_some() {
        #[derive(clap::Parser)]
        struct Flags {
            #[command(flatten)]
            settings: Settings,
        }
        let given = |flags: &str| {
            let flags = ["coscribe"].into_iter().chain(flags.split_whitespace());
            let flags: Flags = clap::Parser::try_parse_from(flags).unwrap();
            flags.settings.over(file("keep_deleted = [\"from/the/file\"]").unwrap()).or_default().keep_deleted
        };
        for (flags, kept, others) in [
            ("", &["from/the/file"][..], &["a"][..]),
            ("--keep-deleted", &["a", "a/b", "from/the/file"], &[]),
            ("--keep-deleted --grace 1s", &["a", "a/b"], &[]),
            ("--keep-deleted a,b/*", &["a", "b/c"], &["b", "from/the/file"]),
            ("--keep-deleted a --keep-deleted b/*", &["a", "b/c"], &["b", "from/the/file"]),
        ] {
            let keeps = |name: &&str| given(flags).match_name(&DocumentName::new(name).unwrap());
            assert!(kept.iter().all(keeps) && !others.iter().any(keeps), "{flags}");
        }
    }

    #[test]
    fn a_wrong_value_in_a_file_names_its_line() {
        for (text, says) in [
            ("grace = \"1s\"\ngrase = \"1s\"", ["line 2", "grase"]),
            ("\n\nping_interval = \"0s\"", ["line 3", "zero"]),
            ("max_message_bytes = \"many\"", ["line 1", "max_message_bytes"]),
            ("listen = \"nowhere\"", ["line 1", "listen"]),
            ("log = \"loud\"", ["line 1", "log"]),
            ("keep_deleted = [\"versions/*\", \"a**\"]", ["line 1", "a**"]),
            ("trusted_proxies = [\"10.0.0.0/8\", \"there\"]", ["line 1", "there"]),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(says.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
