//! Negotiation of permessage-deflate: the offers of a client, and the answer (RFC 7692, section 7; the grammar of the header is
//! in RFC 6455, section 9.1).
//!
//! Each message from the server is compressed by itself, so that it is compressed once for all peers. Browsers do the same, so
//! that a connection keeps no window between messages. Other clients may refer to their earlier messages, unless they say
//! otherwise: some refuse to do without, and their offers look like those of browsers.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header};

use crate::limits;

/// The only extension that is spoken here.
const NAME: &str = "permessage-deflate";

/// Its parameters (RFC 7692, section 7.1): whether a side begins each message with an empty window, and how large that is.
const SERVER_BY_ITSELF: &str = "server_no_context_takeover";
const CLIENT_BY_ITSELF: &str = "client_no_context_takeover";
const SERVER_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_WINDOW_BITS: &str = "client_max_window_bits";

/// Base-2 logarithm of a window for compression: 9 to 15.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct WindowBits(pub(crate) u8);

impl WindowBits {
    /// The window of every client that does not ask for less.
    pub(crate) const MAX: WindowBits = WindowBits(15);

    /// The number itself, 9 to 15.
    pub(crate) fn get(self) -> u8 {
        self.0
    }
}

/// The compression that was agreed on with a client.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The window that we compress with, if the client asked for one.
    server_max_window_bits: Option<WindowBits>,
    client: Client,
}

/// How a client compresses.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Client {
    /// Each message by itself.
    ByItself,
    /// With a window over its earlier messages: of this size, or of any if it has offered no choice.
    Continuing(Option<WindowBits>),
}

/// The window of a client that refers to its earlier messages and lets us choose.
const CLIENT_WINDOW: WindowBits = WindowBits(limits::CLIENT_WINDOW_BITS);

/// The header does not follow its grammar: such a connection must fail.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Sec-WebSocket-Extensions header is malformed")]
pub struct Malformed;

/// The first offer of a client that can be accepted.
pub(crate) fn negotiate(headers: &HeaderMap) -> Result<Option<Agreed>, Malformed> {
    let mut agreed = None;
    let is_browser = headers.contains_key(header::ORIGIN);
    for value in headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS) {
        let mut list = List { rest: value.to_str().map_err(|_| Malformed)? };
        while let Some(offer) = list.next_extension()? {
            agreed = agreed.or_else(|| accept(&offer, is_browser));
        }
    }
    Ok(agreed)
}

impl Agreed {
    /// The window that we compress with.
    pub(crate) fn window_bits(self) -> WindowBits {
        self.server_max_window_bits.unwrap_or(WindowBits::MAX)
    }

    /// How many bytes of earlier messages a message of the client may refer to.
    pub(crate) fn client_window(self) -> usize {
        match self.client {
            Client::ByItself => 0,
            // zlib takes 9 where it is told 8.
            Client::Continuing(bits) => 1 << bits.unwrap_or(WindowBits::MAX).get().max(9),
        }
    }

    /// The header's value in the answer. The window within a message needs no limit: whatever it is, a full one reads it.
    pub(crate) fn answer(self) -> HeaderValue {
        let mut answer = format!("{NAME}; {SERVER_BY_ITSELF}");
        match self.client {
            Client::ByItself => answer.push_str(&format!("; {CLIENT_BY_ITSELF}")),
            Client::Continuing(None) => {}
            Client::Continuing(Some(WindowBits(bits))) => {
                answer.push_str(&format!("; {CLIENT_WINDOW_BITS}={bits}"));
            }
        }
        if let Some(WindowBits(bits)) = self.server_max_window_bits {
            answer.push_str(&format!("; {SERVER_WINDOW_BITS}={bits}"));
        }
        HeaderValue::try_from(answer).expect("tokens and numbers are ASCII")
    }
}

/// One extension as it was offered.
struct Offer<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

/// An offer is accepted as a whole or declined: parameters that are unknown, given twice or have a wrong value decline it.
fn accept(offer: &Offer<'_>, is_browser: bool) -> Option<Agreed> {
    if offer.name != NAME {
        return None;
    }
    let mut agreed = Agreed { server_max_window_bits: None, client: Client::Continuing(None) };
    let mut by_itself = is_browser;
    for (n, (name, value)) in offer.parameters.iter().enumerate() {
        if offer.parameters[..n].iter().any(|(before, _)| before == name) {
            return None;
        }
        match (*name, value) {
            (SERVER_BY_ITSELF, None) => {}
            (CLIENT_BY_ITSELF, None) => by_itself = true,
            (CLIENT_WINDOW_BITS, None) => agreed.client = Client::Continuing(Some(CLIENT_WINDOW)),
            (CLIENT_WINDOW_BITS, Some(value)) => {
                let bits = window_bits(value)?.min(CLIENT_WINDOW.get());
                agreed.client = Client::Continuing(Some(WindowBits(bits)));
            }
            (SERVER_WINDOW_BITS, Some(value)) => {
                // zlib cannot compress with a window of 256 bytes, and to read is not enough here.
                let bits = window_bits(value).filter(|&bits| bits > 8)?;
                agreed.server_max_window_bits = Some(WindowBits(bits));
            }
            _ => return None,
        }
    }
    if by_itself {
        agreed.client = Client::ByItself;
    }
    Some(agreed)
}

/// 8 to 15, in decimal without leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    let plain = !value.starts_with('0') && value.bytes().all(|digit| digit.is_ascii_digit());
    value.parse().ok().filter(|bits| plain && (8..=15).contains(bits))
}

/// The rest of one header line.
struct List<'a> {
    rest: &'a str,
}

impl<'a> List<'a> {
    /// `extension = token *( ";" token [ "=" ( token | quoted-string ) ] )`, separated by commas.
    fn next_extension(&mut self) -> Result<Option<Offer<'a>>, Malformed> {
        while self.takes(',') {}
        if self.rest.is_empty() {
            return Ok(None);
        }
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.takes(';') {
            let name = self.token()?;
            let value = if self.takes('=') { Some(self.value()?) } else { None };
            parameters.push((name, value));
        }
        if self.rest.is_empty() || self.rest.starts_with(',') {
            Ok(Some(Offer { name, parameters }))
        } else {
            Err(Malformed)
        }
    }

    /// Takes a separator and the blanks around it; without it, only the blanks.
    fn takes(&mut self, separator: char) -> bool {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        let after = self.rest.strip_prefix(separator);
        if let Some(after) = after {
            self.rest = after.trim_start_matches([' ', '\t']);
        }
        after.is_some()
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        let end = self.rest.find(|c| !is_token_char(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// A token, or one in quotes, where `\` stands before any character.
    fn value(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            return self.token().map(Cow::Borrowed);
        };
        let mut value = String::new();
        let mut chars = quoted.char_indices();
        loop {
            match chars.next().ok_or(Malformed)? {
                (end, '"') => {
                    self.rest = &quoted[end + 1..];
                    let sound = !value.is_empty() && value.chars().all(is_token_char);
                    return if sound { Ok(Cow::Owned(value)) } else { Err(Malformed) };
                }
                (_, '\\') => value.push(chars.next().ok_or(Malformed)?.1),
                (_, c) => value.push(c),
            }
        }
    }
}

/// Whether a token may have this character.
pub(crate) fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser is answered.
    fn answer(lines: &[&'static str]) -> Result<Option<String>, Malformed> {
        answer_to(HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static("http://a"))]), lines)
    }

    fn answer_to(mut headers: HeaderMap, lines: &[&'static str]) -> Result<Option<String>, Malformed> {
        for line in lines {
            headers.append(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(line));
        }
        Ok(negotiate(&headers)?.map(|agreed| agreed.answer().to_str().unwrap().to_owned()))
    }

    const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn every_form_of_a_sound_offer_is_accepted() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=\"15\"; server_no_context_takeover",
            "permessage-deflate ; client_no_context_takeover ; server_no_context_takeover",
            "\t permessage-deflate\t;  client_max_window_bits = 10 ",
            "x-webkit-deflate-frame, permessage-deflate",
            ", permessage-deflate ,, x-other; a=b; c",
        ] {
            assert_eq!(answer(&[offer]), Ok(Some(PLAIN.to_owned())), "{offer}");
        }
    }

    #[test]
    fn a_smaller_window_of_ours_is_answered_with_itself() {
        for (offer, bits) in [
            ("permessage-deflate; server_max_window_bits=9", 9),
            ("permessage-deflate; server_max_window_bits=\"10\"; client_max_window_bits", 10),
            ("permessage-deflate; server_max_window_bits=\"\\1\\5\"", 15),
        ] {
            let expected = format!("{PLAIN}; server_max_window_bits={bits}");
            assert_eq!(answer(&[offer]), Ok(Some(expected)), "{offer}");
        }
    }

    #[test]
    fn a_client_that_is_no_browser_may_go_on_with_what_it_has_sent() {
        let server = "permessage-deflate; server_no_context_takeover";
        for (offer, client, window) in [
            ("permessage-deflate", "", 32 << 10),
            ("permessage-deflate; client_max_window_bits", "; client_max_window_bits=12", 4 << 10),
            ("permessage-deflate; client_max_window_bits=15", "; client_max_window_bits=12", 4 << 10),
            ("permessage-deflate; client_max_window_bits=9", "; client_max_window_bits=9", 512),
            ("permessage-deflate; client_no_context_takeover", "; client_no_context_takeover", 0),
            (
                "permessage-deflate; client_no_context_takeover; client_max_window_bits",
                "; client_no_context_takeover",
                0,
            ),
        ] {
            assert_eq!(
                answer_to(HeaderMap::new(), &[offer]),
                Ok(Some(format!("{server}{client}"))),
                "{offer}"
            );
            let headers =
                HeaderMap::from_iter([(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer))]);
            assert_eq!(negotiate(&headers).unwrap().unwrap().client_window(), window, "{offer}");
        }
    }

    #[test]
    fn the_first_offer_that_can_be_accepted_is() {
        let fallback = "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=12, permessage-deflate";
        let expected = Some(format!("{PLAIN}; server_max_window_bits=12"));
        assert_eq!(answer(&[fallback]), Ok(expected.clone()));
        let lines = [
            "permessage-deflate; unheard_of",
            "permessage-deflate; server_max_window_bits=12",
            "permessage-deflate",
        ];
        assert_eq!(answer(&lines), Ok(expected));
    }

    #[test]
    fn an_offer_that_is_not_understood_is_declined() {
        for offer in [
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=9.5",
            "permessage-deflate; server_max_window_bits=265",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=010",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; unheard_of",
            "permessage-deflate; unheard_of=1",
            "permessage-bzip2",
            "",
        ] {
            assert_eq!(answer(&[offer]), Ok(None), "{offer}");
        }
        assert_eq!(answer(&[]), Ok(None));
    }

    #[test]
    fn what_is_no_list_of_extensions_is_malformed() {
        for header in [
            "permessage-deflate;",
            "permessage-deflate; ; client_max_window_bits",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"10",
            "permessage-deflate; client_max_window_bits=\"\"",
            "permessage-deflate; client_max_window_bits=\"1 0\"",
            "permessage-deflate; client_max_window_bits=10\"",
            "permessage-deflate, =",
            "(permessage-deflate)",
        ] {
            assert_eq!(answer(&[header]), Err(Malformed), "{header}");
        }
        assert_eq!(
            answer(&["permessage-deflate", ";"]),
            Err(Malformed),
            "also behind an offer that was accepted"
        );
    }
}
