//! Whether a recording makes the same document in every order and with every library.

use std::collections::HashSet;

use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::update::{Block, Content, Update};
use fastrand::Rng;
use serde::Serialize;

use super::library::{Library, LibraryProcess, Reading, Trouble};
use super::recording::Recording;
use super::roots::{self, Roots};
use super::ways::{self, Way, admitted};
use crate::difference;
use crate::gap;
use crate::limits;
use crate::outcome::Oracle;

/// A difference between orders or between libraries.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Divergence {
    pub(super) recording: String,
    /// The reader of the updates: `coscribe`, `yrs`, `Yjs`.
    pub(super) reader: String,
    /// The way in which they came.
    pub(super) way: String,
    pub(super) oracle: Oracle,
    pub(super) detail: String,
    /// The known difference between yrs and Yjs that this is, if it is one.
    pub(super) known: Option<&'static str>,
}

/// The result of examining a recording.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    pub(super) name: String,
    pub(super) updates: usize,
    pub(super) bytes: usize,
    pub(super) clients: usize,
    pub(super) elements: u64,
    pub(super) roots: Roots,
    /// The elements that updates build on and that none of them has.
    pub(super) gaps: Vec<String>,
    /// In how many ways it was read.
    pub(super) ways: usize,
    pub(super) findings: Vec<Divergence>,
}

/// yrs takes in blocks behind a gap, and its state vector then claims the gap as well.
const YRS_GAPS: &str = "yrs does not wait for what is missing";
/// yrs reads blocks that Yjs wrote before 13.0 as strings of JSON, or not at all.
const YRS_JSON: &str = "yrs does not read JSON content of Yjs before 13.0";
/// yrs reads the type name after an XML hook otherwise than Yjs writes it, and misreads all bytes behind it.
const YRS_HOOKS: &str = "yrs does not read XML hooks";
/// The reference of XML hooks.
const HOOK: u64 = 5;

/// The libraries that read, and how they do.
pub(super) struct Examiner {
    pub(super) libraries: Vec<LibraryProcess>,
    pub(super) roots: Roots,
    pub(super) shuffles: usize,
    pub(super) rng: Rng,
}

impl Examiner {
    /// Reads a recording in every way.
    pub(super) fn examine(&mut self, recording: &Recording) -> Verdict {
        let updates: Vec<_> =
            recording.updates.iter().filter_map(|update| Update::scan(update.clone()).ok()).collect();
        let mut found = roots::roots(&updates);
        found.extend(self.roots.clone());
        let whole = admitted(&recording.updates);
        let has = |what: fn(&Block<'_>) -> bool| {
            updates.iter().any(|update| update.runs().any(|run| run.blocks().any(|block| what(&block))))
        };
        let mut examination = Examination {
            name: &recording.name,
            has_old_json: has(|block| block.content == Content::Json),
            has_hooks: has(|block| roots::is_type(block, HOOK)),
            is_whole: whole.parked().is_empty(),
            roots: found,
            expected: None,
            states: HashSet::new(),
            deaths: [0; 2],
            findings: Vec::new(),
        };
        let ways = self.ways(recording, &mut examination);
        for way in &ways {
            examination.examine(way, &whole, &mut self.libraries);
        }
        Verdict {
            name: recording.name.clone(),
            updates: recording.updates.len(),
            bytes: recording.updates.iter().map(Bytes::len).sum(),
            clients: whole.state_vector().len(),
            elements: whole.state_vector().iter().map(|(_, clock)| u64::from(clock)).sum(),
            gaps: gap::missing(&updates).iter().map(difference::elements).collect(),
            ways: ways.len() + examination.states.len(),
            roots: examination.roots,
            findings: examination.findings,
        }
    }

    /// The ways in which it is read; libraries may fail to merge it.
    fn ways(&mut self, recording: &Recording, examination: &mut Examination<'_>) -> Vec<Way> {
        let mut ways = ways::orders(&recording.updates, self.shuffles, &mut self.rng);
        if recording.updates.len() == 1 {
            return ways;
        }
        for library in &mut self.libraries {
            match ways::merged(&recording.updates, library, &mut self.rng) {
                Ok(way) => ways.push(way),
                Err(trouble) => {
                    examination.trouble(library.library, &Way::new("merged in groups", Vec::new()), &trouble);
                }
            }
        }
        ways
    }
}

/// One recording that is being read.
struct Examination<'a> {
    name: &'a str,
    has_old_json: bool,
    has_hooks: bool,
    /// Whether nothing is missing from it.
    is_whole: bool,
    roots: Roots,
    /// The document as the first library read it, and which one that was.
    expected: Option<(Library, Reading)>,
    /// The states that coscribe would store.
    states: HashSet<Bytes>,
    /// How often each library has died of the recording.
    deaths: [usize; 2],
    findings: Vec<Divergence>,
}

impl Examination<'_> {
    /// Reads it in one way, with each library.
    fn examine(&mut self, way: &Way, whole: &Blocks, libraries: &mut [LibraryProcess]) {
        let blocks = admitted(&way.updates);
        self.check_blocks(way, &blocks, whole);
        let state = blocks.encode_state();
        let stored = self.states.insert(state.clone());
        for library in libraries {
            // What is said of yrs is not that it shows what others have been told to wait for.
            if library.library == Library::Yjs || self.is_whole {
                self.read(library, way);
            }
            if stored {
                let name = format!("as coscribe stores it after: {}", way.name);
                self.read(library, &Way { name, updates: vec![state.clone()], has_gaps: false });
            }
        }
    }

    fn check_blocks(&mut self, way: &Way, blocks: &Blocks, whole: &Blocks) {
        let mut found =
            |oracle, detail| self.findings.push(divergence(self.name, "coscribe", way, oracle, detail));
        if let Some(lacking) = difference::lacks(blocks.state_vector(), whole.state_vector()) {
            found(Oracle::StateVector, format!("{} is not taken in", difference::elements(&lacking)));
        } else if let Some(extra) = difference::lacks(whole.state_vector(), blocks.state_vector()) {
            found(
                Oracle::StateVector,
                format!("{} is taken in, and not as recorded", difference::elements(&extra)),
            );
        } else if blocks.delete_set() != whole.delete_set() {
            let lacking = difference::lacks_deletion(blocks.delete_set(), whole.delete_set());
            let extra = difference::lacks_deletion(whole.delete_set(), blocks.delete_set());
            let what = lacking.or(extra).map(|what| difference::elements(&what)).unwrap_or_default();
            found(Oracle::DeleteSet, format!("otherwise than as recorded: {what}"));
        }
        if let Err(detail) = reencode(blocks) {
            found(Oracle::Reencoding, detail);
        }
    }

    fn read(&mut self, library: &mut LibraryProcess, way: &Way) {
        if self.deaths[library.library as usize] >= limits::DEATHS {
            return;
        }
        let reading = match library.read(&self.roots, &way.updates) {
            Ok(reading) => reading,
            Err(trouble) => return self.trouble(library.library, way, &trouble),
        };
        let Some((_, expected)) = &self.expected else {
            self.expected = Some((library.library, reading));
            return;
        };
        let Some((oracle, detail)) = differs(expected, &reading, way) else { return };
        let known = match library.library {
            Library::Yrs if way.has_gaps => Some(YRS_GAPS),
            Library::Yrs if self.has_hooks => Some(YRS_HOOKS),
            Library::Yrs if self.has_old_json && oracle == Oracle::Content => Some(YRS_JSON),
            _ => None,
        };
        let finding = divergence(self.name, &library.library.to_string(), way, oracle, detail);
        self.findings.push(Divergence { known, ..finding });
    }

    fn trouble(&mut self, library: Library, way: &Way, trouble: &Trouble) {
        let oracle = match trouble {
            Trouble::Refused(_) => Oracle::Refused,
            Trouble::Died(_) => {
                self.deaths[library as usize] += 1;
                Oracle::Panic
            }
        };
        let known = match library {
            Library::Yrs if self.has_hooks => Some(YRS_HOOKS),
            Library::Yrs if self.has_old_json => Some(YRS_JSON),
            _ => None,
        };
        let finding = divergence(self.name, &library.to_string(), way, oracle, trouble.to_string());
        self.findings.push(Divergence { known, ..finding });
    }
}

/// A state that is decoded and encoded again is the same document. Its blocks may be cut differently, as those that were typed
/// one after the other are, but only once.
fn reencode(blocks: &Blocks) -> Result<(), String> {
    let again = |state: &[u8]| Blocks::from_update(state).map_err(|error| error.to_string());
    let once = again(&blocks.encode_state())?;
    let twice = again(&once.encode_state())?;
    let is_same = once.state_vector() == blocks.state_vector() && once.delete_set() == blocks.delete_set();
    if is_same && once.encode_state() == twice.encode_state() {
        return Ok(());
    }
    Err("decoded and encoded it is another document".to_owned())
}

fn divergence(recording: &str, reader: &str, way: &Way, oracle: Oracle, detail: String) -> Divergence {
    let (recording, reader, way) = (recording.to_owned(), reader.to_owned(), way.name.clone());
    Divergence { recording, reader, way, oracle, detail, known: None }
}

/// The difference between a reading and the expected one.
fn differs(expected: &Reading, reading: &Reading, way: &Way) -> Option<(Oracle, String)> {
    let there = |what| difference::elements(&what);
    if let Some(lacking) = difference::lacks(&reading.state_vector, &expected.state_vector) {
        return Some((Oracle::StateVector, format!("it lacks {}", there(lacking))));
    }
    if let Some(extra) = difference::lacks(&expected.state_vector, &reading.state_vector) {
        return Some((Oracle::StateVector, format!("it has {}, as recorded it has not", there(extra))));
    }
    if let Some(difference) = difference::contents(&expected.content, &reading.content) {
        return Some((Oracle::Content, format!("as recorded, and here: {difference}")));
    }
    if let Some(lacking) = difference::lacks_deletion(&reading.delete_set, &expected.delete_set) {
        return Some((Oracle::DeleteSet, format!("{} is not deleted", there(lacking))));
    }
    if let Some(extra) = difference::lacks_deletion(&expected.delete_set, &reading.delete_set) {
        return Some((Oracle::DeleteSet, format!("{} is deleted, as recorded it is not", there(extra))));
    }
    let waits = reading.waiting && !expected.waiting && !way.has_gaps;
    waits.then(|| (Oracle::Waiting, "something waits for a gap to fill".to_owned()))
}
