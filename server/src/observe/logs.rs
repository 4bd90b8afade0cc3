//! What is logged, to stderr and to a collector, if there is one.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use coscribe_terminal::stderr;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use serde::{Deserialize, Deserializer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, registry};

use super::collector;
use crate::config::{Config, choice};
use crate::limits::EXPORT_TIMEOUT;

/// How a line of the log is written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, without nesting.
    Json,
}

/// A running export of what is logged.
#[must_use]
pub(crate) struct Logs(Option<SdkLoggerProvider>);

/// Starts logging to stderr as configured.
pub(crate) fn start(config: &Config) {
    registry().with(lines(config.log_format)).with(config.log).init();
}

/// Starts logging to stderr, and to the collector, as configured.
///
/// # Errors
/// If the headers for the collector are none.
pub(crate) fn start_with_export(config: &Config) -> anyhow::Result<Logs> {
    let provider = collector::log_lines(config)?;
    let exported = provider.as_ref().map(OpenTelemetryTracingBridge::new);
    registry().with(lines(config.log_format)).with(exported).with(config.log).init();
    Ok(Logs(provider))
}

impl<'de> Deserialize<'de> for LogFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LogFormat, D::Error> {
        choice(deserializer)
    }
}

impl Logs {
    /// Exports what is left, unless that takes long. Blocks until then.
    pub(crate) fn stop(self) {
        if let Some(provider) = self.0 {
            // The collector has said what is wrong.
            let _ = provider.shutdown_with_timeout(EXPORT_TIMEOUT);
        }
    }
}

fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = fmt::layer().with_writer(stderr).log_internal_errors(false).with_target(false);
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
