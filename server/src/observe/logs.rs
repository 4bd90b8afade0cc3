//! What is logged, to stderr and to a collector, if there is one.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::thread;

use clap::ValueEnum;
use coscribe_terminal::{stderr, words};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use serde::{Deserialize, Deserializer};
use tracing::error;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, registry};

use super::{collector, lines};
use crate::config::{Config, choice};
use crate::limits::{EXPORT_TIMEOUT, LAST_LINES};

/// How a line of the log is written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, without nesting.
    Json,
}

/// What is logged by a server. Dropping this waits until the last lines are written, unless that takes long.
#[must_use]
pub(crate) struct Logs(Option<SdkLoggerProvider>);

/// Starts logging to stderr as configured. Whoever has a line waits until it is written.
pub(crate) fn start(config: &Config) {
    registry().with(layer(config.log_format, stderr)).with(config.log).init();
}

/// Starts logging to stderr, and to the collector, as configured. Nobody waits for either.
///
/// # Errors
/// If the headers for the collector are none.
pub(crate) fn start_with_export(config: &Config) -> anyhow::Result<Logs> {
    let provider = collector::log_lines(config)?;
    let exported = provider.as_ref().map(OpenTelemetryTracingBridge::new);
    lines::start();
    registry().with(layer(config.log_format, || lines::Writer)).with(exported).with(config.log).init();
    panic::set_hook(Box::new(log_panic));
    Ok(Logs(provider))
}

impl<'de> Deserialize<'de> for LogFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LogFormat, D::Error> {
        choice(deserializer)
    }
}

impl Logs {
    /// Exports and writes what is left, unless that takes long, with the error that ended the server. Blocks until then.
    pub(crate) fn stop(self, result: anyhow::Result<ExitCode>) -> ExitCode {
        if let Some(provider) = &self.0 {
            // The collector has said what is wrong.
            let _ = provider.shutdown_with_timeout(EXPORT_TIMEOUT);
        }
        result.unwrap_or_else(|error| {
            lines::say(&format!("error: {}\n", words(error.as_ref())));
            ExitCode::FAILURE
        })
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        lines::flush(LAST_LINES);
    }
}

/// Logs a panic as an error: stderr itself may block.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("no words");
    let (thread, location) = (thread::current(), panic.location());
    let location = location.map_or_else(String::new, |location| format!(" at {location}"));
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    error!(backtrace, "thread '{}' panicked{location}: {what}", thread.name().unwrap_or("without a name"));
}

fn layer<W>(format: LogFormat, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false).with_target(false);
    match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines
            .with_ansi(false)
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    }
}
