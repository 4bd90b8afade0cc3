//! Those who come and go beside the people who type, each kind on threads of its own.

use std::collections::BTreeMap;
use std::iter::repeat_n;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::documents::Document;
use super::guest::Guest;
use crate::cores::give_way;
use crate::crowd::Target;
use crate::updates::set_value;

/// Documents that are visited in turn.
const VISITED: usize = 500;
/// Bytes that a visitor writes.
const VALUE_BYTES: usize = 500;
/// Bytes of all values that the server keeps at rest.
pub(super) const KEPT_BYTES: u64 = (VISITED * VALUE_BYTES) as u64;
/// Documents into which is pasted: few, so that those who don't read miss several pastes.
const PASTED: usize = 2;
/// Bytes of a paste: more than the server keeps for a slow reader (`outbox_bytes`), and than it sends at once.
const PASTE_BYTES: usize = 2 << 20;
/// What a document has after its pastes were deleted.
const EMPTY_BYTES: usize = 1;
/// How long slow readers don't read: less than two of the server's pings.
const STALL: Duration = Duration::from_secs(20);
/// How often a thread that waits checks whether it is over.
const GLANCE: Duration = Duration::from_millis(50);
/// What is done, and by how many threads.
const ACTS: [(Act, usize); 5] =
    [(Act::Visit, 1), (Act::Look, 1), (Act::Paste, 1), (Act::Stall, 3), (Act::BreakOff, 1)];

/// What somebody does.
#[derive(Debug, Copy, Clone)]
enum Act {
    /// Opens a document, replaces what is in it, and leaves when that is saved.
    Visit,
    /// Opens a document that does not exist, and leaves.
    Look,
    /// Pastes much into a document, twice, and deletes it.
    Paste,
    /// Does not read for a while where others paste; then catches up or vanishes.
    Stall,
    /// Vanishes in the middle of a message.
    BreakOff,
}

/// Where all this takes place.
#[derive(Debug)]
struct Stage {
    visited: Vec<Document>,
    pasted: Vec<Document>,
    /// How often each act was begun.
    begun: [AtomicU64; ACTS.len()],
    lost: AtomicU64,
    /// What went wrong although the server was to be there.
    faults: Mutex<Vec<String>>,
    over: AtomicBool,
    /// The server is about to be killed.
    doomed: AtomicBool,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Churn {
    stage: Arc<Stage>,
    threads: Vec<JoinHandle<()>>,
}

impl Churn {
    /// Nobody yet.
    pub(super) fn new() -> Self {
        let stage = Stage {
            visited: Document::several(VISITED),
            pasted: Document::several(PASTED),
            begun: Default::default(),
            lost: AtomicU64::new(0),
            faults: Mutex::default(),
            over: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
        };
        Self { stage: Arc::new(stage), threads: Vec::new() }
    }

    /// They begin to come and go.
    pub(super) fn start(&mut self, target: &Target) {
        self.stage.over.store(false, Ordering::Relaxed);
        self.stage.doomed.store(false, Ordering::Relaxed);
        for act in ACTS.into_iter().flat_map(|(act, threads)| repeat_n(act, threads)) {
            let (stage, target) = (Arc::clone(&self.stage), target.clone());
            self.threads.push(std::thread::spawn(move || stage.play(act, &target)));
        }
    }

    /// The server is about to be killed: what fails from now on is no fault.
    pub(super) fn doom(&self) {
        self.stage.doomed.store(true, Ordering::Relaxed);
    }

    /// They finish what they do, and leave.
    pub(super) fn stop(&mut self) {
        self.stage.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("churners don't panic");
        }
    }

    /// Visits every document once more, so that it is known what it has.
    ///
    /// # Errors
    /// If the server refuses.
    pub(super) fn check(&self, target: &Target) -> anyhow::Result<()> {
        for document in self.stage.visited.iter().chain(&self.stage.pasted) {
            self.stage.lost.fetch_add(document.visit(target, &[])?, Ordering::Relaxed);
        }
        Ok(())
    }

    /// How often each was begun, by its name.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let begun = |act: Act| self.stage.begun[act as usize].load(Ordering::Relaxed);
        ACTS.into_iter().map(|(act, _)| (act.name(), begun(act))).collect()
    }

    /// Values that the server had confirmed and did not have later.
    pub(super) fn lost(&self) -> u64 {
        self.stage.lost.load(Ordering::Relaxed)
    }

    /// What went wrong.
    pub(super) fn faults(&self) -> Vec<String> {
        self.stage.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Stage {
    fn play(&self, act: Act, target: &Target) {
        give_way();
        while !self.over.load(Ordering::Relaxed) {
            match self.perform(act, target) {
                Ok(lost) => {
                    self.lost.fetch_add(lost, Ordering::Relaxed);
                }
                Err(_) if self.doomed.load(Ordering::Relaxed) => return,
                Err(error) => {
                    let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
                    faults.push(format!("{act:?}: {error:#}"));
                }
            }
            self.wait(act.pause());
        }
    }

    /// Does it once. Gives what a visitor found to be lost.
    fn perform(&self, act: Act, target: &Target) -> anyhow::Result<u64> {
        let number = self.begun[act as usize].fetch_add(1, Ordering::Relaxed);
        match act {
            Act::Visit => return of(&self.visited, number).visit(target, &[VALUE_BYTES]),
            Act::Paste => {
                return of(&self.pasted, number).visit(target, &[PASTE_BYTES, PASTE_BYTES, EMPTY_BYTES]);
            }
            Act::Look => newcomer(target)?.leave()?,
            Act::Stall => self.stall(number, target)?,
            Act::BreakOff => newcomer(target)?.break_off(&set_value(stranger(), 0, "value", PASTE_BYTES)),
        }
        Ok(0)
    }

    fn stall(&self, number: u64, target: &Target) -> anyhow::Result<()> {
        let document = of(&self.pasted, number);
        let mut guest = Guest::join(target, &document.name, stranger())?;
        guest.stall();
        self.wait(STALL);
        if number.is_multiple_of(3) {
            return Ok(());
        }
        guest.catch_up(document.client, document.confirmed())?;
        guest.leave()
    }

    fn wait(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.over.load(Ordering::Relaxed) {
            std::thread::sleep(GLANCE.min(time));
        }
    }
}

impl Act {
    fn name(self) -> &'static str {
        match self {
            Self::Visit => "visits",
            Self::Look => "documents looked at",
            Self::Paste => "pastes",
            Self::Stall => "slow readers",
            Self::BreakOff => "messages broken off",
        }
    }

    /// How long it is until the next one.
    fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Self::Visit => 100,
            Self::Look => 250,
            Self::Paste => 4000,
            Self::Stall => 100,
            Self::BreakOff => 500,
        })
    }
}

/// The document whose turn it is.
fn of(documents: &[Document], number: u64) -> &Document {
    &documents[usize::try_from(number).unwrap_or_default() % documents.len()]
}

/// Somebody in a document that does not exist.
fn newcomer(target: &Target) -> anyhow::Result<Guest> {
    Guest::join(target, &format!("bench-{:016x}", fastrand::u64(..)), stranger())
}

/// A client that no other one is.
fn stranger() -> u64 {
    u64::from(fastrand::u32(1 << 16..1 << 30))
}
