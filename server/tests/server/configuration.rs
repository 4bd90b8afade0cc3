//! Where settings come from, and what is said of wrong ones.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use tempfile::tempdir;

use crate::process::{Server, coscribe};

/// Runs a command that fails, and gives what it says.
fn failing(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_flag_wins_over_a_variable_over_a_file_over_the_default() {
    let home = tempdir().unwrap();
    let file = home.path().join("coscribe.toml");
    fs::write(&file, "listen = \"127.0.0.1:0\"\ndata = \"from-file\"\n").unwrap();
    let serve = || {
        let mut command = coscribe();
        command.current_dir(home.path()).arg("serve");
        command
    };
    let exists = |name: &str| home.path().join(name).is_dir();

    let mut command = serve();
    command.args(["--listen", "127.0.0.1:0"]);
    Server::spawn(command).stop().await;
    assert!(exists("coscribe-data") && !exists("from-file"));

    let mut command = serve();
    command.arg("--config").arg(&file);
    Server::spawn(command).stop().await;
    assert!(exists("from-file") && !exists("from-variable"));

    let mut command = serve();
    command.env("COSCRIBE_CONFIG", &file).env("COSCRIBE_DATA", "from-variable");
    Server::spawn(command).stop().await;
    assert!(exists("from-variable") && !exists("from-flag"));

    let mut command = serve();
    command.env("COSCRIBE_CONFIG", &file).env("COSCRIBE_DATA", "unused").args(["--data", "from-flag"]);
    Server::spawn(command).stop().await;
    assert!(exists("from-flag") && !exists("unused"));
}

#[tokio::test]
async fn a_name_is_listened_on_at_its_addresses() {
    let data = tempdir().unwrap();
    let mut command = coscribe();
    command.args(["serve", "--listen", "localhost:0", "--data"]).arg(data.path());
    let server = Server::spawn(command);
    assert!(server.address.ip().is_loopback());
    assert!(server.get("/healthz").await.contains("alive"));
}

#[test]
fn what_cannot_be_listened_on_is_said() {
    for (listen, says) in [
        (":1234", ["--listen", "0.0.0.0:1234"]),
        ("localhost", ["--listen", "localhost:1234"]),
        ("no.such.name.invalid:1234", ["no.such.name.invalid", "cannot find the address"]),
    ] {
        let said = failing(coscribe().args(["serve", "--listen", listen]));
        assert!(says.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn a_key_is_shown_neither_by_help_nor_where_it_is_wrong() {
    let help = coscribe().env("COSCRIBE_Y_SWEET_KEY", "hidden").args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("COSCRIBE_Y_SWEET_KEY") && !help.contains("hidden"), "{help}");
    let data = tempdir().unwrap();
    let mut command = coscribe();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    let said = failing(command.args(["--y-sweet-key", "hidden"]));
    assert!(said.contains("y_sweet_key is too short") && !said.contains("hidden"), "{said}");
}

#[test]
fn what_may_be_a_secret_is_not_shown_where_it_is_wrong() {
    for (arguments, says) in [
        (&["serve", "--access-ask", "htps://app.example/?key=hidden"][..], "--access-ask"),
        (&["serve", "--access-keys", "a=b,=hidden"], "--access-keys"),
        (&["serve", "--otlp-endpoint", "htp://a/?hidden"], "--otlp-endpoint"),
        (&["serve", "--access-secrt=hidden"], "--access-secrt"),
        (&["serve", "--access-secret=", "hidden"], "unexpected argument"),
        (&["token", "--acess-secret", "hidden", "--subject", "a"], "--acess-secret"),
        (&["key", "remove", "coscribe_sk_hidden"], "key list"),
    ] {
        let said = failing(coscribe().args(arguments));
        assert!(said.contains(says) && !said.contains("hidden"), "{said}");
    }
    let said = failing(coscribe().arg("serve").env("COSCRIBE_ACCESS_ASK", "hidden"));
    assert!(said.contains("COSCRIBE_ACCESS_ASK") && !said.contains("hidden"), "{said}");
    for variable in ["COSCRIBE_ACCESS_ASK", "COSCRIBE_ACCESS_KEYS", "COSCRIBE_ACCESS_SECRET"] {
        let help = coscribe().env(variable, "https://a/?hidden").args(["serve", "--help"]).output().unwrap();
        assert!(!String::from_utf8(help.stdout).unwrap().contains("hidden"), "{variable}");
    }
}

#[test]
fn a_wrong_value_names_itself_and_where_it_is() {
    let home = tempdir().unwrap();
    let file = home.path().join("coscribe.toml");
    fs::write(&file, "data = \"x\"\ngrase = \"1s\"\n").unwrap();

    let said = failing(coscribe().args(["serve", "--grace", "soon"]));
    assert!(said.contains("--grace") && said.contains("soon") && !said.contains("COSCRIBE_"), "{said}");

    let said = failing(coscribe().arg("serve").env("COSCRIBE_OUTBOX_BYTES", "much"));
    assert!(said.contains("COSCRIBE_OUTBOX_BYTES") && said.contains("much"), "{said}");

    let said = failing(coscribe().args(["serve", "--ping-interval", "0s"]));
    assert!(said.contains("--ping-interval") && said.contains("zero"), "{said}");

    let said = failing(coscribe().args(["serve", "--config"]).arg(&file));
    assert!(said.contains("coscribe.toml") && said.contains("line 2") && said.contains("grase"), "{said}");

    let said = failing(coscribe().args(["serve", "--config", "no-such-file"]));
    assert!(said.contains("no-such-file"), "{said}");
}

#[test]
fn what_stands_in_the_way_of_a_start_is_said_in_one_line() {
    let data = tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = failing(coscribe().args(["serve", "--listen", &address, "--data"]).arg(data.path()));
    assert!(said.starts_with("error: ") && said.contains(&address) && said.lines().count() == 1, "{said}");

    let _server = Server::start(data.path(), &[]);
    let said = failing(coscribe().args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data.path()));
    let dir = data.path().display().to_string();
    assert!(said.starts_with("error: ") && said.contains(&dir) && said.lines().count() == 1, "{said}");

    let file = data.path().join("a-file");
    fs::write(&file, "").unwrap();
    let said = failing(coscribe().args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&file));
    assert!(said.starts_with("error: ") && said.contains("a-file") && said.lines().count() == 1, "{said}");
}

#[test]
fn help_is_given_for_every_command() {
    for command in ["serve", "verify", "export", "import"] {
        let output = coscribe().args([command, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && help.contains("--data"), "{help}");
    }
}
