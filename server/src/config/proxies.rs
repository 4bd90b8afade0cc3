//! Where a request comes from when there are proxies in between, and which address its client has used. Only trusted proxies
//! are believed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::values::one_or_more;

/// Where each proxy appends the address that it was connected from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Where a proxy says which host its client has asked for, and how.
const FORWARDED_HOST: &str = "x-forwarded-host";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Where proxies say that there is one, beside headers that begin with `x-forwarded-`.
const FORWARDED: [HeaderName; 2] = [header::FORWARDED, header::VIA];

/// Whether the connection of a request is one of TLS: an extension of each request.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Encrypted(pub(crate) bool);

/// Where some proxies name their client.
const FORWARDED_BY_SOME: [&str; 6] = [
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "cf-connecting-ip",
    "true-client-ip",
    "fly-client-ip",
];

/// Proxies that are trusted to name their clients.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// The address of this server as the client of a request has used it: host and port, and whether it is encrypted on the
    /// way, as the connection `is_encrypted` or a trusted proxy says. `None` if the request does not say it.
    pub(crate) fn address_used(
        &self,
        from: IpAddr,
        is_encrypted: bool,
        headers: &HeaderMap,
    ) -> Option<(Authority, bool)> {
        let first = |name: &str| headers.get(name)?.to_str().ok()?.split(',').next().map(str::trim);
        let forwarded = |name: &str| first(name).filter(|_| self.trusts(from));
        let host = forwarded(FORWARDED_HOST).or_else(|| first(header::HOST.as_str()))?;
        let is_encrypted =
            forwarded(FORWARDED_PROTO).map_or(is_encrypted, |proto| proto.eq_ignore_ascii_case("https"));
        let authority: Authority = host.parse().ok()?;
        // Somebody's name and password are no part of an address.
        (!host.contains('@')).then_some((authority, is_encrypted))
    }

    /// Whether this is one of them.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The network of a customer: one has a whole /64 of IPv6 addresses.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Whether a request comes from this machine, for all that can be seen: no proxy has passed it on, and neither its client nor
/// the page that makes the client ask has used another name for this machine, as DNS rebinding does.
pub(crate) fn is_local(from: IpAddr, headers: &HeaderMap) -> bool {
    let is_forwarded = |name: &HeaderName| {
        let begins = ["x-forwarded", "x-original-"].iter().any(|prefix| name.as_str().starts_with(prefix));
        begins || FORWARDED.contains(name) || FORWARDED_BY_SOME.contains(&name.as_str())
    };
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_single = |name| headers.get_all(name).iter().count() <= 1;
    let host = text(header::HOST).filter(|host| !host.contains('@')).and_then(|host| host.parse().ok());
    let origin = text(header::ORIGIN).map(|origin| {
        let origin: Uri = origin.parse().ok()?;
        let is_page =
            matches!(origin.scheme_str(), Some("http" | "https")) && !origin.to_string().contains('@');
        origin.into_parts().authority.filter(|_| is_page)
    });
    from.to_canonical().is_loopback()
        && [header::HOST, header::ORIGIN].into_iter().all(is_single)
        && !headers.keys().any(is_forwarded)
        && [Some(host), origin].into_iter().flatten().all(|used| used.as_ref().is_some_and(is_loopback))
}

fn is_loopback(authority: &Authority) -> bool {
    authority.host() == "localhost" || address(authority.host()).is_some_and(|address| address.is_loopback())
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

impl<'de> Deserialize<'de> for Proxies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Proxies, D::Error> {
        let texts: Vec<String> = one_or_more(deserializer)?;
        let lists = texts.iter().map(|text| text.parse::<Proxies>());
        let lists: Vec<_> = lists.collect::<Result<_, _>>().map_err(D::Error::custom)?;
        Ok(Proxies(lists.into_iter().flat_map(|list| list.0).collect()))
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

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        lines.iter().map(line).collect()
    }

    #[test]
    fn a_request_is_local_only_if_nothing_says_otherwise() {
        let host = ("host", "127.0.0.1:1234");
        for (from, lines, expected) in [
            ("127.0.0.1", &[host][..], true),
            ("::1", &[("host", "[::1]:1234")], true),
            ("::ffff:127.0.0.1", &[("host", "localhost")], true),
            ("127.0.0.1", &[host, ("origin", "http://localhost:5173")], true),
            ("10.0.0.1", &[host], false),
            ("127.0.0.1", &[], false),
            ("127.0.0.1", &[("host", "rebound.example")], false),
            ("127.0.0.1", &[("host", "localhost.example")], false),
            ("127.0.0.1", &[host, ("origin", "https://elsewhere.example")], false),
            ("127.0.0.1", &[host, ("origin", "null")], false),
            ("127.0.0.1", &[host, ("x-forwarded-for", "127.0.0.1")], false),
            ("127.0.0.1", &[host, ("x-real-ip", "127.0.0.1")], false),
            ("127.0.0.1", &[host, ("forwarded", "for=127.0.0.1")], false),
            ("127.0.0.1", &[host, ("cf-connecting-ip", "192.0.2.1")], false),
            ("127.0.0.1", &[host, ("x-forwarded", "for=192.0.2.1")], false),
            ("127.0.0.1", &[("host", "somebody@localhost")], false),
            ("127.0.0.1", &[host, ("origin", "http://docs.example@localhost")], false),
            ("127.0.0.1", &[host, ("origin", "chrome-extension://localhost")], false),
        ] {
            assert_eq!(is_local(from.parse().unwrap(), &headers(lines)), expected, "{from} {lines:?}");
        }
    }

    fn address_used(
        from: &str,
        is_encrypted: bool,
        lines: &[(&'static str, &'static str)],
    ) -> Option<(String, bool)> {
        let proxies = Config::default().trusted_proxies;
        let used = proxies.address_used(from.parse().unwrap(), is_encrypted, &headers(lines));
        used.map(|(host, is_encrypted)| (host.to_string(), is_encrypted))
    }

    #[test]
    fn the_address_that_a_client_has_used_is_told_by_its_host_or_by_a_trusted_proxy() {
        let forwarded =
            [("host", "inside:1234"), ("x-forwarded-host", "docs.example"), ("x-forwarded-proto", "https")];
        for (from, lines, expected) in [
            ("10.0.0.1", &[("host", "docs.example:8080")][..], Some(("docs.example:8080", false))),
            ("127.0.0.1", &forwarded, Some(("docs.example", true))),
            ("10.0.0.1", &forwarded, Some(("inside:1234", false))),
            ("127.0.0.1", &forwarded[..1], Some(("inside:1234", false))),
            ("127.0.0.1", &[("host", "somebody@docs.example")], None),
            ("127.0.0.1", &[("host", "/")], None),
            ("127.0.0.1", &[], None),
        ] {
            let expected = expected.map(|(host, is_encrypted): (&str, bool)| (host.to_owned(), is_encrypted));
            assert_eq!(address_used(from, false, lines), expected, "{from} {lines:?}");
        }
    }

    #[test]
    fn an_encrypted_connection_is_that_of_the_client_unless_a_trusted_proxy_says_otherwise() {
        let host = ("host", "docs.example");
        let forwarded = [host, ("x-forwarded-proto", "http")];
        for (from, lines, is_encrypted) in [
            ("10.0.0.1", &[host][..], true),
            ("10.0.0.1", &forwarded, true),
            ("127.0.0.1", &forwarded, false),
        ] {
            let expected = Some(("docs.example".to_owned(), is_encrypted));
            assert_eq!(address_used(from, true, lines), expected, "{from} {lines:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_named() {
        assert!("10.0.0.0/8,there".parse::<Proxies>().unwrap_err().contains("there"));
        assert!("".parse::<Proxies>().is_err());
    }
}
