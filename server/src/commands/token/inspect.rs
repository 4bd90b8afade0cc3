//! `coscribe token inspect`: a token in words.

use std::io::{self, Read as _};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use coscribe_terminal::say;

use crate::access::keys::{KeySet, Search};
use crate::access::{Claims, HttpClient, Jws};
use crate::config::{AccessConfig, Pattern};
use crate::limits::TOKEN_BYTES;

/// Explains a token on stdout.
pub(super) fn run(token: &str, config: &AccessConfig) -> anyhow::Result<ExitCode> {
    let token = match token {
        "-" => read()?,
        token => token.to_owned(),
    };
    let token = token.trim();
    let Some(jws) = Jws::parse(token) else {
        bail!(
            "this is no token: it is not header.payload.signature in base64url, is longer than {TOKEN_BYTES} bytes, or has a header that is not understood"
        );
    };
    let keys = KeySet::new(config, &HttpClient::new(config)?)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(keys.refresh().once());
    let now = SystemTime::now();
    line("algorithm", jws.algorithm());
    line("key id", jws.kid().unwrap_or("none is named"));
    let (signed_by, is_signed) = signature(&keys, &jws);
    line("signed", &signed_by);
    let claims = match keys.rules().parse(jws.claims()) {
        Ok(claims) => claims,
        Err(error) => return Ok(verdict(Some(&error.to_string()))),
    };
    explain(&claims, now);
    let wrong = match (is_signed, keys.rules().check(&claims, now)) {
        (_, Err(error)) => Some(error.to_string()),
        (false, Ok(())) => Some("no key has signed it".to_owned()),
        (true, Ok(())) if claims.read.is_empty() && claims.write.is_empty() => {
            Some("it allows no document".to_owned())
        }
        (true, Ok(())) => None,
    };
    Ok(verdict(wrong.as_deref()))
}

fn read() -> anyhow::Result<String> {
    let mut token = String::new();
    let most = u64::try_from(TOKEN_BYTES + 3)?;
    io::stdin().take(most).read_to_string(&mut token).context("cannot read the token")?;
    Ok(token)
}

fn signature(keys: &KeySet, jws: &Jws<'_>) -> (String, bool) {
    if keys.is_empty() {
        let none = "nobody can tell: neither access.secret nor access.keys is set here";
        return (none.to_owned(), false);
    }
    match keys.search(jws) {
        Search::Signed(key) => (format!("by the {key}"), true),
        Search::Forged => ("NOT by the key that it names".to_owned(), false),
        Search::Unknown => ("by none of the keys".to_owned(), false),
    }
}

fn explain(claims: &Claims, now: SystemTime) {
    let none = || "none".to_owned();
    let dated = |time: Option<SystemTime>| time.map_or_else(none, |time| moment(time, now));
    line("subject", if claims.subject.is_empty() { "none" } else { &claims.subject });
    line("name", claims.name.as_deref().unwrap_or("none"));
    line("writes", &patterns(&claims.write));
    line("reads", &patterns(&claims.read));
    line("issuer", claims.issuer.as_deref().unwrap_or("none"));
    line("audience", &if claims.audience.is_empty() { none() } else { claims.audience.join(", ") });
    line("id", claims.token.id.as_deref().unwrap_or("none"));
    line("issued", &dated(claims.token.issued));
    line("valid from", &dated(claims.begins));
    line("valid until", &moment(claims.expires, now));
}

/// "2026-11-28T12:00:00Z, in 59m 58s".
fn moment(time: SystemTime, now: SystemTime) -> String {
    let whole = |length: Duration| humantime::format_duration(Duration::from_secs(length.as_secs()));
    let distance = match time.duration_since(now) {
        Ok(left) => format!("in {}", whole(left)),
        Err(error) => format!("{} ago", whole(error.duration())),
    };
    format!("{}, {distance}", humantime::format_rfc3339_seconds(time))
}

fn patterns(patterns: &[Pattern]) -> String {
    let shown: Vec<_> = patterns.iter().map(Pattern::as_str).collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
}

/// A line. What a stranger has written must not control the terminal.
fn line(name: &str, value: &str) {
    let printable: String =
        value.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect();
    say!("{name:<12}{printable}");
}

fn verdict(wrong: Option<&str>) -> ExitCode {
    match wrong {
        None => {
            line("accepted", "yes");
            ExitCode::SUCCESS
        }
        Some(reason) => {
            line("accepted", &format!("NO: {reason}"));
            ExitCode::FAILURE
        }
    }
}
