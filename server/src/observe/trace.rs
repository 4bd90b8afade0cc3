//! Traces: what becomes of one request, from the upgrade to the confirmation of what its connection writes.
//!
//! A trace has these spans:
//!
//! ```text
//! upgrade              the handshake; a child of the caller's span, if the request names one
//!   grant              what the client may do with the document
//!   join               until the room has taken the peer in, which loads the document
//!   receive            a message that writes: from the inbox of the room until the room has taken it in
//!     append           until the record is on disk
//!       confirm        until all who are owed a confirmation have it in their outboxes
//!     flush            until the update is in the outboxes of the others
//! ```
//!
//! A record or a flush has what several messages wrote. It is a child of the first of those that are traced, and linked to the
//! others. Of each membership only the first messages are traced ([`MESSAGES_TRACED`]): a connection may last for days.
//!
//! A span of nothing is one pointer that is null, and everything that is done with it is to look at that. Where nothing is
//! traced, that is all that a message costs.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer as _, TracerProvider,
};
use opentelemetry::{Context, ContextGuard, KeyValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::task::spawn_blocking;

use super::collector;
use crate::config::Config;
use crate::limits::{EXPORT_TIMEOUT, MESSAGES_TRACED};

/// How a request names the span that it belongs to, and an answer the span that tells of it: <https://www.w3.org/TR/trace-context>.
const TRACEPARENT: &str = "traceparent";

/// Starts traces, if there is a collector.
pub(crate) struct Tracer(Option<(SdkTracer, SdkTracerProvider)>);

/// Something that takes time, and ends when its last copy is dropped, if not before. Most are of nothing, because nothing is
/// traced.
#[derive(Clone, Default)]
pub(crate) struct Span(Option<Arc<Traced>>);

struct Traced {
    tracer: SdkTracer,
    context: Context,
    /// How many messages may still be traced.
    messages: AtomicU32,
}

impl Tracer {
    /// Exports to the configured collector, if there is one.
    ///
    /// # Errors
    /// If the headers for it are none.
    pub(crate) fn start(config: &Config) -> anyhow::Result<Tracer> {
        let provider = collector::traces(config)?;
        Ok(Tracer(provider.map(|provider| (provider.tracer(env!("CARGO_PKG_NAME")), provider))))
    }

    /// The span of a request: in its caller's trace, if it names one, or else in one of its own, if that is to be one of some.
    pub(crate) fn request(&self, name: &'static str, headers: &HeaderMap) -> Span {
        let Some((tracer, _)) = &self.0 else { return Span::default() };
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Traceparent(headers));
        Span::start(tracer, SpanBuilder::from_name(name).with_kind(SpanKind::Server), &parent)
    }

    /// Exports what is left, unless that takes long.
    pub(crate) async fn stop(&self) {
        if let Some((_, provider)) = &self.0 {
            let provider = provider.clone();
            // The collector has said what is wrong.
            let _ = spawn_blocking(move || provider.shutdown_with_timeout(EXPORT_TIMEOUT)).await;
        }
    }
}

impl Span {
    fn start(tracer: &SdkTracer, builder: SpanBuilder, parent: &Context) -> Span {
        let span = tracer.build_with_context(builder, parent);
        if !span.is_recording() {
            return Span::default();
        }
        let (tracer, context) = (tracer.clone(), Context::new().with_span(span));
        Span(Some(Arc::new(Traced { tracer, context, messages: AtomicU32::new(0) })))
    }

    /// A part of this.
    pub(crate) fn child(&self, name: &'static str) -> Span {
        self.child_with(SpanBuilder::from_name(name))
    }

    /// A message that is traced, if not too many have been.
    pub(crate) fn message(&self, name: &'static str) -> Span {
        match &self.0 {
            Some(traced) if traced.messages.fetch_add(1, Ordering::Relaxed) < MESSAGES_TRACED => {
                self.child(name)
            }
            _ => Span::default(),
        }
    }

    /// A part of the first of these, linked to the others, which began then.
    pub(crate) fn child_of(spans: &[Span], name: &'static str, since: Option<SystemTime>) -> Span {
        let Some((first, others)) = spans.split_first() else { return Span::default() };
        let links = others.iter().filter_map(|span| span.0.as_ref());
        let links = links.map(|traced| Link::with_context(traced.context.span().span_context().clone()));
        let mut builder = SpanBuilder::from_name(name).with_links(links.collect());
        builder.start_time = since;
        first.child_with(builder)
    }

    fn child_with(&self, builder: SpanBuilder) -> Span {
        let Some(traced) = &self.0 else { return Span::default() };
        Span::start(&traced.tracer, builder, &traced.context)
    }

    /// Whether it is of anything.
    pub(crate) fn is_traced(&self) -> bool {
        self.0.is_some()
    }

    /// Says something of it.
    pub(crate) fn set<V: Into<Value>>(&self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(traced) = &self.0 {
            traced.context.span().set_attribute(KeyValue::new(key, value()));
        }
    }

    /// It has failed, for this reason.
    pub(crate) fn fail(&self, reason: impl Into<Cow<'static, str>>) {
        if let Some(traced) = &self.0 {
            traced.context.span().set_status(Status::error(reason));
        }
    }

    /// It is over.
    pub(crate) fn end(&self) {
        if let Some(traced) = &self.0 {
            traced.context.span().end();
        }
    }

    /// What is logged until this is dropped belongs to it.
    pub(crate) fn enter(&self) -> Option<ContextGuard> {
        self.0.as_ref().map(|traced| traced.context.clone().attach())
    }

    /// A request is answered: if with an error, the answer names the trace.
    pub(crate) fn answer(&self, response: &mut Response<Body>) {
        let Some(traced) = &self.0 else { return };
        let status = response.status();
        self.set("http.response.status_code", || i64::from(status.as_u16()));
        if status.is_server_error() {
            self.fail(status.canonical_reason().unwrap_or_default());
        }
        let span = traced.context.span();
        let context = span.span_context();
        let named = format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags());
        if let Ok(named) = HeaderValue::try_from(named)
            && (status.is_client_error() || status.is_server_error())
        {
            response.headers_mut().insert(TRACEPARENT, named);
        }
        span.end();
    }
}

/// What a request says of its caller's trace. What else vendors put beside it (`tracestate`) is not taken: anybody may send it.
struct Traceparent<'a>(&'a HeaderMap);

impl Extractor for Traceparent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = (key == TRACEPARENT).then(|| self.0.get(TRACEPARENT)).flatten();
        value.and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}
