//! What the server says on stdout when it listens: addresses, and URLs for editors.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::config::Listen;

/// Addresses for documentation (RFC 5737 and RFC 3849): nobody has them, and the way to them is the way to everybody.
const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// Where a server listens.
pub(crate) struct Announcement<'a> {
    /// What was asked for.
    pub(crate) listen: &'a Listen,
    /// What came of it.
    pub(crate) addresses: &'a [SocketAddr],
    /// Whether TLS is spoken there.
    pub(crate) is_encrypted: bool,
    /// The addresses of the second listener.
    pub(crate) admin_addresses: &'a [SocketAddr],
}

impl Announcement<'_> {
    /// The lines. Scripts wait for the first. `outside` is this machine's address for others.
    pub(crate) fn text(&self, outside: Option<IpAddr>) -> String {
        let mut text = self.listening();
        let Some(first) = self.addresses.first() else { return text };
        let (s, port) = (self.s(), first.port());
        let host = self.host(first.ip());
        // Writing to a string never fails.
        let _ = write!(
            text,
            "editors connect to ws{s}://{host}:{port}/<document>, for example\n    \
             new WebsocketProvider('ws{s}://{host}:{port}', 'my-document', ydoc)\n"
        );
        if first.ip().is_unspecified()
            && let Some(outside) = outside
        {
            let outside = SocketAddr::new(outside, port);
            let _ = writeln!(text, "editors on other machines connect to ws{s}://{outside}/<document>");
        }
        for address in self.admin_addresses {
            let _ = writeln!(text, "metrics and the API are on http://{address}");
        }
        text
    }

    /// The lines that say where it listens.
    pub(crate) fn listening(&self) -> String {
        let line = |address| format!("listening on http{}://{address}\n", self.s());
        self.addresses.iter().map(line).collect()
    }

    fn s(&self) -> &'static str {
        if self.is_encrypted { "s" } else { "" }
    }

    /// A host that an editor on this machine can connect to: a certificate is for the name.
    fn host(&self, address: IpAddr) -> String {
        match address {
            _ if self.listen.is_name() => self.listen.host().to_owned(),
            address if address.is_unspecified() => "localhost".to_owned(),
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }
    }
}

/// The address that other machines have for this one; `None` without a network. Nothing is sent.
pub(crate) fn outside() -> Option<IpAddr> {
    ELSEWHERE.into_iter().find_map(|elsewhere| {
        let any: IpAddr =
            if elsewhere.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((elsewhere, 9)).ok()?;
        let address = socket.local_addr().ok()?.ip();
        (!address.is_unspecified() && !address.is_loopback()).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The URL in the line that begins like this.
    fn url(listen: &str, address: &str, is_encrypted: bool, line: &str) -> Option<String> {
        let (listen, addresses) = (listen.parse().unwrap(), [address.parse().unwrap()]);
        let admin_addresses = &["127.0.0.1:9000".parse().unwrap()];
        let announcement =
            Announcement { listen: &listen, addresses: &addresses, is_encrypted, admin_addresses };
        let text = announcement.text(Some(IpAddr::from([192, 168, 1, 7])));
        let url = text.lines().find_map(|found| found.strip_prefix(line));
        url.map(|url| {
            url.split('/').nth(2).map_or(url, |host| &url[..url.find(host).unwrap() + host.len()]).to_owned()
        })
    }

    #[test]
    fn the_first_line_is_where_it_listens_and_the_others_are_of_use() {
        for (listen, address, is_encrypted, listening, editors, others) in [
            ("127.0.0.1:0", "127.0.0.1:7", false, "http://127.0.0.1:7", "ws://127.0.0.1:7", None),
            ("[::1]:7", "[::1]:7", false, "http://[::1]:7", "ws://[::1]:7", None),
            (
                "0.0.0.0:7",
                "0.0.0.0:7",
                false,
                "http://0.0.0.0:7",
                "ws://localhost:7",
                Some("ws://192.168.1.7:7"),
            ),
            ("[::]:7", "[::]:7", true, "https://[::]:7", "wss://localhost:7", Some("wss://192.168.1.7:7")),
            ("docs.example:7", "10.0.0.1:7", true, "https://10.0.0.1:7", "wss://docs.example:7", None),
        ] {
            let url = |line| url(listen, address, is_encrypted, line);
            assert_eq!(url("listening on ").as_deref(), Some(listening));
            assert_eq!(url("editors connect to ").as_deref(), Some(editors));
            assert_eq!(url("editors on other machines connect to ").as_deref(), others);
            assert_eq!(url("metrics and the API are on ").as_deref(), Some("http://127.0.0.1:9000"));
        }
    }
}
