//! What a worker answers.

use std::io;

use crate::document::{Document, DocumentError};
use crate::limits::{DOCUMENTS, limit_memory, limit_processor_time};
use crate::message::{self, Question, Request, Response};
use crate::serve::{ServeError, serve};

/// Serves as the process that a [`crate::Worker`] has started: answers each [`Request`] on stdin with a [`Response`] on
/// stdout, until stdin ends.
///
/// # Errors
/// If the limits cannot be set, or stdin brings something else than frames.
pub fn run() -> Result<(), ServeError> {
    serve(DOCUMENTS, |body| {
        let request = request(body)?;
        limit_processor_time(request.processor_time)?;
        limit_memory(request.memory_bytes)?;
        message::encode(&answer(&request))
    })
}

fn request(body: Vec<u8>) -> io::Result<Request> {
    message::decode(&body).map_err(|error| io::Error::other(format!("could not read a request: {error}")))
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
        Question::Text(root) => match document.to_text(root.as_deref()) {
            Ok(text) => Response::Text(text),
            Err(roots) => Response::NoText(roots),
        },
    })
}
