//! Where a connection comes from when there are proxies in between. Only trusted proxies are believed.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;
use ipnet::IpNet;
use serde::Deserialize;

/// Where each proxy appends the address that it was connected from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Proxies that are trusted to name their clients.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    /// The address of the client behind a connection: the last hop that is not one of these proxies. `None` if a trusted proxy
    /// does not say it.
    pub(crate) fn client(&self, from: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let mut hop = from.to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        // A line that cannot be read ends the search like a hop that cannot.
        let mut before = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        while self.trusts(hop) {
            hop = address(before.next()?.trim())?.to_canonical();
        }
        Some(hop)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An address as proxies write it: some add the port.
fn address(text: &str) -> Option<IpAddr> {
    let without_brackets = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = without_brackets.unwrap_or(text).parse().ok();
    address.or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

impl FromStr for Proxies {
    type Err = String;

    /// Addresses and networks, separated by commas; `none` for none.
    fn from_str(text: &str) -> Result<Proxies, String> {
        if text.trim() == "none" {
            return Ok(Proxies(Vec::new()));
        }
        text.split(',').map(network).collect::<Result<_, _>>().map(Proxies)
    }
}

impl TryFrom<Vec<String>> for Proxies {
    type Error = String;

    fn try_from(list: Vec<String>) -> Result<Proxies, String> {
        list.iter().map(|text| network(text)).collect::<Result<_, _>>().map(Proxies)
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let network = text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| address.into()));
    network.ok_or_else(|| {
        format!("{text:?} is no address and no network (they look like 10.0.0.7 or 10.0.0.0/8)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use axum::http::HeaderValue;

    fn client(trusted: &str, from: &str, lines: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let proxies: Proxies = trusted.parse().unwrap();
        proxies.client(from.parse().unwrap(), &headers).map(|address| address.to_string())
    }

    #[test]
    fn a_header_is_believed_only_as_far_as_trusted_proxies_have_written_it() {
        let trusted = "10.0.0.0/8, 192.0.2.7, 2001:db8::/32";
        for (from, lines, expected) in [
            ("203.0.113.9", &[][..], Some("203.0.113.9")),
            ("203.0.113.9", &["198.51.100.1"], Some("203.0.113.9")),
            ("10.1.1.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("192.0.2.7", &["198.51.100.66, 198.51.100.1"], Some("198.51.100.1")),
            ("192.0.2.8", &["198.51.100.1"], Some("192.0.2.8")),
            ("10.1.1.1", &["198.51.100.66, 198.51.100.1, 10.2.2.2"], Some("198.51.100.1")),
            ("10.1.1.1", &["198.51.100.66", "198.51.100.1", "10.2.2.2,10.3.3.3"], Some("198.51.100.1")),
            ("10.1.1.1", &["198.51.100.1:5555"], Some("198.51.100.1")),
            ("2001:db8::5", &["[2001:db9::1]:443"], Some("2001:db9::1")),
            ("2001:db8::5", &["[2001:db9::1]"], Some("2001:db9::1")),
            ("::ffff:10.1.1.1", &["::ffff:198.51.100.1"], Some("198.51.100.1")),
            ("10.1.1.1", &[], None),
            ("10.1.1.1", &["10.2.2.2"], None),
            ("10.1.1.1", &["198.51.100.1, unknown"], None),
            ("10.1.1.1", &["198.51.100.1,"], None),
        ] {
            assert_eq!(client(trusted, from, lines).as_deref(), expected, "{from} {lines:?}");
        }
        assert_eq!(client("none", "127.0.0.1", &["198.51.100.1"]).as_deref(), Some("127.0.0.1"));
    }

    #[test]
    fn only_what_runs_on_the_same_machine_is_trusted_by_default() {
        let proxies = Config::default().trusted_proxies;
        for (from, trusted) in [("127.0.0.1", true), ("127.8.8.8", true), ("::1", true), ("10.0.0.1", false)]
        {
            assert_eq!(proxies.trusts(from.parse().unwrap()), trusted, "{from}");
        }
    }

    #[test]
    fn what_is_no_network_is_named() {
        assert!("10.0.0.0/8,there".parse::<Proxies>().unwrap_err().contains("there"));
        assert!("".parse::<Proxies>().is_err());
    }
}
