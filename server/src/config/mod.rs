//! The configuration: each value stands once, as a field of [`Config`].
//!
//! A field gives a value its type, which checks it, its default and its help text. Its name is the key in the file, and the
//! flag and the environment variable are named after it: see [`layers`] for which of them wins. [`AccessConfig`] is a table
//! of the file: its key `ask` is the flag `--access-ask`.

mod access;
mod anonymous;
mod keys;
mod layers;
mod listen;
mod mistake;
mod origins;
mod paths;
mod patterns;
mod proxies;
mod secret;
mod url;
mod values;
mod variables;

pub(crate) use access::AccessConfig;
pub(crate) use anonymous::Anonymous;
pub(crate) use keys::KeySource;
pub(crate) use layers::{AccessArgs, ListenArgs, ServeArgs, StoreArgs, is_hidden, variable};
pub(crate) use listen::{Listen, in_order};
pub use mistake::Mistake;
use origins::{Origin, is_same, origin_of};
use paths::SocketPath;
pub(crate) use paths::shown;
pub(crate) use patterns::Pattern;
pub(crate) use proxies::{Encrypted, Proxies, is_local, network_of};
pub(crate) use secret::Secret;
pub(crate) use url::Url;
pub(crate) use values::{Interval, Memory, Share, Size, Span, StoredSize, Switch, choice, time, trimmed};
pub(crate) use variables::Unknown;

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use axum::http::HeaderMap;
use clap::{Args, Command};
use coscribe_persistence::DocumentName;
use serde::Deserialize;
use tracing_subscriber::filter::LevelFilter;

use crate::budget::memory as machine_memory;
use crate::limits::LEAST_MEMORY_BYTES;
use crate::observe::logs::LogFormat;

/// The configuration of a server.
#[derive(Args, Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address or host name, and the port, to listen on. A host name stands for all its addresses; port 0 takes a free
    /// port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1234")]
    pub(crate) listen: Listen,
    /// The address and port of a second listener that alone serves `/metrics` and the API. It speaks no TLS, so keep it on a
    /// private network
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) admin_listen: Option<Listen>,
    /// The TLS certificate (PEM), followed by those of its issuers. It is read again when it changes
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM, not encrypted)
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The directory that holds the documents. It is created if it is missing
    #[arg(long, value_name = "DIR", default_value = "./coscribe-data")]
    pub(crate) data: PathBuf,
    /// How much is logged to stderr: off, error, warn, info or debug. Document content never is
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    #[arg(value_parser = values::level)]
    #[serde(deserialize_with = "values::level_in_file")]
    pub(crate) log: LevelFilter,
    /// The format of log lines: text, for people, or json, one object per line
    #[arg(long, value_name = "text|json", default_value = "text", hide_possible_values = true)]
    pub(crate) log_format: LogFormat,
    /// The OpenTelemetry collector that traces and logs are exported to, with OTLP over HTTP: `http://localhost:4318`
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub(crate) otlp_endpoint: Option<Url>,
    /// Headers for the collector, such as its API key: `name=value,name=value`
    #[arg(long, value_name = "HEADERS", hide_env_values = true)]
    pub(crate) otlp_headers: Option<Secret>,
    /// The share of connections that are traced, from 0 to 1. A request that names a trace (`traceparent`) is traced if that
    /// trace is
    #[arg(long, value_name = "SHARE", default_value = "0.01")]
    pub(crate) otlp_sample: Share,
    /// How long a document stays in memory after its last editor left
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) grace: Span,
    /// How often an idle connection gets an empty awareness message. Yjs clients give up after 30 s of silence
    #[arg(long, value_name = "TIME", default_value = "15s")]
    pub(crate) keep_alive: Interval,
    /// How often WebSocket pings are sent. A peer that is silent for two intervals is closed
    #[arg(long, value_name = "TIME", default_value = "25s")]
    pub(crate) ping_interval: Interval,
    /// A peer that accepts no byte for this long is closed
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub(crate) stall_timeout: Interval,
    /// Updates that arrive within this time share one sync to disk. Where syncs are slow it grows, up to 20 ms
    #[arg(long, value_name = "TIME", default_value = "2ms")]
    pub(crate) commit_window: Span,
    /// The time over which a shutdown closes connections, one after another
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub(crate) shutdown_spread: Span,
    /// Whether messages may be compressed in both directions, for clients that ask for it: on or off
    #[arg(long, value_name = "on|off", default_value = "on", hide_possible_values = true)]
    pub(crate) compression: Switch,
    /// The largest message that is read at once, before and after decompression. Larger messages, up to the size of a
    /// document, take turns
    #[arg(long, value_name = "SIZE", default_value = "32MiB")]
    pub(crate) max_message_bytes: StoredSize,
    /// Memory that may be held for connections and documents, beside what the program itself takes: 8 MiB at least, half of
    /// the memory of the machine or container if it is not given. Where it is short, those that hold most are disconnected
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Memory>,
    /// Bytes that the data directory may take before no new documents are taken in. Those that exist go on
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_disk: Option<Size>,
    /// Bytes that are to be free in the file system of the data directory. With less, no new documents are taken in, and those
    /// that exist go on
    #[arg(long, value_name = "SIZE", default_value = "128MiB")]
    pub(crate) min_free_disk: Size,
    /// Bytes that may wait for one slow reader. Beyond that the reader lags, and is synced again later
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    pub(crate) outbox_bytes: Size,
    /// Bytes that may wait for one document before its editors are read more slowly
    #[arg(long, value_name = "SIZE", default_value = "32MiB")]
    pub(crate) inbox_bytes: Size,
    /// An open document is checkpointed when its log is this large, and half as large as the document
    #[arg(long, value_name = "SIZE", default_value = "4MiB")]
    pub(crate) checkpoint_bytes: Size,
    /// The largest size of a document in memory, which is about its encoded size
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub(crate) max_document_bytes: StoredSize,
    /// Documents that keep deleted content, for editors that show earlier versions (`gc: false`): all if no names follow, or
    /// those with these names: `notes`, `team/*` (directly below `team`), `team/**` (everything below it)
    #[arg(long, value_name = "PATTERN,…")]
    #[arg(num_args = 0..=1, default_missing_value = "**", value_delimiter = ',')]
    #[arg(value_parser = values::trimmed::<Pattern>)]
    #[serde(deserialize_with = "values::one_or_more")]
    pub(crate) keep_deleted: Vec<Pattern>,
    /// Paths that Hocuspocus providers connect to, besides `/`: `/collaboration`
    #[arg(long, value_name = "PATH,…", value_delimiter = ',')]
    #[arg(value_parser = values::trimmed::<SocketPath>)]
    #[serde(deserialize_with = "values::one_or_more")]
    pub(crate) hocuspocus_path: Vec<SocketPath>,
    /// Messages that one connection may send per second, on average
    #[arg(long, value_name = "N", default_value = "2000")]
    #[arg(value_parser = values::count::<NonZeroU32>)]
    #[serde(deserialize_with = "values::count_in_file")]
    pub(crate) max_messages_per_second: NonZeroU32,
    /// Bytes that one connection may send per second, on average
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    pub(crate) max_bytes_per_second: Size,
    /// The most connections that may be open
    #[arg(long, value_name = "N", default_value = "50000")]
    #[arg(value_parser = values::count::<NonZeroUsize>)]
    #[serde(deserialize_with = "values::count_in_file")]
    pub(crate) max_connections: NonZeroUsize,
    /// The most connections from one address, or from one /64 network of IPv6
    #[arg(long, value_name = "N", default_value = "1000")]
    #[arg(value_parser = values::count::<NonZeroUsize>)]
    #[serde(deserialize_with = "values::count_in_file")]
    pub(crate) max_connections_per_address: NonZeroUsize,
    /// The most connections to one document
    #[arg(long, value_name = "N", default_value = "10000")]
    #[arg(value_parser = values::count::<NonZeroUsize>)]
    #[serde(deserialize_with = "values::count_in_file")]
    pub(crate) max_connections_per_document: NonZeroUsize,
    /// Proxies whose `X-Forwarded-For` is believed: addresses and networks, or none. The client address is the last entry
    /// that is not a trusted proxy
    #[arg(long, value_name = "NETWORKS", default_value = "127.0.0.0/8,::1")]
    pub(crate) trusted_proxies: Proxies,
    /// The key in y-sweet's connection string, `ys://KEY@…/y-sweet`: at least 16 random letters, digits and `-._~`. Without a
    /// key, `/y-sweet` serves this machine only
    #[arg(long, value_name = "KEY", hide_env_values = true)]
    pub(crate) y_sweet_key: Option<Secret>,
    /// What clients without a token may do: none, read or write. If nothing else is set about access, the default is write
    /// for this machine and none for others
    #[arg(long, value_name = "none|read|write", hide_possible_values = true)]
    pub(crate) anonymous: Option<Anonymous>,
    /// Origins, besides the server's own, whose pages may use it from a browser: `https://app.example.com`,
    /// `https://*.example.com`, `*` for all
    #[arg(long, value_name = "ORIGIN,…", value_delimiter = ',')]
    #[arg(value_parser = values::trimmed::<Origin>)]
    #[serde(deserialize_with = "values::one_or_more")]
    pub(crate) origins: Vec<Origin>,
    /// How long a client may take to send the header of a request, and how long it may be idle between requests
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) header_timeout: Interval,
    /// The most documents that may be open
    #[arg(long, value_name = "N", default_value = "100000")]
    #[arg(value_parser = values::count::<NonZeroUsize>)]
    #[serde(deserialize_with = "values::count_in_file")]
    pub(crate) max_rooms: NonZeroUsize,
    /// Where grants come from.
    #[command(flatten)]
    pub(crate) access: AccessConfig,
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
    #[error("in the configuration file {}, {mistake}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        mistake: Mistake,
    },
    /// A text is not TOML, has an unknown key or a wrong value; the error says in which line.
    #[error("in the configuration, {0}")]
    Text(Mistake),
}

/// How much a connection may send in a second.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Messages, of which a frame may have many; pings and pongs count as well.
    pub(crate) messages: u32,
    /// Bytes, after decompression.
    pub(crate) bytes: usize,
}

impl Config {
    /// The configuration that a file of this text describes: docs/configuration.md lists its keys. Every key that is missing
    /// has its default.
    ///
    /// # Errors
    /// If the text is not TOML, or has an unknown key or a wrong value.
    pub fn from_toml(text: &str) -> Result<Config, ConfigError> {
        parse(text).map_err(ConfigError::Text)
    }

    /// How much a connection may send in a second.
    pub(crate) fn rates(&self) -> Rates {
        Rates { messages: self.max_messages_per_second.get(), bytes: self.max_bytes_per_second.get() }
    }

    /// How many bytes may be held for others.
    pub(crate) fn memory(&self) -> usize {
        self.memory.map_or_else(|| (machine_memory() / 2).max(LEAST_MEMORY_BYTES), Memory::get)
    }

    /// Whether Hocuspocus' providers connect on this path.
    pub(crate) fn is_for_hocuspocus(&self, path: &str) -> bool {
        path == "/" || self.hocuspocus_path.iter().any(|named| named.is_of(path))
    }

    /// Whether the page may use this server that makes a browser ask, if one does: it is the server's own, or of one of the
    /// configured origins, or all are on this machine.
    pub(crate) fn lets_in_origin(&self, from: IpAddr, is_encrypted: bool, headers: &HeaderMap) -> bool {
        let Some(origin) = origin_of(headers) else { return true };
        let used = self.trusted_proxies.address_used(from, is_encrypted, headers);
        is_local(from, headers)
            || used.is_some_and(|(used, is_encrypted)| is_same(origin, &used, is_encrypted))
            || self.origins.iter().any(|pattern| pattern.matches(origin))
    }

    /// Whether a document keeps deleted content. O(patterns and their length, and the name's).
    pub(crate) fn keeps_deleted(&self, name: &DocumentName) -> bool {
        self.keep_deleted.iter().any(|pattern| pattern.matches(name))
    }
}

impl Default for Config {
    /// The defaults of all values.
    fn default() -> Config {
        defaults()
    }
}

fn parse(text: &str) -> Result<Config, Mistake> {
    toml::from_str(text).map_err(|error| Mistake::new(&error, text, is_key))
}

/// Whether a file may have this key, at its top or in the table `[access]`.
fn is_key(key: &str) -> bool {
    let command = Config::augment_args(Command::new("coscribe"));
    let mut ids = command.get_arguments().map(|arg| arg.get_id().as_str());
    ids.any(|id| id == key || id.strip_prefix("access_") == Some(key))
}

fn defaults<T: Args>() -> T {
    let nothing_given = T::augment_args(Command::new("coscribe")).try_get_matches_from(["coscribe"]);
    let defaults = nothing_given.and_then(|matches| T::from_arg_matches(&matches));
    defaults.expect("defaults are sound values, and all but lists have one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_in_a_file_names_its_line() {
        for (text, says) in [
            ("grace = \"1s\"\ngrase = \"1s\"", ["line 2", "grase"]),
            ("\n\nping_interval = \"0s\"", ["line 3", "zero"]),
            ("max_message_bytes = \"many\"", ["line 1", "max_message_bytes"]),
            ("max_document_bytes = \"1GiB\"", ["line 1", "256MiB at most"]),
            ("listen = \"nowhere\"", ["line 1", "listen"]),
            ("log = \"loud\"", ["line 1", "log"]),
            ("log_format = \"xml\"", ["line 1", "log_format"]),
            ("otlp_endpoint = \"localhost:4318\"", ["line 1", "http"]),
            ("otlp_sample = 1.5", ["line 1", "from 0 to 1"]),
            ("keep_deleted = [\"versions/*\", \"a**\"]", ["line 1", "a**"]),
            ("hocuspocus_path = [\"collab\"]", ["line 1", "slash"]),
            ("trusted_proxies = [\"10.0.0.0/8\", \"there\"]", ["line 1", "there"]),
            ("[access]\naks = \"https://app.example\"", ["line 2", "aks"]),
            ("[access]\nask = \"app.example\"", ["line 2", "ask"]),
            ("[access]\nkeys = [\"=\"]", ["line 2", "keys"]),
            ("access_ask = \"https://app.example\"", ["line 1", "access_ask"]),
        ] {
            let error = Config::from_toml(text).unwrap_err().to_string();
            assert!(says.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn a_mistake_says_what_to_write() {
        for (text, says) in [
            ("secret = \"s\"", "it belongs in the table [access]"),
            ("[access]\nanonymous = \"read\"", "it belongs at the top of the file"),
            ("[access]\nask-secret = \"s\"", "did you mean ask_secret?"),
            ("colour = 1", "there is no key colour here"),
            ("anonymous = true", "write \"none\", \"read\" or \"write\""),
            ("[access]\nallow_http = true", "write \"on\" or \"off\""),
            ("[access]\nleeway = 10", "write \"10s\", with its unit"),
            ("ping_interval = 10", "write \"10s\", with its unit"),
            ("[access]\nissuer = 7", "write a text in quotes, or a list of them"),
            ("grace = true", "a time is written like"),
            ("grace = \"30\"", "the unit is missing: 30s"),
            ("outbox_bytes = true", "a size looks like"),
            ("outbox_bytes = -1", "it must be larger than zero"),
            ("memory = \"1MiB\"", "line 1: memory: a server needs 8MiB at least"),
            ("memory = 8388607", "a server needs 8MiB at least"),
            ("max_rooms = 0", "it takes a whole number from 1 on"),
            ("max_rooms = 1.5", "it takes a whole number from 1 on"),
            ("max_messages_per_second = 99999999999", "it is too large"),
            ("otlp_sample = true", "it takes a number from 0 to 1"),
            ("log = \"verbose\"", "it is off, error, warn, info or debug"),
            ("listen = 4502", "write a text in quotes"),
            ("data = 5", "write a text in quotes"),
            ("origins = [5]", "write a text in quotes"),
            ("trusted_proxies = 5", "write a text in quotes, or a list of them"),
            ("access = \"x\"", "write [access] on a line of its own"),
            ("grace = 1s", "a text stands in quotes"),
            ("listen: \"x\"", "a line is a key, = and a value"),
            ("listen = \"x", "the closing quote is missing"),
            ("max_rom = 5", "did you mean max_rooms?"),
        ] {
            let error = Config::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_number_may_be_written_as_one_or_in_quotes() {
        for text in ["outbox_bytes = 4096\nmax_rooms = 7", "outbox_bytes = \"4KiB\"\nmax_rooms = \"7\""] {
            let config = Config::from_toml(text).unwrap();
            assert_eq!((config.outbox_bytes.get(), config.max_rooms.get()), (4096, 7));
        }
    }

    #[test]
    fn a_list_of_one_may_be_a_string() {
        let config = Config::from_toml(
            "origins = \"https://a.example\"\n[access]\nkeys = \"a.pem\"\nissuer = \"b\"\nask_cookies = [\"c\"]",
        );
        let config = config.unwrap();
        assert_eq!((config.origins.len(), config.access.keys.len()), (1, 1));
        assert_eq!(
            (config.access.issuer, config.access.ask_cookies),
            (vec!["b".to_owned()], vec!["c".to_owned()])
        );
        assert!(Config::from_toml("origins = \"nowhere\"").is_err());
        let proxies = |text| Config::from_toml(text).unwrap().trusted_proxies;
        let two = proxies("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]");
        assert_eq!(proxies("trusted_proxies = \"10.0.0.0/8, ::1\""), two);
    }

    #[test]
    fn no_value_of_a_file_is_shown_where_it_is_wrong() {
        for (text, says) in [
            ("[access]\nsecrt = \"56303bca\"", "line 2: there is no key secrt here; did you mean secret?"),
            (
                "access_secret = \"56303bca\"",
                "there is no key access_secret here; it is secret in the table [access]",
            ),
            ("[access]\n\naccess_secret = \"56303bca\"", "it is secret in the table [access]"),
            ("[access]\nsecret = \"56303bca", "line 2: secret: "),
            ("[access]\nsecret = 56303bca", "line 2: "),
            ("[access]\nsecret = 56303", "line 2: secret: "),
            ("[access]\nsecret = [\"56303bca\"]", "line 2: secret: "),
            ("[access]\nask = \"htps://app.example/?key=56303bca\"", "line 2: ask: "),
            ("[access]\nallow_http = \"56303bca\"", "line 2: allow_http: "),
            ("[access]\nsecret = \"\"\"\n56303bca=\n\\x", "line 4: "),
            ("[access]\nsecret 56303bca", "line 2: "),
            ("y_sweet_key = \"56303bca\" x", "line 1: y_sweet_key: "),
            ("access = \"56303bca\"", "line 1: "),
            ("log = \"56303bca\"", "line 1: log: "),
            ("log_format = \"56303bca\"", "line 1: log_format: write \"text\" or \"json\""),
            ("[access]\nkeys = [\"=56303bca\"]", "line 2: keys: "),
        ] {
            let error = Config::from_toml(text).unwrap_err();
            let (shown, debug) = (error.to_string(), format!("{error:?}"));
            assert!(shown.contains(says), "{shown}");
            assert!(!shown.contains("56303"), "{shown}");
            assert!(!debug.contains("56303"), "{debug}");
        }
    }
}
