//! Very many connections, from several addresses, each of which does something that alone is harmless.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::super::attack::Need::{Compression, Documents};
use super::super::attack::{Attack, Strike};
use super::super::forged::{self, Forged, QUESTION, STRING, WRITER};
use super::super::peer::{MASK, Peer, together};
use super::super::scene::Scene;
use super::compressed::compressed_frame;
use crate::websocket::{FIN, Opcode, write_frame_as};

/// Addresses of this machine that attackers come from.
const ADDRESSES: usize = 10;
/// Connections that never finish a message, what they announce, and what they send of it.
const UNFINISHED: usize = 100;
const ANNOUNCED: u64 = 31 << 20;
const SENT: usize = 30 << 20;
/// Documents in which something waits for what never comes, and how much.
const PARKED: usize = 60;
const PARKED_BYTES: usize = 15 << 20;
/// Connections that read nothing, the clients for which each speaks, and what each of these says.
const UNREAD: usize = 60;
const CLIENTS: u64 = 64;
const STATE: usize = 64 << 10;
/// Connections that send something small which becomes large, and how large.
const BOMBS: usize = 100;
const BOMB: usize = 31 << 20;
/// Connections of one address that write, each in a document of its own, and for how long.
const WRITERS: usize = 200;
const FLOOD: Duration = Duration::from_secs(5);
/// Connections of one address that ask for something and don't read it, and how often each asks.
const ASKING: usize = 4200;
const REQUESTS: usize = 200;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "unfinished-crowd",
        what: "100 connections from ten addresses announce a frame of 31 MiB, send 30 MiB of it, and then nothing",
        needs: &[],
        plan: |scene| {
            let document = scene.document("unfinished")?;
            let mut peers = crowd(scene, UNFINISHED, |_| Ok(document.clone()))?;
            let mut bytes = Vec::new();
            let first = FIN | Opcode::Binary.bits();
            write_frame_as(&mut bytes, first, ANNOUNCED, &vec![0; SENT], MASK);
            Ok(Box::new(move || together(&mut peers, |peer| Ok(peer.send(&bytes)?))))
        },
    },
    Attack {
        name: "parked-crowd",
        what: "in 60 documents, from ten addresses, 15 MiB each wait for a character that never comes",
        needs: &[Documents],
        plan: |scene| {
            let mut peers = crowd(scene, PARKED, |number| scene.document(&format!("parked-{number}")))?;
            let waiting =
                Forged::by(WRITER, 5).after(4, STRING, &forged::sized(&forged::ascii(PARKED_BYTES)));
            let message = forged::message(&waiting.update());
            Ok(Box::new(move || together(&mut peers, |peer| peer.send_and_fence(&peer.frame(&message)))))
        },
    },
    Attack {
        name: "awareness-crowd",
        what: "in one document, 60 connections from ten addresses, which read nothing, speak for 64 clients each with 64 KiB",
        needs: &[Documents],
        plan: |scene| {
            let document = scene.document("awareness")?;
            let (door, state) = (scene.door(), forged::state(STATE));
            let peers = (0..UNREAD).map(|number| door.peer_from(address(number), &document));
            let mut peers =
                peers.collect::<anyhow::Result<Vec<_>>>()?.into_iter().zip(0..).collect::<Vec<_>>();
            Ok(Box::new(move || {
                for (peer, number) in &mut peers {
                    for client in 1..=CLIENTS {
                        let state = (*number * CLIENTS + client, 1, &*state);
                        peer.send(&peer.frame(&forged::awareness([state].into_iter())))?;
                    }
                }
                let mut guest = door.peer(&document)?;
                guest.listen()?;
                guest.send_and_fence(&guest.frame(&QUESTION))
            }))
        },
    },
    Attack {
        name: "zip-bomb-crowd",
        what: "on 100 connections from ten addresses, 32 KB that inflate to an update of 31 MiB, for one document",
        needs: &[Documents, Compression],
        plan: |scene| {
            let document = scene.document("bombs")?;
            let mut peers = crowd(scene, BOMBS, |_| Ok(document.clone()))?;
            let bomb = compressed_frame(&forged::message(&forged::text(WRITER, &vec![b'a'; BOMB])));
            Ok(Box::new(move || together(&mut peers, |peer| peer.send_and_fence(&bomb))))
        },
    },
    Attack {
        name: "writing-crowd",
        what: "200 connections of one address send updates of one character as fast as the server takes them, for 5 s",
        needs: &[Documents],
        plan: |scene| {
            let peers = (0..WRITERS).map(|number| {
                let document = scene.document(&format!("writing-{number}"))?;
                let mut peer = scene.door().peer_from(address(0), &document)?;
                peer.listen()?;
                Ok(peer)
            });
            let mut peers = peers.collect::<anyhow::Result<Vec<_>>>()?;
            let updates: Vec<_> =
                (0..10_000).map(|clock| forged::message(&forged::tiny(WRITER, clock))).collect();
            Ok(Box::new(move || {
                together(&mut peers, |peer| {
                    let frames = peer.frames(updates.iter().map(Vec::as_slice));
                    peer.flood(&frames, FLOOD)
                })
            }))
        },
    },
    Attack {
        name: "requests-crowd",
        what: "4,200 connections of one address pipeline 200 requests each and read no answer",
        needs: &[],
        plan: requests,
    },
];

/// An address of this machine that is not the one of which people come.
fn address(number: usize) -> Ipv4Addr {
    let [.., last] = (number % ADDRESSES).to_be_bytes();
    Ipv4Addr::new(127, 0, 0, 10 + last)
}

/// Connections from all addresses, which read what comes.
fn crowd(
    scene: &Scene,
    size: usize,
    document: impl Fn(usize) -> anyhow::Result<String>,
) -> anyhow::Result<Vec<Peer>> {
    let peers = (0..size).map(|number| {
        let mut peer = scene.door().peer_from(address(number), &document(number)?)?;
        peer.listen()?;
        Ok(peer)
    });
    peers.collect()
}

fn requests(scene: &Scene) -> anyhow::Result<Strike> {
    let door = scene.door();
    let requests = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(REQUESTS);
    let mut sockets = Vec::with_capacity(ASKING);
    Ok(Box::new(move || {
        for _ in 0..ASKING {
            let mut socket = door.socket_from(address(0))?;
            socket.send(requests.as_bytes())?;
            sockets.push(socket);
        }
        Ok(())
    }))
}
