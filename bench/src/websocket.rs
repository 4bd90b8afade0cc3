//! The client's side of RFC 6455, as far as a load generator needs it: the opening handshake, frames in, frames out.
//!
//! A frame: `fin | rsv1 (compressed) | opcode`, `masked | length (7 bits, or 126 + u16, or 127 + u64)`, mask of 4 bytes if
//! masked, payload. Clients mask what they send, servers don't.

use std::net::SocketAddr;

/// In the first byte of a frame: it ends its message.
pub const FIN: u8 = 0x80;
/// In the first byte of a message's first frame: the message is compressed.
pub const COMPRESSED: u8 = 0x40;

/// What a frame carries.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Opcode {
    /// The next part of a message.
    Continuation,
    /// A text message, or its first part.
    Text,
    /// A binary message, or its first part.
    Binary,
    /// The other side closes the connection.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

/// One frame from a server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whether it ends its message.
    pub fin: bool,
    /// Whether the message that it starts is compressed.
    pub deflated: bool,
    /// What it carries.
    pub opcode: Opcode,
    /// The bytes it carries.
    pub payload: &'a [u8],
}

/// Why bytes from a server are not WebSocket.
#[derive(Debug, Copy, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// There is no such opcode.
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// Servers must not mask.
    #[error("masked frame from a server")]
    Masked,
    /// Longer than this machine can address.
    #[error("frame too long")]
    TooLong,
}

/// Reads the frame at the start of `bytes`; gives it and its length, or `None` if it is not complete.
///
/// # Errors
/// If the bytes are not a frame that a server may send.
pub fn read_frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((&[first, second], rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let opcode = opcode(first & 0x0f)?;
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    let (len, header) = match second {
        126 => match rest.first_chunk() {
            Some(len) => (u64::from(u16::from_be_bytes(*len)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(len) => (u64::from_be_bytes(*len), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    let len = usize::try_from(len).map_err(|_| FrameError::TooLong)?;
    let end = len.checked_add(header).ok_or(FrameError::TooLong)?;
    let Some(payload) = bytes.get(header..end) else { return Ok(None) };
    let frame = Frame { fin: first & FIN != 0, deflated: first & COMPRESSED != 0, opcode, payload };
    Ok(Some((frame, end)))
}

fn opcode(bits: u8) -> Result<Opcode, FrameError> {
    Ok(match bits {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        unknown => return Err(FrameError::Opcode(unknown)),
    })
}

/// Appends a whole message in one masked frame. The mask is not all zeros, which some servers treat as no mask.
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    write_frame_as(out, FIN | opcode.bits(), payload.len() as u64, payload, mask);
}

/// Appends a masked frame with any first byte, which announces `len` bytes of payload and carries `payload`.
pub fn write_frame_as(out: &mut Vec<u8>, first: u8, len: u64, payload: &[u8], mask: [u8; 4]) {
    out.push(first);
    if let Ok(len) = u8::try_from(len)
        && len < 126
    {
        out.push(0x80 | len);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(0x80 | 126);
        out.extend(len.to_be_bytes());
    } else {
        out.push(0x80 | 127);
        out.extend(len.to_be_bytes());
    }
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

impl Opcode {
    /// Its place in the first byte of a frame.
    pub fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// The request that opens a WebSocket, as browsers send it; with `offer_deflate` it offers permessage-deflate.
pub fn request(address: SocketAddr, path: &str, offer_deflate: bool) -> Vec<u8> {
    let offer = if offer_deflate {
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    } else {
        ""
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Y29zY3JpYmUtYmVuY2ghIQ==\r\n{offer}\r\n"
    )
    .into_bytes()
}

/// What a server said to the request.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// Bytes of the response; frames follow.
    pub len: usize,
    /// Whether permessage-deflate was agreed on.
    pub deflate: bool,
    /// Whether the server begins each compressed message afresh.
    pub server_no_context_takeover: bool,
}

/// Reads the response at the start of `bytes`; `None` if it is not complete.
///
/// # Errors
/// The first line of a response that opens no WebSocket.
pub fn read_response(bytes: &[u8]) -> Result<Option<Response>, String> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        return Err(status.to_owned());
    }
    let extensions = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-extensions"))
        .map(|(_, value)| value)
        .collect::<String>();
    Ok(Some(Response {
        len: end + 4,
        deflate: extensions.contains("permessage-deflate"),
        server_no_context_takeover: extensions.contains("server_no_context_takeover"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a server would send what `write_frame` has written.
    fn unmasked(frame: &[u8], header: usize, mask: [u8; 4]) -> Vec<u8> {
        let mut out = frame[..header].to_vec();
        out[1] &= 0x7f;
        out.extend(frame[header + 4..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    #[test]
    fn frames_of_all_lengths_are_read_as_they_were_written_and_not_before_they_are_complete() {
        for (len, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let payload = vec![7; len];
            let mut out = Vec::new();
            write_frame(&mut out, Opcode::Binary, &payload, [1, 2, 3, 4]);
            let bytes = unmasked(&out, header, [1, 2, 3, 4]);
            let frame = Frame { fin: true, deflated: false, opcode: Opcode::Binary, payload: &payload };
            assert_eq!(read_frame(&bytes), Ok(Some((frame, bytes.len()))));
            assert_eq!(read_frame(&bytes[..bytes.len() - 1]), Ok(None));
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        assert_eq!(read_frame(&[0x82, 0x80, 0, 0, 0, 0]), Err(FrameError::Masked));
        assert_eq!(read_frame(&[0x83, 0]), Err(FrameError::Opcode(3)));
        let longest = [&[0x82, 127][..], &[0xff; 8]].concat();
        assert_eq!(read_frame(&longest), Err(FrameError::TooLong));
    }

    #[test]
    fn a_response_says_whether_messages_may_be_compressed() {
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n";
        let plain = format!("{head}\r\nrest");
        let expected = Response { len: plain.len() - 4, deflate: false, server_no_context_takeover: false };
        assert_eq!(read_response(plain.as_bytes()), Ok(Some(expected)));
        let deflate = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover\r\n\r\n";
        let response = read_response(format!("{head}{deflate}").as_bytes()).unwrap().unwrap();
        assert!(response.deflate && response.server_no_context_takeover);
        assert_eq!(read_response(head.as_bytes()), Ok(None));
        let refused = "HTTP/1.1 503 Service Unavailable";
        assert_eq!(read_response(format!("{refused}\r\n\r\n").as_bytes()), Err(refused.to_owned()));
    }
}
