//! The document that yrs makes of updates, read in a process that may die: known updates make yrs overflow its stack, loop for ever, take
//! gigabytes or use freed memory. That is not what is looked for here, so a death only means that there is no answer.
//!
//! A request is `count, varBuf update*`; an answer is empty if yrs does not read them all or still waits for something,
//! otherwise `varBuf state vector, varBuf delete set, varString JSON`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::limits;
use bytes::Bytes;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::lib0::{Reader, write_var_buf, write_var_uint};
use coscribe_engine::update::Update;
use coscribe_terminal::note;
use coscribe_worker::document::{self, Document, Summary};
use coscribe_worker::{Child, ServeError, Unanswered};
use yrs::updates::decoder::Decode;
use yrs::{ReadTxn, Transact};

/// The argument that makes a program call [`serve`].
const ARGUMENT: &str = "oracle";

/// One in so many inputs is shown to yrs; all, if it is not set.
const SAMPLE: &str = "COSCRIBE_FUZZ_YRS";

/// The answer of yrs to some updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A document.
    Document(Reading),
    /// It does not read them, or waits for something.
    Refused,
    /// Nothing: it had to be started again.
    Died,
}

/// A document as yrs has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) state_vector: StateVector,
    pub(super) delete_set: IdSet,
    pub(super) json: String,
}

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
static ORACLE: Mutex<Option<Child>> = Mutex::new(None);

/// Which program to start with the argument `oracle`: it must call [`serve`]. Otherwise it is the running one.
pub fn use_program(path: impl Into<PathBuf>) {
    PROGRAM.get_or_init(|| path.into());
}

/// Serves until stdin ends, and ends the process, if this is the process that was started for that.
pub fn serve_if_asked() {
    if std::env::args().nth(1).as_deref() == Some(ARGUMENT) {
        std::process::exit(i32::from(serve().is_err()));
    }
}

/// Whether this input is among those that are shown to yrs.
pub(super) fn is_to_be_asked(input: &[u8]) -> bool {
    static ONE_IN: OnceLock<u32> = OnceLock::new();
    let one_in = ONE_IN.get_or_init(|| {
        std::env::var(SAMPLE).map_or(1, |number| number.parse().expect("COSCRIBE_FUZZ_YRS is a number"))
    });
    // Decided by the input, so that it is the same when a finding is replayed.
    crc32c::crc32c(input).is_multiple_of(*one_in)
}

/// What yrs makes of these updates, applied in their order.
pub(super) fn read(updates: &[Bytes]) -> Answer {
    let mut request = Vec::new();
    write_var_uint(&mut request, updates.len() as u64);
    updates.iter().for_each(|update| write_var_buf(&mut request, update));
    let mut oracle = ORACLE.lock().unwrap_or_else(PoisonError::into_inner);
    match oracle.get_or_insert_with(child).ask(request.into()) {
        Ok(answer) => read_answer(&answer).map_or(Answer::Refused, Answer::Document),
        Err(Unanswered::NotStarted(error)) => panic!("the oracle does not start: {error}"),
        Err(_) => {
            report_death();
            Answer::Died
        }
    }
}

fn read_answer(answer: &[u8]) -> Option<Reading> {
    let mut reader = Reader::new(answer);
    let state_vector = StateVector::decode(reader.var_buf().ok()?).ok()?;
    // An update that has nothing but this delete set.
    let deletions = [&[0], reader.var_buf().ok()?].concat();
    let mut delete_set = IdSet::default();
    let deletions = Update::scan(deletions.into()).ok()?;
    deletions.deletions().for_each(|(client, range)| delete_set.insert(client, range, |_| {}));
    Some(Reading { state_vector, delete_set, json: reader.var_string().ok()?.to_owned() })
}

/// Says so at the first death, the second, the fourth and so on.
fn report_death() {
    static DEATHS: Mutex<u64> = Mutex::new(0);
    let mut deaths = DEATHS.lock().unwrap_or_else(PoisonError::into_inner);
    *deaths += 1;
    if deaths.is_power_of_two() {
        note!("yrs has died {deaths} times");
    }
}

/// The process with yrs in it.
fn child() -> Child {
    let running = || std::env::current_exe().expect("a running program has a path");
    let mut command = Command::new(PROGRAM.get().cloned().unwrap_or_else(running));
    command.arg(ARGUMENT);
    Child::new(command, limits::ORACLE_ANSWER, limits::ORACLE_PROCESS.frame_bytes)
}

/// The side of the process that may die: answers on stdout what comes on stdin, until that ends.
///
/// # Errors
/// If the limits cannot be set, or the other side breaks off.
pub fn serve() -> Result<(), ServeError> {
    coscribe_worker::serve(limits::ORACLE_PROCESS, |request| Ok(answer(&request).unwrap_or_default()))
}

fn answer(request: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(request);
    let count = reader.var_uint().ok()?;
    let updates: Option<Vec<_>> = (0..count).map(|_| reader.var_buf().ok()).collect();
    let document = Document::from_update(&merged(&updates?)?).ok()?;
    let Summary { state_vector, delete_set } = document.summary();
    let mut deletions = Vec::new();
    delete_set.encode(&mut deletions);
    let mut answer = Vec::new();
    write_var_buf(&mut answer, &state_vector.encode());
    write_var_buf(&mut answer, &deletions);
    write_var_buf(&mut answer, document.to_json().to_string().as_bytes());
    Some(answer)
}

/// The state of a document that has applied these updates one after the other; `None` if one is refused or has to wait.
/// What yrs writes is not always what it read (large integers become floats), so a single update goes through here too.
fn merged(updates: &[&[u8]]) -> Option<Vec<u8>> {
    let doc = document::empty();
    for update in updates {
        let mut txn = doc.transact_mut();
        txn.apply_update(yrs::Update::decode_v1(update).ok()?).ok()?;
        if txn.has_missing_updates() {
            return None;
        }
    }
    Some(doc.transact().encode_state_as_update_v1(&yrs::StateVector::default()))
}
