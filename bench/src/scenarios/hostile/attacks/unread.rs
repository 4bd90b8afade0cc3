//! Peers that ask for much and read nothing of it.

use super::super::attack::Attack;
use super::super::attack::Need::Documents;
use super::super::forged::{self, PLAIN_QUESTION, QUESTION, WRITER};
use super::super::peer::Peer;
use super::super::scene::Scene;

/// Ranges that are deleted: every second one of twice as many characters.
const RANGES: u32 = 300_000;
/// Answers, in bytes, after which a peer that reads none certainly lags: more than any system buffers for it.
const LAGS: usize = 16 << 20;
/// The frame that a lagging peer sends.
const FRAME: usize = 9_000;
const LAGGING_PEERS: usize = 300;
const READING_NOT: usize = 40;
/// A piece of the largest document, and how many there are: 84 MiB.
const PIECE: usize = 12 << 20;
const PIECES: u64 = 7;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "lagging-questions",
        what: "in two documents with 300,000 deleted ranges, a peer that lags sends 9 KB of SyncStep1, in one frame if \
               the server reads that",
        needs: &[Documents],
        plan: |scene| {
            let update = forged::text_with_holes(WRITER, RANGES.into());
            let mut peers = Vec::new();
            for name in ["holes", "more-holes"] {
                let document = scene.document_of(name, &update)?;
                peers.push(lagging(scene, &document, update.len())?);
            }
            let count = FRAME / QUESTION.len();
            let several = scene.reads_several()?;
            let bytes = peers.iter().map(|peer| match several {
                true => peer.frame(&QUESTION.repeat(count)),
                false => peer.frames(std::iter::repeat_n(&QUESTION[..], count)),
            });
            let bytes: Vec<Vec<u8>> = bytes.collect();
            Ok(Box::new(move || {
                Ok(peers.iter_mut().zip(&bytes).try_for_each(|(peer, bytes)| peer.send(bytes))?)
            }))
        },
    },
    Attack {
        name: "lagging-deletions",
        what: "in a document of 600,000 characters with 300 lagging peers, one update of 1.2 MB deletes every second one",
        needs: &[Documents],
        plan: |scene| {
            let text = forged::text(WRITER, &forged::ascii(2 * RANGES as usize));
            let document = scene.document_of("deleted", &text)?;
            let peers: Vec<Peer> = (0..LAGGING_PEERS)
                .map(|_| lagging(scene, &document, text.len()))
                .collect::<anyhow::Result<_>>()?;
            let mut deleter = scene.listener(&document)?;
            let frame = deleter.frame(&forged::message(&forged::every_second(WRITER, RANGES.into())));
            Ok(Box::new(move || {
                let _stay = &peers;
                deleter.send_and_fence(&frame)
            }))
        },
    },
    Attack {
        name: "diffs-not-read",
        what: "40 peers ask for nearly all of a document of 84 MiB, and read nothing",
        needs: &[Documents],
        plan: |scene| {
            let document = scene.document("large")?;
            for client in WRITER..WRITER + PIECES {
                scene.write(&document, &forged::text(client, &forged::ascii(PIECE)))?;
            }
            let mut peers: Vec<Peer> =
                (0..READING_NOT).map(|_| scene.peer(&document)).collect::<anyhow::Result<_>>()?;
            let question = peers[0].frame(&QUESTION);
            Ok(Box::new(move || Ok(peers.iter_mut().try_for_each(|peer| peer.send(&question))?)))
        },
    },
];

/// Somebody who has asked for a document of so many bytes so often that the answers wait, and goes on reading nothing.
fn lagging(scene: &Scene, document: &str, bytes: usize) -> anyhow::Result<Peer> {
    let mut peer = scene.peer(document)?;
    let questions = peer.frames(std::iter::repeat_n(&PLAIN_QUESTION[..], LAGS.div_ceil(bytes)));
    peer.send(&questions)?;
    Ok(peer)
}
