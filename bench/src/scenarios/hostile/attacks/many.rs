//! Very many messages, each of which is harmless.

use super::super::attack::Need::{Documents, SeveralInFrame};
use super::super::attack::{Attack, sends};
use super::super::forged::{self, QUERY_AWARENESS, QUESTION, WRITER};
use super::super::peer::Peer;
use super::super::scene::Scene;

/// The longest frame of tiny updates.
const FRAME: usize = 12_000_000;
const QUESTIONS: usize = 20_000;
const QUERIES: usize = 10_000;
/// As many clients as one connection may speak for, and what each may say.
const CLIENTS: u64 = 64;
const STATE: usize = 64 << 10;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "questions-in-one-frame",
        what: "20,000 times SyncStep1 in one frame, for nearly all of a document of 1 MiB",
        needs: &[Documents, SeveralInFrame],
        plan: |scene| {
            let (peer, questions) = (questioner(scene)?, QUESTION.repeat(QUESTIONS));
            Ok(sends(peer, |peer| peer.frame(&questions)))
        },
    },
    Attack {
        name: "questions-in-frames",
        what: "the same, in a frame each",
        needs: &[Documents],
        plan: |scene| {
            let peer = questioner(scene)?;
            Ok(sends(peer, |peer| peer.frames([&QUESTION[..]; QUESTIONS])))
        },
    },
    Attack {
        name: "awareness-queries-in-one-frame",
        what: "10,000 times queryAwareness in one frame, with 4 MiB of own awareness",
        needs: &[Documents, SeveralInFrame],
        plan: |scene| {
            let (peer, queries) = (aware_of_much(scene)?, QUERY_AWARENESS.repeat(QUERIES));
            Ok(sends(peer, |peer| peer.frame(&queries)))
        },
    },
    Attack {
        name: "awareness-queries-in-frames",
        what: "the same, in a frame each",
        needs: &[Documents],
        plan: |scene| {
            let peer = aware_of_much(scene)?;
            Ok(sends(peer, |peer| peer.frames([&QUERY_AWARENESS[..]; QUERIES])))
        },
    },
    Attack {
        name: "tiny-updates-in-one-frame",
        what: "a frame of 12 MB with about 700,000 updates of one character each; the document's name has 1,000 bytes",
        needs: &[Documents, SeveralInFrame],
        plan: |scene| {
            let peer = scene.listener(&scene.document(&"n".repeat(983))?)?;
            let (mut updates, mut clock) = (Vec::with_capacity(FRAME + 64), 0);
            while updates.len() < FRAME {
                updates.extend(forged::message(&forged::tiny(WRITER, clock)));
                clock += 1;
            }
            Ok(sends(peer, |peer| peer.frame(&updates)))
        },
    },
    Attack {
        name: "tiny-updates-in-frames",
        what: "20,000 updates of one character each, as fast as the server takes them",
        needs: &[Documents],
        plan: |scene| {
            let peer = scene.listener(&scene.document("tiny")?)?;
            let updates: Vec<Vec<u8>> =
                (0..20_000).map(|clock| forged::message(&forged::tiny(WRITER, clock))).collect();
            Ok(sends(peer, |peer| peer.frames(updates.iter().map(Vec::as_slice))))
        },
    },
];

/// Somebody beside a document of 1 MiB.
fn questioner(scene: &Scene) -> anyhow::Result<Peer> {
    let update = forged::text(WRITER, &forged::ascii(1 << 20));
    scene.listener(&scene.document_of("questions", &update)?)
}

/// Somebody who speaks for as many clients as possible, each of which has much to say.
fn aware_of_much(scene: &Scene) -> anyhow::Result<Peer> {
    let mut peer = scene.listener(&scene.document("awareness")?)?;
    let state = forged::state(STATE);
    for client in 1..=CLIENTS {
        let states = peer.frame(&forged::awareness([(client, 1, &*state)].into_iter()));
        peer.send(&states)?;
    }
    peer.fence()?;
    Ok(peer)
}
