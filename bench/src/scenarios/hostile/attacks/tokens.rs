//! Handshakes with bad tokens.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use fastrand::Rng;

use super::super::attack::Attack;
use super::super::attack::Need::Tokens;
use super::super::scene::Door;
use super::super::stranger::{Flaw, Stranger, bad_token};
use crate::dialect::Dialect;

/// How long strangers come.
const FLOOD: Duration = Duration::from_secs(5);
/// How many come in that time.
const STRANGERS: u32 = 100_000 / 12;
/// How long the last of them may take.
const GRACE: Duration = Duration::from_millis(500);
/// Threads on which they come: one of them waits while the server takes its time with another.
const DOORS: usize = 8;

pub(super) const ATTACKS: &[Attack] = &[Attack {
    name: "bad-tokens",
    what: "100,000 handshakes a minute with bad tokens, for 5 s: half of them with the same, half with a new one each; half by y-websocket, half by Hocuspocus",
    needs: &[Tokens],
    plan: |scene| {
        let document = scene.document("tokens")?;
        let (door, mut random) = (scene.door(), Rng::with_seed(1));
        let same = bad_token(Flaw::Secret, &mut random);
        let stranger = |n: u32| {
            let dialect = if n & 1 == 0 { Dialect::YWebsocket } else { Dialect::Hocuspocus };
            if n & 2 == 0 {
                return Stranger::new(dialect, &document, &same);
            }
            let flaw = [Flaw::Secret, Flaw::Kid, Flaw::Algorithm][n as usize / 4 % 3];
            Stranger::new(dialect, &document, &bad_token(flaw, &mut random))
        };
        let strangers: Vec<_> = (0..STRANGERS).map(stranger).collect();
        Ok(Box::new(move || flood(&door, &strangers)))
    },
}];

/// Lets strangers come at a steady rate.
///
/// # Errors
/// If one is neither refused nor let in, or they could not come at that rate.
fn flood(door: &Door, strangers: &[Stranger]) -> anyhow::Result<()> {
    let (start, next) = (Instant::now(), AtomicU32::new(0));
    let come = || -> anyhow::Result<()> {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(stranger) = strangers.get(n as usize) else { return Ok(()) };
            let due = start + FLOOD * n / STRANGERS;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if door.is_closed() {
                bail!("the attack was over after {n} of {STRANGERS} handshakes");
            }
            door.knock(stranger)?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..DOORS).map(|_| scope.spawn(come)).collect();
        let ends = threads.into_iter().map(|thread| thread.join().expect("strangers don't panic"));
        ends.collect::<Vec<_>>().into_iter().collect::<anyhow::Result<()>>()
    })?;
    let took = start.elapsed();
    ensure!(took < FLOOD + GRACE, "the handshakes took {took:.1?} instead of {FLOOD:?}");
    Ok(())
}
