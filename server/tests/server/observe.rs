//! Logs as JSON, and traces and logs that are exported to a collector of the test's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value as Json;
use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;
use crate::process::{Server, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const TOKEN: &str = "c2VjcmV0LXRva2Vu";

/// The span that the test's requests say they belong to.
fn traceparent() -> String {
    format!("traceparent: 00-{TRACE}-{CALLER}-01\r\n")
}

/// What a collector was sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>);

impl Collector {
    /// Collects, and gives its address.
    async fn start() -> (Collector, String) {
        let collector = Collector::default();
        let take = async |State(taken): State<Collector>, uri: Uri, headers: HeaderMap, body: Bytes| {
            taken.0.lock().unwrap().push((uri.path().to_owned(), headers, body));
        };
        let routes = Router::new().fallback(take).with_state(collector.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (collector, format!("http://{address}"))
    }

    fn taken(&self, path: &str) -> Vec<Bytes> {
        let taken = self.0.lock().unwrap();
        taken.iter().filter(|(to, ..)| to == path).map(|(.., body)| body.clone()).collect()
    }

    fn resources_and_spans(&self) -> Vec<(Resource, Span)> {
        let requests = self.taken("/v1/traces").into_iter();
        let requests = requests.map(|body| ExportTraceServiceRequest::decode(body).unwrap());
        let of_resource = requests.flat_map(|request| request.resource_spans);
        of_resource
            .flat_map(|spans| {
                let resource = spans.resource.unwrap();
                let spans = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.map(move |span| (resource.clone(), span)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The spans by their names.
    fn spans(&self) -> BTreeMap<String, Vec<Span>> {
        let mut spans = BTreeMap::<String, Vec<Span>>::new();
        for (_, span) in self.resources_and_spans() {
            spans.entry(span.name.clone()).or_default().push(span);
        }
        spans
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A proxy that adds a header to requests, as those do that begin traces. Gives its address.
async fn proxy(server: SocketAddr, header: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let header = header.clone();
            tokio::spawn(async move {
                let mut upstream = TcpStream::connect(server).await.unwrap();
                let mut first_line = Vec::new();
                while !first_line.ends_with(b"\n") {
                    first_line.push(client.read_u8().await.unwrap());
                }
                first_line.extend(header.as_bytes());
                upstream.write_all(&first_line).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut upstream).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn one_trace_goes_from_the_callers_span_through_upgrade_and_flush_to_the_confirmation() {
    let (data, (collector, endpoint)) = (tempdir().unwrap(), Collector::start().await);
    let flags = ["--otlp-endpoint", &endpoint, "--otlp-sample", "0", "--otlp-headers", "api-key=do-not-tell"];
    let server = Server::start(data.path(), &flags);
    let traced = proxy(server.address, traceparent()).await;
    let mut reader = Client::connect(server.address, "a-document").await;
    reader.synced().await;
    let mut writer = Client::connect(traced, &format!("a-document?token={TOKEN}")).await;
    writer.synced().await;
    writer.save("written by one who is traced").await;
    reader.shows(|text| text.contains("traced")).await;
    reader.save("written by one who is not").await;
    let log = server.log();
    server.stop().await;

    let spans = collector.spans();
    let names: Vec<_> = spans.keys().map(String::as_str).collect();
    assert_eq!(names, ["append", "confirm", "flush", "grant", "join", "receive", "upgrade"]);
    for (name, parent) in [
        ("grant", "upgrade"),
        ("join", "upgrade"),
        ("receive", "upgrade"),
        ("append", "receive"),
        ("flush", "receive"),
        ("confirm", "append"),
    ] {
        let parents: BTreeSet<_> = spans[parent].iter().map(|span| &span.span_id).collect();
        for span in &spans[name] {
            assert_eq!(hex(&span.trace_id), TRACE, "{name}");
            assert!(parents.contains(&span.parent_span_id), "{name} is no part of {parent}");
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{name}");
        }
    }
    assert!(spans["upgrade"].len() == 1 && spans["append"].len() == 1 && spans["flush"].len() == 1);
    let upgrade = &spans["upgrade"][0];
    assert_eq!((hex(&upgrade.trace_id).as_str(), hex(&upgrade.parent_span_id).as_str()), (TRACE, CALLER));
    assert_eq!(text(&upgrade.attributes, "coscribe.dialect").unwrap(), "y-websocket");
    assert_eq!(text(&upgrade.attributes, "coscribe.document").unwrap(), "a-document");
    let (resource, _) = &collector.resources_and_spans()[0];
    assert_eq!(text(&resource.attributes, "service.name").unwrap(), "coscribe");
    assert_eq!(text(&resource.attributes, "service.version").unwrap(), env!("CARGO_PKG_VERSION"));

    let taken = collector.0.lock().unwrap();
    assert!(taken.iter().all(|(_, headers, _)| headers["api-key"] == "do-not-tell"));
    let has = |bytes: &[u8], secret: &str| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
    for secret in [TOKEN, "token=", "written by", "do-not-tell"] {
        assert!(
            taken.iter().all(|(.., body)| !has(body, secret)) && !has(log.as_bytes(), secret),
            "{secret}"
        );
    }
}

#[tokio::test]
async fn connections_are_traced_in_the_configured_share_or_as_their_caller_says() {
    let (data, (collector, endpoint)) = (tempdir().unwrap(), Collector::start().await);
    let server = Server::start(data.path(), &["--otlp-endpoint", &endpoint, "--otlp-sample", "1"]);
    let untraced = proxy(server.address, traceparent().replace("-01\r\n", "-00\r\n")).await;
    Client::connect(untraced, "of-an-untraced-caller").await.synced().await;
    Client::connect(server.address, "without-a-caller").await.synced().await;
    server.stop().await;
    let spans = collector.spans();
    let documents: Vec<_> =
        spans["upgrade"].iter().map(|span| text(&span.attributes, "coscribe.document")).collect();
    assert_eq!(documents, [Some("without-a-caller".to_owned())]);
}

#[tokio::test]
async fn log_lines_are_exported_with_the_trace_that_they_belong_to() {
    let (data, (collector, endpoint)) = (tempdir().unwrap(), Collector::start().await);
    let server = Server::start(data.path(), &["--otlp-endpoint", &endpoint]);
    server.http(&upgrade("/%ff", &traceparent())).await;
    server.stop().await;
    let requests = collector.taken("/v1/logs").into_iter();
    let requests = requests.map(|body| ExportLogsServiceRequest::decode(body).unwrap());
    let scopes = requests.flat_map(|request| request.resource_logs).flat_map(|logs| logs.scope_logs);
    let records: Vec<_> = scopes.flat_map(|logs| logs.log_records).collect();
    let refused = records.iter().find(|record| format!("{:?}", record.body).contains("refused a WebSocket"));
    let refused = refused.expect("the line is exported");
    assert_eq!((hex(&refused.trace_id).as_str(), refused.severity_text.as_str()), (TRACE, "INFO"));
    assert!(text(&refused.attributes, "from").unwrap().starts_with("127.0.0.1:"));
}

/// A request for a WebSocket, with more header lines.
fn upgrade(path: &str, header: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n"
    )
}

#[tokio::test]
async fn an_error_answers_with_the_trace_that_tells_of_it() {
    let (data, (collector, endpoint)) = (tempdir().unwrap(), Collector::start().await);
    let server = Server::start(data.path(), &["--otlp-endpoint", &endpoint, "--otlp-sample", "0"]);
    let y_sweet = |header: &str| {
        format!(
            "GET /y-sweet/d/a%20b/as-update HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n"
        )
    };
    for request in [upgrade("/%ff", &traceparent()), y_sweet(&traceparent())] {
        let answer = server.http(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains(&format!("traceparent: 00-{TRACE}-")), "{answer}");
    }
    for request in [upgrade("/%ff", ""), y_sweet("")] {
        assert!(!server.http(&request).await.contains("traceparent"));
    }
    server.stop().await;
    let (spans, status) = (collector.spans(), "http.response.status_code");
    assert_eq!(text(&spans["upgrade"][0].attributes, status).unwrap(), "IntValue(400)");
    assert_eq!(text(&spans["y-sweet"][0].attributes, status).unwrap(), "IntValue(400)");
}

#[tokio::test]
async fn without_its_collector_a_server_serves_says_so_once_and_ends() {
    // One that refuses, and one that never answers.
    let (closed, silent) = (
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let addresses = [closed.local_addr().unwrap(), silent.local_addr().unwrap()];
    drop(closed);
    for address in addresses {
        let (data, endpoint) = (tempdir().unwrap(), format!("http://{address}"));
        let mut server = Server::start(data.path(), &["--otlp-endpoint", &endpoint, "--otlp-sample", "1"]);
        let mut client = Client::connect(server.address, "a").await;
        client.synced().await;
        for kind in ["traces", "logs"] {
            server
                .logs(&format!("the collector does not take {kind}, which are dropped until it does"))
                .await;
        }
        client.save("more").await;
        server.signal("TERM");
        assert!(server.ended().await.success(), "{}", server.log());
        for kind in ["traces", "logs"] {
            assert_eq!(server.log().matches(&format!("does not take {kind}")).count(), 1, "{kind}");
        }
    }
}

#[tokio::test]
async fn logs_are_objects_of_json_without_nesting() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--log-format", "json"]);
    Client::connect(server.address, "a%20%22quoted%22%20document").await.synced().await;
    until("a line that names the document", || server.log().contains("quoted")).await;
    server.http(&upgrade("/%ff", "")).await;
    server.logs("refused a WebSocket").await;
    let log = server.log();
    // The last line may not be whole.
    let lines = log[..=log.rfind('\n').unwrap()].lines();
    let lines: Vec<serde_json::Map<String, Json>> = lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.contains('T') && time.ends_with('Z'), "{time}");
        assert!(line["level"].is_string() && line["message"].is_string());
        assert!(line.values().all(|value| !value.is_object() && !value.is_array()), "{line:?}");
    }
    let refused = lines.iter().find(|line| line["message"].as_str().unwrap().contains("refused")).unwrap();
    assert!(refused["from"].as_str().unwrap().starts_with("127.0.0.1:") && refused["level"] == "INFO");
}
