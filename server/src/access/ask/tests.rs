use std::net::Ipv4Addr;

use coscribe_engine::room::Access;
use futures_util::future::join_all;

use super::*;
use crate::access::application::{Application, Says};
use crate::config::Config;

fn ask_with(url: &str, access: &str) -> Ask {
    let config = Config::from_toml(&format!("[access]\nask = {url:?}\n{access}")).unwrap().access;
    Ask::new(&config, &HttpClient::new(&config).unwrap()).unwrap().unwrap()
}

fn says(status: u16, body: &str) -> Says {
    Says::This(status, ("location", "/other"), body.to_owned())
}

fn question(token: &str, document: &str) -> Question {
    let token = Some(token.parse().unwrap()).filter(|_| !token.is_empty());
    let credentials = Credentials { token, ..Credentials::default() };
    let document = DocumentName::new(document).unwrap();
    Question { credentials, document, dialect: "hocuspocus", address: [192, 0, 2, 1].into() }
}

const WRITE: &str = r#"{"access":"write","subject":"u"}"#;

#[tokio::test]
async fn the_application_is_asked_once_and_decides() {
    let application = Application::start(says(200, WRITE)).await;
    let ask = ask_with(&application.url, "ask_secret = \"of us\"");
    let grant = ask.decide(question("t", "a")).await.unwrap();
    assert_eq!((grant.access, &*grant.subject), (Access::Write, "u"));
    let (headers, body) = application.last();
    assert_eq!(headers["authorization"], "Bearer of us");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(
        body,
        r#"{"document":"a","dialect":"hocuspocus","address":"192.0.2.1","token":"t","headers":{},"cookies":{}}"#
    );
    assert_eq!(ask.decide(question("t", "a")).await.unwrap(), grant);
    assert_eq!(application.asked(), 1);
    application.says(says(200, r#"{"access":"read"}"#));
    for (token, document) in [("t", "b"), ("s", "a"), ("", "a")] {
        assert_eq!(ask.decide(question(token, document)).await.unwrap().access, Access::Read);
    }
    assert_eq!(application.asked(), 4);
}

#[tokio::test]
async fn a_denial_is_kept_for_a_moment_only_and_a_grant_as_long_as_is_said() {
    let application = Application::start(says(403, r#"{"reason":"not paid"}"#)).await;
    let ask = ask_with(&application.url, "");
    for _ in 0..3 {
        assert_eq!(ask.decide(question("t", "a")).await, Err(Denied::Forbidden("not paid".into())));
    }
    assert_eq!(application.asked(), 1);
    pass(DENIAL_CACHED_AT_MOST).await;
    application.says(says(401, ""));
    assert!(matches!(ask.decide(question("t", "a")).await, Err(Denied::Unauthorized(_))));
    assert_eq!(ask.decide(question("", "a")).await, Err(Denied::NoToken));
    pass(DENIAL_CACHED_AT_MOST).await;
    application.says(says(200, r#"{"access":"write","cacheSeconds":100}"#));
    assert!(ask.decide(question("t", "a")).await.is_ok());
    application.says(says(403, ""));
    pass(Duration::from_secs(90)).await;
    assert!(ask.decide(question("t", "a")).await.is_ok());
    pass(Duration::from_secs(10)).await;
    assert!(ask.decide(question("t", "a")).await.is_err());
    application.says(says(200, r#"{"access":"write","cacheSeconds":0}"#));
    let before = application.asked();
    assert!(ask.decide(question("t", "b")).await.is_ok() && ask.decide(question("t", "b")).await.is_ok());
    assert_eq!(application.asked(), before + 2);
}

/// Lets time pass on timers.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn the_same_question_is_asked_once_at_a_time() {
    let application = Application::start(says(200, WRITE)).await;
    let ask = ask_with(&application.url, "ask_cache = \"0s\"");
    application.answers(false);
    let crowd = join_all((0..100).map(|_| ask.decide(question("t", "a"))));
    let (decisions, ()) = tokio::join!(crowd, async {
        application.has_waiting(1).await;
        application.answers(true);
    });
    assert!(decisions.iter().all(Result::is_ok));
    assert_eq!(application.asked(), 1);
}

#[tokio::test]
async fn what_is_forgotten_is_asked_again_even_if_it_was_on_its_way() {
    let application = Application::start(says(200, WRITE)).await;
    let ask = ask_with(&application.url, "");
    let document = |name| Scope { document: Some(DocumentName::new(name).unwrap()), subject: None };
    assert!(ask.decide(question("t", "a")).await.is_ok());
    ask.forget(&document("b"));
    assert!(ask.decide(question("t", "a")).await.is_ok());
    assert_eq!(application.asked(), 1);
    ask.forget(&document("a"));
    application.answers(false);
    let old = tokio::spawn({
        let ask = ask.clone();
        async move { ask.decide(question("t", "a")).await }
    });
    application.has_waiting(1).await;
    ask.forget(&Scope { document: None, subject: Some("u".into()) });
    let new = tokio::spawn({
        let ask = ask.clone();
        async move { ask.decide(question("t", "a")).await }
    });
    application.has_waiting(2).await;
    application.answers(true);
    assert!(old.await.unwrap().is_ok() && new.await.unwrap().is_ok());
    assert_eq!(application.asked(), 3);
    assert!(ask.decide(question("t", "a")).await.is_ok());
    assert_eq!(application.asked(), 3);
}

#[tokio::test]
async fn an_application_that_lies_lets_nobody_in() {
    let application = Application::start(Says::Endless).await;
    let ask = ask_with(&application.url, "ask_timeout = \"20s\"");
    let huge = format!(r#"{{"access":"write","subject":"{}"}}"#, "x".repeat(1 << 20));
    let lies = [says(200, "<html>"), says(200, r#"{"access":"admin"}"#), says(200, &huge)];
    for lie in [Says::Endless, says(302, WRITE), says(404, WRITE), says(201, WRITE)].into_iter().chain(lies) {
        let before = application.asked();
        application.says(lie.clone());
        assert_eq!(ask.decide(question("t", "a")).await, Err(Denied::Unavailable), "{lie:.60?}");
        // It is not asked to repeat it.
        assert_eq!(application.asked(), before + 1, "{lie:.60?}");
    }
    application.says(says(200, WRITE));
    assert!(ask.decide(question("t", "a")).await.is_ok());
}

#[tokio::test]
async fn an_application_that_fails_for_a_moment_is_asked_again() {
    let application = Application::start(says(503, "")).await;
    let ask = ask_with(&application.url, "ask_timeout = \"30s\"");
    let decision = tokio::spawn({
        let ask = ask.clone();
        async move { ask.decide(question("t", "a")).await }
    });
    while application.asked() < 2 {
        tokio::task::yield_now().await;
    }
    application.says(says(200, WRITE));
    assert!(decision.await.unwrap().is_ok());
}

#[tokio::test]
async fn an_application_that_is_down_or_slow_lets_nobody_in_and_is_asked_again_by_the_next() {
    let application = Application::start(Says::Nothing).await;
    let ask = ask_with(&application.url, "ask_timeout = \"200ms\"");
    assert_eq!(ask.decide(question("t", "a")).await, Err(Denied::Unavailable));
    application.says(says(200, WRITE));
    assert!(ask.decide(question("t", "a")).await.is_ok());
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ask = ask_with(&format!("http://{down}/"), "ask_timeout = \"200ms\"");
    assert_eq!(ask.decide(question("t", "a")).await, Err(Denied::Unavailable));
}

#[tokio::test]
async fn a_crowd_waits_for_its_turn_and_beyond_a_bound_is_sent_away() {
    let application = Application::start(says(200, WRITE)).await;
    let ask = ask_with(&application.url, "ask_timeout = \"60s\"");
    application.answers(false);
    let of_address =
        |n: u32| Question { address: Ipv4Addr::from(n).into(), ..question("t", &format!("{n}")) };
    let crowd = u32::try_from(ASK_WAITING + 10).unwrap();
    let asks = join_all((0..crowd).map(|n| ask.decide(of_address(n))));
    let (decisions, waiting) = tokio::join!(asks, async {
        application.has_waiting(ASKED_AT_ONCE).await;
        let waiting = application.asked();
        application.answers(true);
        waiting
    });
    assert_eq!(waiting, ASKED_AT_ONCE);
    assert_eq!(decisions.iter().filter(|decision| **decision == Err(Denied::Unavailable)).count(), 10);
    assert_eq!(application.asked(), ASK_WAITING);
}

#[tokio::test]
async fn one_address_leaves_turns_to_others() {
    let application = Application::start(says(200, WRITE)).await;
    let ask = ask_with(&application.url, "ask_timeout = \"60s\"");
    application.answers(false);
    let flood = join_all((0..1000).map(|n| ask.decide(question("t", &format!("{n}")))));
    let other = Question { address: Ipv4Addr::new(192, 0, 2, 99).into(), ..question("t", "other") };
    let (_, other) = tokio::join!(flood, async {
        application.has_waiting(ASKED_FOR_ADDRESS).await;
        let other = tokio::spawn({
            let ask = ask.clone();
            async move { ask.decide(other).await }
        });
        application.has_waiting(ASKED_FOR_ADDRESS + 1).await;
        application.answers(true);
        other.await.unwrap()
    });
    assert!(other.is_ok());
}

#[test]
fn what_cannot_be_asked_safely_is_named() {
    for (access, says) in [
        ("ask = \"http://app.example/?key=hidden\"", "access.ask: http://app.example/ "),
        ("ask = \"https://app.example/\"\nask_secret = \"a\\nb\"", "access.ask_secret"),
        ("ask = \"https://app.example/\"\nask_secret_file = \"/nowhere\"", "access.ask_secret_file"),
    ] {
        let config = Config::from_toml(&format!("[access]\n{access}")).unwrap().access;
        let error = Ask::new(&config, &HttpClient::new(&config).unwrap()).err().unwrap().to_string();
        assert!(error.contains(says) && !error.contains("hidden"), "{error}");
    }
}
