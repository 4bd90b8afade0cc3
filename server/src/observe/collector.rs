//! Where OpenTelemetry is sent: OTLP over HTTP, with protobuf. Each kind has a thread, which sends batches of a bounded queue;
//! what the queue has no space for, or the collector does not take, is dropped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use async_trait::async_trait;
use axum::http::{HeaderName, HeaderValue, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{LogExporter, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{self, BatchLogProcessor, SdkLoggerProvider};
use opentelemetry_sdk::trace::{self, BatchSpanProcessor, Sampler, SdkTracerProvider};
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::{Config, Secret, Url};
use crate::limits::{EXPORT_ANSWER_BYTES, EXPORT_BATCH, EXPORT_INTERVAL, EXPORT_QUEUE, EXPORT_TIMEOUT};

/// Exports the spans of some traces; `None` if there is no collector.
///
/// # Errors
/// If the headers for it are none.
pub(super) fn traces(config: &Config) -> anyhow::Result<Option<SdkTracerProvider>> {
    let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(address(endpoint, "v1/traces"))
        .with_headers(headers(config.otlp_headers.as_ref())?)
        .with_http_client(Collector::new("traces")?)
        .build()
        .context("cannot export traces")?;
    let batches = trace::BatchConfigBuilder::default()
        .with_max_queue_size(EXPORT_QUEUE)
        .with_max_export_batch_size(EXPORT_BATCH)
        .with_scheduled_delay(EXPORT_INTERVAL)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let some = Sampler::TraceIdRatioBased(config.otlp_sample.get());
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(some)))
        .with_resource(resource());
    Ok(Some(provider.build()))
}

/// Exports log lines; `None` if there is no collector.
///
/// # Errors
/// If the headers for it are none.
pub(super) fn log_lines(config: &Config) -> anyhow::Result<Option<SdkLoggerProvider>> {
    let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
    let exporter = LogExporter::builder()
        .with_http()
        .with_endpoint(address(endpoint, "v1/logs"))
        .with_headers(headers(config.otlp_headers.as_ref())?)
        .with_http_client(Collector::new("logs")?)
        .build()
        .context("cannot export logs")?;
    let batches = logs::BatchConfigBuilder::default()
        .with_max_queue_size(EXPORT_QUEUE)
        .with_max_export_batch_size(EXPORT_BATCH)
        .with_scheduled_delay(EXPORT_INTERVAL)
        .build();
    let processor = BatchLogProcessor::builder(exporter).with_batch_config(batches).build();
    Ok(Some(SdkLoggerProvider::builder().with_log_processor(processor).with_resource(resource()).build()))
}

/// Who says it. `OTEL_RESOURCE_ATTRIBUTES` may add to it.
fn resource() -> Resource {
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder().with_service_name(env!("CARGO_PKG_NAME")).with_attribute(version).build()
}

/// Where one kind is taken.
fn address(endpoint: &Url, kind: &str) -> String {
    format!("{}/{kind}", endpoint.reveal().to_string().trim_end_matches('/'))
}

/// The headers of `name=value,name=value`. An error does not show them.
fn headers(secret: Option<&Secret>) -> anyhow::Result<HashMap<String, String>> {
    let mut headers = HashMap::new();
    for pair in secret.map(Secret::reveal).unwrap_or_default().split(',').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            bail!("otlp_headers: they are written name=value, with commas between them");
        };
        let (name, value) = (name.trim(), value.trim());
        if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
            bail!("otlp_headers: one of them is no header of HTTP");
        }
        headers.insert(name.to_owned(), value.to_owned());
    }
    Ok(headers)
}

/// Sends one kind to the collector, on the thread that asks: nothing of it is on the threads that serve editors.
#[derive(Debug)]
struct Collector {
    kind: &'static str,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
    is_failing: AtomicBool,
}

impl Collector {
    fn new(kind: &'static str) -> anyhow::Result<Collector> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .context("cannot speak TLS")?
            .https_or_http()
            .enable_http1()
            .build();
        let runtime = runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Collector { kind, client, runtime: Some(runtime), is_failing: AtomicBool::new(false) })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response = self.client.request(request.map(Full::new)).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, EXPORT_ANSWER_BYTES).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }

    /// Says once that nothing is taken, and once that it is again.
    fn note(&self, failure: Option<String>) {
        let kind = self.kind;
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(reason) if !was_failing => {
                warn!("the collector does not take {kind}, which are dropped until it does: {reason}");
            }
            None if was_failing => info!("the collector takes {kind} again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let Some(runtime) = &self.runtime else { return Err("the server is stopping".into()) };
        let sent = runtime.block_on(async { timeout(EXPORT_TIMEOUT, self.send(request)).await });
        let sent = sent.unwrap_or_else(|_| Err("it takes too long".into()));
        self.note(match &sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(words(error.as_ref())),
        });
        sent
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may be dropped on a thread that must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An error with its causes, on one line.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn headers_are_pairs_and_an_error_does_not_show_them() {
        let headers = |text: &str| super::headers(Some(&text.parse().unwrap()));
        let both = headers("api-key=s3cret, x-tenant = a=b").unwrap();
        assert_eq!((both["api-key"].as_str(), both["x-tenant"].as_str()), ("s3cret", "a=b"));
        assert!(super::headers(None).unwrap().is_empty() && headers("").unwrap().is_empty());
        for wrong in ["s3cret", "api key=s3cret", "api-key=s3cret\u{1}", "a=b,s3cret"] {
            let error = headers(wrong).unwrap_err().to_string();
            assert!(error.contains("otlp_headers") && !error.contains("s3cret"), "{error}");
        }
    }
}
