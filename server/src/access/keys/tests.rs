use std::time::{Duration, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::access::application::{Application, Says, base64url};
use crate::config::Config;
use crate::limits::{JWKS_BYTES, JWKS_TIMEOUT, REFETCH_PAUSE, TOKEN_BYTES};

const SECRET: &str = "a secret of an application, 32 bytes and more";
const JWKS: &str = include_str!("fixtures/jwks.json");
const NOW: u64 = 1_800_000_000;

fn fixture(name: &str) -> String {
    format!("{}/src/access/keys/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn signer(name: &str) -> Signer {
    match name {
        "oct" => Signer::secret(Some(name.to_owned()), SECRET.as_bytes()).unwrap(),
        _ => Signer::pem(Some(name.to_owned()), &fs::read(fixture(&format!("{name}.pem"))).unwrap()).unwrap(),
    }
}

/// The keys of this table of a configuration.
fn try_keys(access: &str) -> Result<KeySet, KeySetError> {
    let config = Config::from_toml(&format!("[access]\n{access}")).unwrap().access;
    KeySet::new(&config, &HttpClient::new(&config).unwrap())
}

fn keys(access: &str) -> KeySet {
    try_keys(access).unwrap()
}

fn keys_of(file: &str) -> KeySet {
    keys(&format!("keys = [{file:?}]"))
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn sound() -> Value {
    json!({ "aud": "coscribe", "exp": NOW + 60, "sub": "u", "write": "team/**" })
}

/// Sound claims with others instead of some; `null` takes one away.
fn claims(others: Value) -> Value {
    let mut claims = sound();
    claims.as_object_mut().unwrap().append(&mut others.as_object().unwrap().clone());
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

async fn verify(keys: &KeySet, token: &str) -> Result<Claims, Denied> {
    keys.verify(token, at(NOW)).await
}

async fn refusal(keys: &KeySet, token: &str) -> Option<Denied> {
    verify(keys, token).await.err()
}

const INVALID: Option<Denied> = Some(Denied::Token(TokenError::Invalid));

#[tokio::test]
async fn a_token_is_verified_with_its_key_in_whatever_form_it_is_kept() {
    for (name, file) in [
        ("rsa", fixture("rsa.public.pem")),
        ("p256", fixture("p256.public.pem")),
        ("p256", fixture("p256.certificate.pem")),
        ("ed25519", fixture("ed25519.public.pem")),
        ("p256", format!("p256={}", fixture("p256.public.pem"))),
        ("rsa", fixture("jwks.json")),
        ("p256", fixture("jwks.json")),
        ("ed25519", fixture("jwks.json")),
        ("oct", fixture("jwks.json")),
    ] {
        let keys = keys_of(&file);
        let token = signer(name).sign(&sound()).unwrap();
        assert_eq!(&*verify(&keys, &token).await.unwrap().subject, "u", "{name} {file}");
        let mut forged = token.clone().into_bytes();
        let payload = token.find('.').unwrap() + 20;
        forged[payload] = if forged[payload] == b'A' { b'B' } else { b'A' };
        assert_eq!(refusal(&keys, &String::from_utf8(forged).unwrap()).await, INVALID, "{name} {file}");
    }
    let keys = keys(&format!("secret = {SECRET:?}"));
    assert!(verify(&keys, &signer("oct").sign(&sound()).unwrap()).await.is_ok());
    assert_eq!(refusal(&keys, &signer("rsa").sign(&sound()).unwrap()).await, INVALID);
}

#[tokio::test]
async fn a_key_has_one_algorithm_whatever_a_token_says() {
    let public = fs::read(fixture("rsa.public.pem")).unwrap();
    let keys = keys_of(&fixture("rsa.public.pem"));
    // Signed by everybody who has the public key.
    let confused = Signer::secret(None, public.trim_ascii_end()).unwrap().sign(&sound()).unwrap();
    let rsa = signer("rsa").sign(&sound()).unwrap();
    let (_, rest) = rsa.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let with = |header: &str, signature: &str| format!("{}.{payload}.{signature}", base64url(header));
    for token in [
        &confused,
        &with("{\"alg\":\"none\"}", ""),
        &with("{\"alg\":\"None\"}", signature),
        &with("{\"alg\":\"HS256\"}", signature),
        &with("{\"alg\":\"RS256\"}", signature),
        &with("{\"alg\":\"RS256\"}", ""),
        &rest.to_owned(),
        &String::new(),
        &format!("{rsa}{}", "A".repeat(TOKEN_BYTES)),
    ] {
        assert_eq!(refusal(&keys, token).await, INVALID, "{token:.60}");
    }
    assert!(verify(&keys, &rsa).await.is_ok());
    // RFC 9864's name for EdDSA with Ed25519.
    let der = PrivateKeyDer::from_pem_file(fixture("ed25519.pem")).unwrap();
    let key = EncodingKey::from_ed_der(der.secret_der());
    let signed = format!("{}.{payload}", base64url("{\"alg\":\"Ed25519\"}"));
    let token = format!(
        "{signed}.{}",
        jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::EdDSA).unwrap()
    );
    assert!(verify(&keys_of(&fixture("ed25519.public.pem")), &token).await.is_ok());
}

#[tokio::test]
async fn an_id_chooses_a_key_and_without_one_each_that_fits_is_tried() {
    let [two, named] = ["p256.public.pem", "p256.public.pem"].map(fixture);
    let keys = keys(&format!("keys = [{:?}, {:?}]", fixture("rsa.public.pem"), format!("mine={named}")));
    let pem = fs::read(fixture("p256.pem")).unwrap();
    for (kid, fits) in [(None, true), (Some("mine"), true), (Some("other"), false)] {
        let token = Signer::pem(kid.map(str::to_owned), &pem).unwrap().sign(&sound()).unwrap();
        assert_eq!(verify(&keys, &token).await.is_ok(), fits, "{kid:?}");
        // A key without an id may be any.
        assert!(verify(&keys_of(&two), &token).await.is_ok());
    }
}

#[tokio::test]
async fn claims_have_to_be_for_this_server_and_for_now() {
    let keys = keys(&format!(
        "secret = {SECRET:?}\nissuer = [\"app\"]\naudience = [\"a\", \"b\"]\nleeway = \"10s\""
    ));
    let refused = async |others: Value| {
        let mut ours = claims(json!({ "iss": "app", "aud": "a" }));
        ours.as_object_mut().unwrap().append(&mut others.as_object().unwrap().clone());
        refusal(&keys, &signer("oct").sign(&ours).unwrap()).await
    };
    let because = |error| Some(Denied::Token(error));
    for (others, outcome) in [
        (json!({}), None),
        (json!({ "aud": ["x", "b"] }), None),
        (json!({ "aud": [] }), because(TokenError::NoAudience)),
        (json!({ "aud": null }), because(TokenError::NoAudience)),
        (json!({ "aud": "coscribe" }), because(TokenError::Audience)),
        (json!({ "aud": 7 }), INVALID),
        (json!({ "iss": "App" }), because(TokenError::Issuer)),
        (json!({ "iss": null }), because(TokenError::Issuer)),
        (json!({ "exp": NOW - 9 }), None),
        (json!({ "exp": NOW - 10 }), because(TokenError::Expired)),
        (json!({ "exp": 0 }), because(TokenError::Expired)),
        (json!({ "exp": NOW as f64 + 0.5 }), None),
        (json!({ "exp": null }), INVALID),
        (json!({ "exp": "soon" }), INVALID),
        (json!({ "exp": -1 }), INVALID),
        (json!({ "exp": 1e300 }), INVALID),
        (json!({ "exp": u64::MAX }), INVALID),
        (json!({ "nbf": NOW + 10 }), None),
        (json!({ "nbf": NOW + 11 }), because(TokenError::Early)),
        (json!({ "iat": NOW + 11 }), because(TokenError::Early)),
        (json!({ "iat": NOW - 1000, "jti": "7" }), None),
        (json!({ "jti": 7 }), INVALID),
        (json!({ "sub": 17 }), None),
        (json!({ "sub": ["u"] }), INVALID),
        (json!({ "sub": "x".repeat(257) }), INVALID),
        (json!({ "read": "a**" }), INVALID),
        (json!({ "read": ["a", 7] }), INVALID),
        (json!({ "read": vec!["a"; 1000] }), INVALID),
        (json!({ "read": vec!["a"; 999] }), None),
    ] {
        assert_eq!(refused(others.clone()).await, outcome, "{others:.80}");
    }
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    for payload in [
        format!("{{\"exp\":1,\"iss\":\"app\",\"aud\":\"a\",\"exp\":{}}}", NOW + 60),
        "[]".to_owned(),
        "{".to_owned(),
        String::new(),
    ] {
        let signed = format!("{}.{}", base64url("{\"alg\":\"HS256\"}"), base64url(payload));
        let token = format!("{signed}.{}", base64url(ring::hmac::sign(&key, signed.as_bytes())));
        assert_eq!(refusal(&keys, &token).await, INVALID);
    }
}

#[tokio::test]
async fn claims_grant_the_documents_that_they_name() {
    let keys = keys(&format!(
        "secret = {SECRET:?}\nsubject_claim = \"/app/id\"\nread_claim = \"https://app.example/read\"\naudience = []"
    ));
    let token = signer("oct").sign(&json!({
        "exp": NOW + 60, "iat": NOW, "jti": "7", "name": "Ada", "app": { "id": 17 },
        "https://app.example/read": ["team/**", "notes"], "write": "team/a/*",
    }));
    let claims = verify(&keys, &token.unwrap()).await.unwrap();
    let grant = |name| claims.grant(&coscribe_persistence::DocumentName::new(name).unwrap());
    use coscribe_engine::room::Access;
    for (name, access) in [("team/a/b", Access::Write), ("team/b", Access::Read), ("notes", Access::Read)] {
        let grant = grant(name).unwrap();
        assert_eq!(
            (grant.access, &*grant.subject, grant.name.as_deref()),
            (access, "17", Some("Ada")),
            "{name}"
        );
        assert_eq!(grant.expires, Some(at(NOW + 70)));
        let token = grant.token.unwrap();
        assert_eq!((token.id.as_deref(), token.issued), (Some("7"), Some(at(NOW))));
    }
    assert!(matches!(grant("other"), Err(Denied::Forbidden(_))));
}

#[test]
fn a_key_that_cannot_be_used_is_named() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name).display().to_string();
        fs::write(&path, text).unwrap();
        path
    };
    let [short, empty] = [file("short", "0123456789012345678901234567890\n"), file("empty", "")];
    let [no_keys, weak] = [
        file("no-keys.json", "{\"keys\":[]}"),
        file("weak.json", "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"c2hvcnQ\"}]}"),
    ];
    for (access, says) in [
        ("secret = \"short\"", &["access.secret:", "32 bytes"][..]),
        (&format!("secret_file = {short:?}"), &["access.secret_file", "32 bytes"]),
        ("secret_file = \"/nowhere\"", &["access.secret_file", "/nowhere"]),
        (&format!("secret = {SECRET:?}\nsecret_file = {short:?}"), &["both"]),
        ("keys = [\"/nowhere.pem\"]", &["access.keys", "/nowhere.pem"]),
        (&format!("keys = [{empty:?}]"), &["access.keys", "PUBLIC KEY"]),
        (&format!("keys = [{no_keys:?}]"), &["access.keys", "no key"]),
        (&format!("keys = [{weak:?}]"), &["access.keys", "no key"]),
        (&format!("keys = [{:?}]", fixture("rsa.pem")), &["access.keys", "private"]),
        (&format!("keys = [{:?}]", fixture("p384.public.pem")), &["access.keys", "P-256"]),
        (&format!("keys = [{:?}]", fixture("rsa1024.public.pem")), &["access.keys", "2,048"]),
        ("leeway = \"61m\"", &["access.leeway", "3600 s"]),
        ("leeway = \"500000000000y\"", &["access.leeway", "3600 s"]),
        ("keys = [\"http://app.example/jwks?key=hidden\"]", &["access.keys", "http://app.example/jwks "]),
    ] {
        let error = try_keys(access).err().unwrap().to_string();
        assert!(says.iter().all(|part| error.contains(part)) && !error.contains("hidden"), "{error}");
    }
    assert!(keys("keys = [\"http://app.example/jwks\"]\nallow_http = \"on\"").local.is_empty());
}

fn set(kids: &[&str]) -> Says {
    let mut set: Value = serde_json::from_str(JWKS).unwrap();
    let is_there = |key: &Value| kids.contains(&key["kid"].as_str().unwrap());
    set["keys"].as_array_mut().unwrap().retain(is_there);
    Says::This(200, ("cache-control", "max-age=3600"), set.to_string())
}

/// Lets time pass on timers.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn keys_at_a_url_can_be_rotated_at_any_time() {
    let application = Application::start(set(&["p256", "oct"])).await;
    let keys = keys_of(&application.url);
    let run = tokio::spawn(keys.refresh().run());
    let [old, new, secret] = ["p256", "ed25519", "oct"].map(|name| signer(name).sign(&sound()).unwrap());
    // The first token waits for the keys.
    assert!(verify(&keys, &old).await.is_ok());
    assert_eq!(application.asked(), 1);
    application.says(set(&["ed25519"]));
    // Strangers cannot make it ask at their pace.
    for _ in 0..100 {
        assert_eq!(refusal(&keys, &new).await, Some(Denied::Unavailable));
    }
    assert_eq!(application.asked(), 1);
    pass(REFETCH_PAUSE).await;
    assert!(verify(&keys, &new).await.is_ok());
    assert_eq!(application.asked(), 2);
    pass(REFETCH_PAUSE).await;
    assert_eq!(refusal(&keys, &old).await, INVALID);
    // Nobody signs with a secret that is public.
    pass(REFETCH_PAUSE).await;
    assert_eq!(refusal(&keys, &secret).await, INVALID);
    assert_eq!(application.asked(), 4);
    run.abort();
}

#[tokio::test]
async fn keys_at_a_url_survive_its_outage() {
    let too_large = " ".repeat(JWKS_BYTES) + JWKS;
    let none = |status, body: &str| Says::This(status, ("location", "/other"), body.to_owned());
    for outage in
        [none(500, JWKS), none(302, JWKS), none(200, "<html>"), none(200, &too_large), Says::Endless]
    {
        let application = Application::start(outage.clone()).await;
        let keys = keys_of(&application.url);
        let run = tokio::spawn(keys.refresh().run());
        let [known, unknown] = ["p256", "ed25519"].map(|name| signer(name).sign(&sound()).unwrap());
        // Before the first success nobody can tell.
        assert_eq!(refusal(&keys, &known).await, Some(Denied::Unavailable), "{outage:?}");
        application.says(set(&["p256"]));
        pass(REFETCH_PAUSE).await;
        assert!(verify(&keys, &known).await.is_ok());
        application.says(outage);
        pass(REFETCH_PAUSE).await;
        assert_eq!(refusal(&keys, &unknown).await, Some(Denied::Unavailable));
        assert!(verify(&keys, &known).await.is_ok());
        run.abort();
    }
}

#[tokio::test]
async fn keys_at_a_url_that_takes_requests_and_hangs_stay_in_force() {
    let [known, unknown] = ["p256", "ed25519"].map(|name| signer(name).sign(&sound()).unwrap());
    let application = Application::start(set(&["p256"])).await;
    let keys = keys_of(&application.url);
    let run = tokio::spawn(keys.refresh().run());
    assert!(verify(&keys, &known).await.is_ok());
    application.answers(false);
    pass(REFETCH_PAUSE).await;
    let while_it_hangs = async {
        application.has_waiting(1).await;
        assert!(verify(&keys, &known).await.is_ok());
        pass(JWKS_TIMEOUT).await;
    };
    let (refused, ()) = tokio::join!(refusal(&keys, &unknown), while_it_hangs);
    assert_eq!(refused, Some(Denied::Unavailable));
    application.answers(true);
    let mut refused = refusal(&keys, &unknown).await;
    while refused == Some(Denied::Unavailable) {
        pass(REFETCH_PAUSE).await;
        refused = refusal(&keys, &unknown).await;
    }
    assert_eq!(refused, INVALID);
    run.abort();
}

#[tokio::test]
async fn a_url_that_takes_connections_and_says_nothing_lets_nobody_in() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    for scheme in ["http", "https"] {
        let keys = keys_of(&format!("{scheme}://{}/jwks", listener.local_addr().unwrap()));
        let run = tokio::spawn(keys.refresh().run());
        let silence = async {
            let connection = listener.accept().await.unwrap();
            pass(JWKS_TIMEOUT).await;
            connection
        };
        let token = signer("p256").sign(&sound()).unwrap();
        let (refused, _connection) = tokio::join!(refusal(&keys, &token), silence);
        assert_eq!(refused, Some(Denied::Unavailable), "{scheme}");
        run.abort();
    }
}

#[tokio::test]
async fn keys_come_over_tls_from_those_whose_certificate_is_trusted() {
    let (application, certificate) = Application::start_with_tls(set(&["p256"])).await;
    let (_, other) = Application::start_with_tls(set(&["p256"])).await;
    let dir = TempDir::new().unwrap();
    let token = signer("p256").sign(&sound()).unwrap();
    for (trusted, outcome) in [
        (None, Some(Denied::Unavailable)),
        (Some(&other), Some(Denied::Unavailable)),
        (Some(&certificate), None),
    ] {
        let ca = trusted.map(|pem| {
            let path = dir.path().join("ca.pem");
            fs::write(&path, pem).unwrap();
            format!("ca = {path:?}")
        });
        let keys = keys(&format!("keys = [{:?}]\n{}", application.url, ca.unwrap_or_default()));
        let run = tokio::spawn(keys.refresh().run());
        assert_eq!(refusal(&keys, &token).await, outcome);
        run.abort();
    }
    assert_eq!(application.asked(), 1);
}

/// Prints the costs: `cargo test --release -p coscribe --lib -- --ignored --nocapture cost`.
#[test]
#[ignore = "measures"]
fn cost_of_a_token() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for name in ["oct", "rsa", "p256", "ed25519"] {
        let (keys, token) = (keys_of(&fixture("jwks.json")), signer(name).sign(&sound()).unwrap());
        const TIMES: u32 = 5000;
        let start = std::time::Instant::now();
        for _ in 0..TIMES {
            runtime.block_on(verify(&keys, &token)).unwrap();
        }
        println!("{name}: {:?}", start.elapsed() / TIMES);
    }
}
