//! Where to listen: an address or a name, and a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

/// Where to listen, as it was written. A name stands for all its addresses; it is resolved when the server starts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Listen {
    host: String,
    port: u16,
}

impl Listen {
    /// The host, an address without brackets or a name.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the host is a name, and not an address.
    pub(crate) fn is_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }

    /// The port; 0 takes any free one.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Listen { host: address.ip().to_string(), port: address.port() });
        }
        if let Some(rest) =
            ["https://", "http://", "wss://", "ws://"].iter().find_map(|s| text.strip_prefix(s))
        {
            return Err(format!("it is not a URL: write {}", rest.trim_end_matches('/')));
        }
        let port_alone = text.strip_prefix(':').unwrap_or(text);
        if !port_alone.is_empty() && port_alone.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!(
                "the address before the port is missing: 127.0.0.1:{port_alone} or localhost:{port_alone} for this \
                 machine only, 0.0.0.0:{port_alone} for all networks, [::]:{port_alone} for these and IPv6"
            ));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(format!("the port is missing: {text}:1234, for example"));
        };
        let Ok(port) = port.parse() else {
            return Err(format!("\"{port}\" is not a port, which is a number from 0 to 65535"));
        };
        if host.is_empty() || !host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
            return Err(format!(
                "\"{host}\" is neither an address nor a name (IPv6 is written in brackets, [::1]:{port})"
            ));
        }
        Ok(Listen { host: host.to_owned(), port })
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Listen, String> {
        text.parse()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse() {
            Ok(address) => SocketAddr::new(address, self.port).fmt(f),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Sorts IPv4 first: the first address is shown to people.
pub(crate) fn in_order(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_by_key(|address| matches!(address.ip(), IpAddr::V6(_)));
    addresses.dedup();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_shown_as_they_are_written() {
        for text in ["127.0.0.1:1234", "[::1]:0", "0.0.0.0:80", "localhost:1234", "docs.example.org:8080"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        for (text, says) in [
            (":1234", "0.0.0.0:1234"),
            ("1234", "localhost:1234"),
            (":", "is not a port"),
            ("localhost", "localhost:1234"),
            ("localhost:http", "\"http\" is not a port"),
            ("localhost:65536", "65535"),
            ("::1:1234", "[::1]:1234"),
            ("http://localhost:1234/", "write localhost:1234"),
            ("", "the port is missing"),
            (":http", "is not a port"),
        ] {
            let error = text.parse::<Listen>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
