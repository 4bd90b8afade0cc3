//! The child's side: `coscribe worker`.

use std::io;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use coscribe_worker::document::{Document, DocumentError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::frame::{self, Question, Request, Response};

/// Address space of a worker, its stack included.
const MEMORY_BYTES: u64 = 2 << 30;

/// Stack on which documents are opened: yrs and the JSON writer recurse once or more for each level of nesting, and drop
/// what they made in the same way. Only what is touched is resident.
const STACK_BYTES: usize = 512 << 20;

/// Reads requests from stdin and answers on stdout, one after another, until stdin ends.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    limit(Resource::As, MEMORY_BYTES).context("could not limit the worker's memory")?;
    limit(Resource::Core, 0).context("could not switch off core dumps")?;
    die_of_panics();
    let (requests, inbox) = mpsc::channel();
    thread::Builder::new()
        .name("document".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || answer_all(&inbox))
        .context("could not start a thread with a large stack")?;
    let mut stdin = io::stdin().lock();
    // This thread waits for the end of stdin while the other one works: when the server is gone, the worker goes too,
    // whatever the document does to it.
    while let Some(request) = frame::read::<Request>(&mut stdin).context("could not read a request")? {
        requests.send(request).context("the thread that answers is gone")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn answer_all(inbox: &Receiver<Request>) {
    let mut stdout = io::stdout().lock();
    for request in inbox {
        let sent = limit_processor_time(request.processor_time)
            .and_then(|()| frame::encode(&answer(&request)))
            .and_then(|frame| frame::write(&mut stdout, &frame));
        if let Err(error) = sent {
            eprintln!("could not answer: {error}");
            std::process::exit(1);
        }
    }
}

fn answer(request: &Request) -> Response {
    look_at(request).unwrap_or_else(|error| Response::Refused(error.to_string()))
}

fn look_at(request: &Request) -> Result<Response, DocumentError> {
    let document = Document::from_update(&request.update)?;
    Ok(match &request.question {
        Question::Summary => {
            let summary = document.summary();
            let deleted = summary.delete_set.iter().map(|(client, range)| (client, range.start, range.end));
            Response::Summary {
                state_vector: summary.state_vector.iter().collect(),
                delete_set: deleted.collect(),
            }
        }
        Question::Json => Response::Json(document.to_json().to_string()),
        Question::Text(root) => Response::Text(document.to_text(root.as_deref())),
    })
}

/// After a panic inside yrs nothing about this process is known, so it ends.
fn die_of_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::exit(101);
    }));
}

/// The soft limit moves along with what was used already; the kernel sends SIGXCPU when it is reached.
fn limit_processor_time(more: Duration) -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    limit(Resource::Cpu, u64::try_from(used).unwrap_or(0).saturating_add(more.as_secs()).saturating_add(1))
}

/// Sets the soft limit, as far as the hard one allows.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum;
    let current = Some(maximum.map_or(most, |maximum| most.min(maximum)));
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}
