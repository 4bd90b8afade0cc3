//! Updates with gaps, and of very many clients.

use coscribe_engine::lib0::{write_var_buf, write_var_uint};

use super::super::attack::Need::Documents;
use super::super::attack::{Attack, Strike};
use super::super::forged::{self, QUESTION, STRING, WRITER};
use super::super::peer::Peer;
use super::super::scene::Scene;

/// Updates that wait, where a frame can hold them all: just what coscribe lets one document have.
const WAITING: u64 = 95_000;
/// The same where each takes a frame.
const WAITING_FRAMES: u64 = 20_000;
const CLIENTS: u64 = 500_000;
/// Peers that join a document of very many clients.
const GUESTS: usize = 50;
const ENTRIES: u64 = 262_144;
/// How often that many are asked about.
const TIMES: usize = 100;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "parked-flood",
        what: "95,000 updates of one character (20,000 where each takes a frame) wait for the one that comes last",
        needs: &[Documents],
        plan: |scene| {
            let one_frame = scene.reads_several()?;
            let last = if one_frame { WAITING } else { WAITING_FRAMES };
            let tiny = |clock| forged::message(&forged::tiny(WRITER, clock));
            let waiting: Vec<Vec<u8>> = (1..=last).map(tiny).collect();
            let mut peer = scene.listener(&scene.document("parked")?)?;
            let mut bytes = match one_frame {
                true => peer.frame(&waiting.concat()),
                false => peer.frames(waiting.iter().map(Vec::as_slice)),
            };
            bytes.extend(peer.frame(&tiny(0)));
            Ok(Box::new(move || peer.send_and_fence(&bytes)))
        },
    },
    Attack {
        name: "many-clients",
        what: "an update of 7 MB by 500,000 clients, and then 50 who come and ask for the document",
        needs: &[Documents],
        plan: |scene| {
            let document = scene.document("clients")?;
            let mut writer = scene.listener(&document)?;
            let frame = writer.frame(&forged::message(&one_character_each()));
            let (door, mut guests) = (scene.door(), Vec::<Peer>::new());
            Ok(Box::new(move || {
                writer.send_and_fence(&frame)?;
                for _ in 0..GUESTS {
                    let mut guest = door.peer(&document)?;
                    guest.listen()?;
                    guest.send(&guest.frame(&QUESTION))?;
                    guests.push(guest);
                }
                guests.iter_mut().try_for_each(Peer::fence)
            }))
        },
    },
    Attack {
        name: "state-vector-262144",
        what: "100 times SyncStep1 with 262,144 clients, for a document of 1 MiB",
        needs: &[Documents],
        plan: state_vectors,
    },
];

/// An update in which very many clients write one character each.
fn one_character_each() -> Vec<u8> {
    let mut update = Vec::new();
    write_var_uint(&mut update, CLIENTS);
    for client in (1..=CLIENTS).rev() {
        for number in [1, client, 0, STRING.into(), 1] {
            write_var_uint(&mut update, number);
        }
        write_var_buf(&mut update, b"text");
        write_var_buf(&mut update, b"x");
    }
    update.push(0);
    update
}

fn state_vectors(scene: &Scene) -> anyhow::Result<Strike> {
    let text = forged::text(WRITER, &forged::ascii(1 << 20));
    let mut peer = scene.listener(&scene.document_of("vectors", &text)?)?;
    let mut vector = Vec::new();
    write_var_uint(&mut vector, ENTRIES);
    for client in WRITER..WRITER + ENTRIES {
        write_var_uint(&mut vector, client);
        write_var_uint(&mut vector, 1);
    }
    let frame = peer.frame(&[vec![0, 0], forged::sized(&vector)].concat());
    Ok(Box::new(move || {
        (0..TIMES).try_for_each(|_| peer.send(&frame))?;
        peer.fence()
    }))
}

#[cfg(test)]
mod tests {
    use coscribe_engine::document::blocks::Blocks;

    use super::*;

    #[test]
    fn very_many_clients_have_written() {
        let blocks = Blocks::from_update(&one_character_each()).unwrap();
        assert_eq!(blocks.state_vector().get(CLIENTS), 1);
    }
}
