//! `coscribe token`, from outside: what it signs, and how it explains it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

const SECRET: &str = "the secret of an application, at random";

/// Runs the command with this on its stdin.
fn token(arguments: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coscribe"));
    command.arg("token").args(arguments).env("COSCRIBE_ACCESS_SECRET", SECRET);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // A command that does not read it may have ended.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// All that a command has written.
fn written(output: &Output) -> String {
    stdout(output) + &String::from_utf8(output.stderr.clone()).unwrap()
}

fn signed(arguments: &[&str]) -> String {
    let output = token(&[&["--subject", "user-17", "--write", "team/**"], arguments].concat(), "");
    assert!(output.status.success(), "{}", written(&output));
    stdout(&output)
}

#[test]
fn a_token_stands_alone_and_is_explained_without_secrets() {
    let text = signed(&["--read", "notes,other", "--name", "Ada", "--expires", "2h", "--kid", "2026"]);
    assert_eq!(text.split('.').count(), 3);
    assert!(text.trim_end().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
    let output = token(&["inspect"], &text);
    let words = written(&output);
    assert!(output.status.success(), "{words}");
    for part in ["HS256", "2026", "user-17", "Ada", "team/**", "notes, other", "coscribe", "in 1h 59m", "yes"]
    {
        assert!(words.contains(part), "{part}: {words}");
    }
    let signature = text.trim_end().rsplit('.').next().unwrap();
    assert!(!words.contains(SECRET) && !words.contains(signature), "{words}");
    assert_eq!(token(&["inspect", text.trim_end()], "").status.code(), Some(0));
}

#[test]
fn a_token_that_would_be_refused_is_told_why() {
    let text = signed(&["--expires", "0s"]);
    let others = ["--access-leeway", "0s"];
    for (arguments, text, says) in [
        (&others[..], &*text, "expired"),
        (&["--access-audience", "other"], &text, "audience"),
        (&["--access-issuer", "other"], &text, "issuer"),
        (&["--access-secret", "another secret of thirty-two bytes"], &text, "no key has signed it"),
        (&[], "nonsense", "no token"),
    ] {
        let output = token(&[&["inspect"], arguments].concat(), text);
        let words = written(&output);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains(says) && !words.contains(SECRET), "{says}: {words}");
    }
}

#[test]
fn a_private_key_signs_and_its_public_half_verifies() {
    let fixture = |name: &str| format!("{}/src/access/keys/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    for (name, algorithm) in [("rsa", "RS256"), ("p256", "ES256"), ("ed25519", "EdDSA")] {
        let text = signed(&["--key", &fixture(&format!("{name}.pem")), "--kid", name]);
        let keys = format!("{name}={}", fixture(&format!("{name}.public.pem")));
        let output = token(&["inspect", "--access-keys", &keys], &text);
        let words = written(&output);
        assert!(
            output.status.success() && words.contains(&format!("by the {algorithm} key {name}")),
            "{words}"
        );
    }
}

#[test]
fn nothing_is_signed_that_would_be_useless() {
    for (arguments, says) in [
        (&["--write", "a"][..], "--subject"),
        (&["--subject", "a"], "--write"),
        (&["--subject", "a", "--write", "a**"], "a**"),
        (&["--subject", "a", "--write", "a", "--access-secret", "short"], "access.secret"),
        (&["--subject", "a", "--write", "a", "--key", "/nowhere"], "/nowhere"),
    ] {
        let output = token(arguments, "");
        assert!(!output.status.success() && output.stdout.is_empty());
        assert!(written(&output).contains(says), "{}", written(&output));
    }
}
