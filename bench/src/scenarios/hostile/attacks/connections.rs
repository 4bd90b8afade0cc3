//! Connections that come and go, that say nothing of use, or never finish what they say.

use std::time::{Duration, Instant};

use super::super::attack::Attack;
use super::super::attack::Need::Documents;
use super::super::forged::{self, QUESTION, WRITER};
use super::super::peer::{MASK, Peer, together};
use super::super::scene::Door;
use crate::websocket::{FIN, Opcode, write_frame, write_frame_as};

/// How long connections come and go, or ping.
const FLOOD: Duration = Duration::from_secs(5);
/// Threads on which they come and go.
const DOORS: usize = 4;
const PINGS: usize = 1000;
/// Connections that never finish a frame, what they announce, and what they send of it.
const SLOW: usize = 20;
const ANNOUNCED: u64 = 31 << 20;
const SENT: usize = 30 << 20;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "connect-churn",
        what: "on four threads for 5 s: connect to a document of 1 MiB, ask for it, show awareness, hang up",
        needs: &[Documents],
        plan: |scene| {
            let document = scene.document_of("churn", &forged::text(WRITER, &forged::ascii(1 << 20)))?;
            let door = scene.door();
            Ok(Box::new(move || {
                std::thread::scope(|scope| {
                    let churns = (0..DOORS as u64).map(|thread| {
                        let (door, document) = (&door, &document);
                        scope.spawn(move || churn(door, document, thread << 32))
                    });
                    let churns: Vec<_> = churns.collect();
                    let ends = churns.into_iter().map(|churn| churn.join().expect("churning doesn't panic"));
                    ends.collect::<Vec<_>>().into_iter().collect()
                })
            }))
        },
    },
    Attack {
        name: "ping-flood",
        what: "four connections ping as fast as the server takes it, for 5 s; two of them read no pongs",
        needs: &[],
        plan: |scene| {
            let document = scene.document("pings")?;
            let mut peers = [
                scene.listener(&document)?,
                scene.listener(&document)?,
                scene.peer(&document)?,
                scene.peer(&document)?,
            ];
            let mut pings = Vec::new();
            (0..PINGS).for_each(|_| write_frame(&mut pings, Opcode::Ping, &[7; 125], MASK));
            Ok(Box::new(move || together(&mut peers, |peer| peer.flood(&pings, FLOOD))))
        },
    },
    Attack {
        name: "unfinished-frames",
        what: "20 connections announce a frame of 31 MiB, send 30 MiB of it, and then nothing",
        needs: &[],
        plan: |scene| {
            let document = scene.document("unfinished")?;
            let mut peers: Vec<Peer> =
                (0..SLOW).map(|_| scene.listener(&document)).collect::<anyhow::Result<_>>()?;
            let mut bytes = Vec::new();
            let first = FIN | Opcode::Binary.bits();
            write_frame_as(&mut bytes, first, ANNOUNCED, &vec![0; SENT], MASK);
            Ok(Box::new(move || together(&mut peers, |peer| Ok(peer.send(&bytes)?))))
        },
    },
];

/// Comes and goes for some time, as another client each time; gives the last error, after which it went on.
fn churn(door: &Door, document: &str, first_client: u64) -> anyhow::Result<()> {
    let (end, mut failed) = (Instant::now() + FLOOD, Ok(()));
    for client in first_client + 1.. {
        if Instant::now() > end || door.is_closed() {
            break;
        }
        let visit = door.peer(document).and_then(|mut peer| {
            let awareness = forged::awareness([(client, 1, "{}")].into_iter());
            Ok(peer.send(&peer.frames([&QUESTION[..], &awareness]))?)
        });
        if visit.is_err() {
            failed = visit;
        }
    }
    failed
}
