//! Compressed messages: floods of small ones, and small ones that become large.

use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};

use super::super::attack::Need::{Compression as Compressing, SeveralInFrame};
use super::super::attack::{Attack, Strike};
use super::super::forged::{self, PLAIN_QUESTION, WRITER};
use super::super::peer::{MASK, Peer, together};
use super::super::scene::Scene;
use crate::websocket::{COMPRESSED, Opcode, write_frame_as};

/// Connections that flood.
const FLOODS: usize = 4;
const FLOOD: Duration = Duration::from_secs(5);
/// Connections that send something small which becomes large, and how large.
const BOMBS: usize = 8;
const BOMB: usize = 31 << 20;
/// Sent at once.
const BLOCK: usize = 64 << 10;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "compressed-flood",
        what: "four connections send small compressed messages as fast as the server takes them, for 5 s",
        needs: &[Compressing],
        plan: |scene| {
            // An update that says nothing.
            let frame = compressed_frame(&forged::message(&[0, 0]));
            flood(scene, &[], &frame)
        },
    },
    Attack {
        name: "compressed-empty-frames",
        what: "the same, with empty frames of a compressed message that never ends",
        needs: &[Compressing],
        plan: |scene| {
            let (mut first, mut next) = (Vec::new(), Vec::new());
            write_frame_as(&mut first, COMPRESSED | Opcode::Binary.bits(), 0, &[], MASK);
            write_frame_as(&mut next, Opcode::Continuation.bits(), 0, &[], MASK);
            flood(scene, &first, &next)
        },
    },
    Attack {
        name: "zip-bomb-zeros",
        what: "on eight connections, 32 KB that inflate to 31 MiB of zeros",
        needs: &[Compressing],
        plan: |scene| bombs(scene, &vec![0; BOMB]),
    },
    Attack {
        name: "zip-bomb-questions",
        what: "on eight connections, 32 KB that inflate to 8 million times SyncStep1",
        needs: &[Compressing, SeveralInFrame],
        plan: |scene| bombs(scene, &PLAIN_QUESTION.repeat(BOMB / PLAIN_QUESTION.len())),
    },
    Attack {
        name: "zip-bomb-updates",
        what: "on eight connections, 32 KB that inflate to an update of 31 MiB, for a document each",
        needs: &[Compressing],
        plan: |scene| bombs(scene, &forged::message(&forged::text(WRITER, &vec![b'x'; BOMB]))),
    },
];

/// Connections that send the same message, compressed, into a document each.
fn bombs(scene: &Scene, message: &[u8]) -> anyhow::Result<Strike> {
    let join = |bomb| scene.compressing(&scene.document(&format!("bomb-{bomb}"))?);
    let mut peers: Vec<Peer> = (0..BOMBS).map(join).collect::<anyhow::Result<_>>()?;
    let frame = compressed_frame(message);
    Ok(Box::new(move || together(&mut peers, |peer| peer.send_and_fence(&frame))))
}

/// Connections that send `first` once and then `again` and again.
fn flood(scene: &Scene, first: &[u8], again: &[u8]) -> anyhow::Result<Strike> {
    let document = scene.document("flood")?;
    let mut peers: Vec<Peer> =
        (0..FLOODS).map(|_| scene.compressing(&document)).collect::<anyhow::Result<_>>()?;
    let (first, block) = (first.to_vec(), again.repeat(BLOCK / again.len()));
    Ok(Box::new(move || {
        together(&mut peers, |peer| {
            peer.send(&first)?;
            peer.flood(&block, FLOOD)
        })
    }))
}

/// A whole message in one compressed frame.
pub(super) fn compressed_frame(message: &[u8]) -> Vec<u8> {
    let mut stream = Compress::new(Compression::best(), false);
    let mut deflated = Vec::with_capacity(message.len() / 500 + 1024);
    // zlib holds nothing back while the output has room left.
    while stream.total_in() < message.len() as u64 || deflated.len() == deflated.capacity() {
        let taken = usize::try_from(stream.total_in()).unwrap_or_default();
        deflated.reserve(64 << 10);
        stream
            .compress_vec(&message[taken..], &mut deflated, FlushCompress::Sync)
            .expect("there is room for what it writes");
    }
    // The bytes that a sender cuts off: RFC 7692, section 7.2.1.
    assert!(deflated.ends_with(&[0, 0, 0xff, 0xff]));
    deflated.truncate(deflated.len() - 4);
    let mut frame = Vec::with_capacity(deflated.len() + 14);
    let first = crate::websocket::FIN | COMPRESSED | Opcode::Binary.bits();
    write_frame_as(&mut frame, first, deflated.len() as u64, &deflated, MASK);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflate::Inflater;

    #[test]
    fn what_is_compressed_becomes_itself_again() {
        for message in [vec![0, 2, 2, 0, 0], vec![7; 3 << 20], forged::ascii(1 << 20)] {
            let frame = compressed_frame(&message);
            let header = match frame[1] & 0x7f {
                126 => 8,
                127 => 14,
                _ => 6,
            };
            let payload: Vec<u8> =
                frame[header..].iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            assert_eq!(Inflater::new(false).inflate(&payload), Ok(&message[..]));
        }
    }
}
