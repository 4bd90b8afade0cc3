//! The dashboard, the alerts and the table of metrics name what the server exposes.

use std::collections::BTreeSet;
use std::fs;

use serde::Deserialize;
use serde_json::Value as Json;
use tempfile::tempdir;

use crate::process::Server;

#[derive(Deserialize)]
struct Alerts {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    lasts: Option<String>,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Labels {
    severity: String,
}

#[derive(Deserialize)]
struct Annotations {
    summary: String,
    description: String,
}

fn read(file: &str) -> String {
    fs::read_to_string(format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The metrics of a running server by the names that queries have, in the text of `/metrics`.
fn exposed(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .flat_map(|(name, kind)| {
            let suffixes: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
        })
        .collect()
}

/// The metrics of coscribe that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_of_name(c));
    words.filter(|word| word.starts_with("coscribe_")).map(str::to_owned).collect()
}

/// Those that no server exposes. Each text has to name some.
fn unknown(texts: &[String], exposed: &BTreeSet<String>) -> BTreeSet<String> {
    assert!(texts.iter().all(|text| !named(text).is_empty()), "{texts:?}");
    texts.iter().flat_map(|text| named(text)).filter(|name| !exposed.contains(name)).collect()
}

/// The object in the body of an answer.
fn json(answer: &str) -> Json {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// What a server exposes that has granted and denied something.
async fn scraped() -> BTreeSet<String> {
    let data = tempdir().unwrap();
    let key = "0123456789abcdef";
    let server = Server::start(data.path(), &["--y-sweet-key", key, "--max-connections", "700"]);
    let request = |method: &str, path: &str, header: &str| {
        format!("{method} /y-sweet/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n")
    };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\nContent-Length: 0\r\n");
    let created = json(&server.http(&request("POST", "doc/new", &bearer(key))).await);
    let id = created["docId"].as_str().unwrap();
    let signed = json(&server.http(&request("POST", &format!("doc/{id}/auth"), &bearer(key))).await);
    for header in [bearer(signed["token"].as_str().unwrap()), String::new()] {
        server.http(&request("GET", &format!("d/{id}/as-update"), &header)).await;
    }
    let text = server.get("/metrics").await;
    for line in [
        "coscribe_ready 1",
        "coscribe_max_connections 700",
        "coscribe_grants_total{dialect=\"y-sweet\"} 1",
        "coscribe_denials_total{reason=\"no_token\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
    exposed(&text)
}

#[tokio::test]
async fn alerts_and_dashboard_are_sound_and_name_metrics_that_there_are() {
    let exposed = scraped().await;
    let misspelt = "rate(coscribe_conections[5m]) > coscribe_connections".to_owned();
    assert_eq!(unknown(&[misspelt], &exposed), BTreeSet::from(["coscribe_conections".to_owned()]));

    let alerts: Alerts = serde_saphyr::from_str(&read("packaging/alerts.yaml")).unwrap();
    let described = read("docs/observe.md");
    for rule in alerts.groups.iter().flat_map(|group| &group.rules) {
        assert!(described.contains(&format!("| `{}` | ", rule.alert)), "{} is not described", rule.alert);
        assert!(["critical", "warning"].contains(&rule.labels.severity.as_str()), "{}", rule.alert);
        assert!(!rule.annotations.summary.is_empty() && !rule.annotations.description.is_empty());
        let lasts = rule.lasts.as_deref().map(humantime::parse_duration);
        assert!(lasts.is_none_or(|time| time.is_ok()), "{}", rule.alert);
    }
    assert!(alerts.groups.len() == 1 && alerts.groups[0].name == "coscribe");
    let expressions: Vec<_> = alerts.groups[0].rules.iter().map(|rule| rule.expr.clone()).collect();
    assert_eq!(unknown(&expressions, &exposed), BTreeSet::new());

    let dashboard: Json = serde_json::from_str(&read("packaging/grafana-dashboard.json")).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(
        variables
            .iter()
            .any(|variable| variable["type"] == "datasource" && variable["query"] == "prometheus")
    );
    let panels = dashboard["panels"].as_array().unwrap();
    let targets: Vec<_> = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()).collect();
    assert!(targets.len() >= panels.len() && panels.len() >= 10);
    assert!(targets.iter().all(|target| target["datasource"]["uid"] == "${datasource}"));
    let expressions: Vec<_> =
        targets.iter().map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    assert_eq!(unknown(&expressions, &exposed), BTreeSet::new());
}

#[test]
fn the_image_is_built_of_all_crates() {
    let workspace = read("Cargo.toml");
    let members = workspace.lines().find_map(|line| line.strip_prefix("members = ")).unwrap();
    let members: Vec<String> = serde_json::from_str(members).unwrap();
    let kept = read(".dockerignore");
    for part in members.iter().map(String::as_str).chain(["Cargo.lock", ".cargo", "packaging", "demo"]) {
        assert!(kept.lines().any(|line| line == format!("!{part}")), "{part} stays out of the image");
    }
}

#[tokio::test]
async fn every_metric_is_described() {
    let text = read("docs/observe.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `coscribe_")?.split_once('`'));
    let described: BTreeSet<_> = rows
        .flat_map(|(name, row)| {
            let suffixes: &[&str] =
                if row.contains("histogram") { &["_bucket", "_count", "_sum"] } else { &[""] };
            suffixes.iter().map(move |suffix| format!("coscribe_{name}{suffix}"))
        })
        .collect();
    assert_eq!(described, scraped().await);
}
