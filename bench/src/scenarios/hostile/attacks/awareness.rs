//! Awareness states that are stale, or renewed without end.

use std::time::Duration;

use super::super::attack::Need::Documents;
use super::super::attack::{Attack, sends};
use super::super::forged;

/// Bytes of the stale states with the fresh one behind them.
const MESSAGE: usize = 865_000;
const STATE: usize = 64 << 10;
/// A client whose id takes five bytes.
const CLIENT: u64 = 1 << 30;
/// Bytes of a stale state: client, clock, length, `{}`.
const STALE: usize = 5 + 1 + 3;
/// Peers that read while states are renewed.
const READERS: usize = 200;
const CLIENTS: u64 = 64;
/// How long they are renewed.
const CHURN: Duration = Duration::from_secs(5);
/// Messages that are made in advance, to be sent again and again: each renews all clients.
const ROUNDS: u64 = 20_000;

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "stale-awareness",
        what: "865 KB of awareness: one client's own state 88,000 times as it was before it left, then once with 64 KiB",
        needs: &[Documents],
        plan: |scene| {
            let mut peer = scene.listener(&scene.document("stale")?)?;
            for (clock, json) in [(5, "{}"), (6, "null")] {
                let state = peer.frame(&forged::awareness([(CLIENT, clock, json)].into_iter()));
                peer.send_and_fence(&state)?;
            }
            let stale = (MESSAGE - STATE) / STALE;
            let fresh = forged::state(STATE);
            let state = |n| if n < stale { (CLIENT, 3, "{}") } else { (CLIENT, 10, &*fresh) };
            let message = forged::awareness((0..=stale).map(state).collect::<Vec<_>>().into_iter());
            Ok(sends(peer, |peer| peer.frame(&message)))
        },
    },
    Attack {
        name: "awareness-churn",
        what: "64 clients of one connection are renewed as fast as the server takes it, for 5 s; 200 others read",
        needs: &[],
        plan: |scene| {
            let document = scene.document("churn")?;
            let readers: Vec<_> =
                (0..READERS).map(|_| scene.listener(&document)).collect::<anyhow::Result<_>>()?;
            let mut peer = scene.listener(&document)?;
            let mut bytes = Vec::new();
            for clock in 1..=ROUNDS {
                let states: Vec<_> = (1..=CLIENTS).map(|client| (client, clock, "{}")).collect();
                bytes.extend(peer.frame(&forged::awareness(states.into_iter())));
            }
            Ok(Box::new(move || {
                let _stay = &readers;
                peer.flood(&bytes, CHURN)
            }))
        },
    },
];
