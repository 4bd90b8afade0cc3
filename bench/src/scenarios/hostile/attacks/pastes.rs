//! Contents that are large or deep.

use super::super::attack::Need::Documents;
use super::super::attack::{Attack, Strike, sends};
use super::super::forged::{self, ANY, ANY_ARRAY, ANY_NULL, EMBED, Forged, WRITER, counted, sized};
use super::super::scene::Scene;

const MIB: usize = 1 << 20;
/// How deep values may be nested in coscribe.
const DEPTH: usize = 128;
/// Deeper than any stack, for servers without a limit.
const ABYSS: usize = 500_000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "paste-non-ascii",
        what: "one insert of 4 MiB of characters that take two bytes each",
        needs: &[Documents],
        plan: |scene| paste(scene, &forged::text(WRITER, &forged::not_ascii(4 * MIB))),
    },
    Attack {
        name: "paste-ascii",
        what: "one insert of 28 MiB of ASCII",
        needs: &[Documents],
        plan: |scene| paste(scene, &forged::text(WRITER, &forged::ascii(28 * MIB))),
    },
    Attack {
        name: "paste-any",
        what: "one insert of 4 Mi values of one byte each",
        needs: &[Documents],
        plan: |scene| {
            let values = counted(4 * MIB, &[ANY_NULL].repeat(4 * MIB));
            paste(scene, &Forged::by(WRITER, 0).root(ANY, &values).update())
        },
    },
    Attack {
        name: "two-pastes",
        what: "12 MiB of characters that take two bytes each, into two documents at the same time",
        needs: &[Documents],
        plan: |scene| {
            let message = forged::message(&forged::text(WRITER, &forged::not_ascii(12 * MIB)));
            let mut one = scene.listener(&scene.document("one")?)?;
            let mut other = scene.listener(&scene.document("other")?)?;
            let frames = [one.frame(&message), other.frame(&message)];
            Ok(Box::new(move || {
                one.send(&frames[0])?;
                other.send(&frames[1])?;
                one.fence()?;
                other.fence()
            }))
        },
    },
    Attack {
        name: "large-json-embed",
        what: "one embedded JSON value of 31 MiB, an array of ones",
        needs: &[Documents],
        plan: |scene| {
            let json = format!("[{}1]", "1,".repeat(31 * MIB / 2));
            paste(scene, &Forged::by(WRITER, 0).root(EMBED, &sized(json.as_bytes())).update())
        },
    },
    Attack {
        name: "deep-any",
        what: "16,000 values nested 128 deep; then one 129 deep; then one 500,000 deep",
        needs: &[Documents],
        plan: |scene| {
            let deep = |count: usize, depth| {
                let value = [[ANY_ARRAY, 1].repeat(depth), vec![ANY_NULL]].concat();
                let values = counted(count, &value.repeat(count));
                forged::message(&Forged::by(WRITER, 0).root(ANY, &values).update())
            };
            let bodies = [deep(16_000, DEPTH), deep(1, DEPTH + 1), deep(1, ABYSS)];
            let mut strikes = Vec::new();
            for (number, body) in bodies.iter().enumerate() {
                let peer = scene.listener(&scene.document(&format!("deep-{number}"))?)?;
                strikes.push(sends(peer, |peer| peer.frame(body)));
            }
            Ok(Box::new(move || {
                // Each has a connection of its own: closing one must not spare the server the next.
                let ends: Vec<_> = strikes.iter_mut().map(|strike| strike()).collect();
                ends.into_iter().collect()
            }))
        },
    },
];

/// An update for an empty document.
fn paste(scene: &Scene, update: &[u8]) -> anyhow::Result<Strike> {
    let peer = scene.listener(&scene.document("paste")?)?;
    Ok(sends(peer, |peer| peer.frame(&forged::message(update))))
}
