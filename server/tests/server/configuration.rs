//! Where settings come from, and what is said of wrong ones.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::tempdir;

use crate::client::Client;
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

#[tokio::test]
async fn without_a_command_flags_are_those_of_serve() {
    let data = tempdir().unwrap();
    let file = data.path().join("coscribe.toml");
    fs::write(&file, "listen = \"127.0.0.1:0\"\ndata = \"unused\"\n").unwrap();
    let mut command = coscribe();
    command.arg("--config").arg(&file).arg("--data").arg(data.path().join("used"));
    let server = Server::spawn(command);
    assert!(server.get("/healthz").await.contains("alive"));
    server.stop().await;
    assert!(data.path().join("used").is_dir());

    for (arguments, says) in [
        (&["verfy"][..], "a similar subcommand exists: 'verify'"),
        (&["--listn", "a:1"], "a similar argument exists: '--listen'"),
        (&["--data", "a", "verify"], "the command comes first, before its flags: coscribe verify"),
        (&["--data", "a", "hidden"], "unexpected argument '…'"),
    ] {
        let said = failing(coscribe().args(arguments));
        assert!(said.contains(says), "{said}");
    }
    for (arguments, says) in [
        (&["--help"][..], "Commands:"),
        (&["--help"], "Without a command, coscribe serves"),
        (&["--version"], "coscribe "),
        (&["help", "serve"], "--keep-alive"),
        (&["--grace", "1s", "--help"], "--keep-alive"),
    ] {
        let output = coscribe().args(arguments).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains(says), "{arguments:?}: {said}");
    }
}

#[test]
fn an_argument_that_is_not_unicode_is_an_argument_like_any_other() {
    use std::os::unix::ffi::OsStrExt;
    let strange = std::ffi::OsStr::from_bytes(b"\xff");
    let said = failing(coscribe().arg("--data").arg(strange).args(["--grace", "soon"]));
    assert!(said.contains("--grace") && !said.contains("panicked"), "{said}");
    let said = failing(coscribe().arg(strange));
    assert!(said.contains("subcommand") && !said.contains("panicked"), "{said}");
}

#[test]
fn a_wrong_value_says_what_is_right() {
    for (arguments, says) in [
        (["--grace", "abc"], "a time looks like 250ms, 15s or 5m"),
        (["--grace", "30"], "the unit is missing: 30s are seconds"),
        (["--outbox-bytes", "much"], "a size looks like 4096, 64KiB or 32MB"),
        (["--outbox-bytes", "0"], "it must be larger than zero"),
        (["--memory", "1MiB"], "'1MiB' for '--memory <SIZE>': a server needs 8MiB at least"),
        (["--max-disk", "-1"], "'-1' for '--max-disk <SIZE>': it must be larger than zero"),
        (["--max-disk", "-1GiB"], "'-1GiB' for '--max-disk <SIZE>': it must be larger than zero"),
        (["--grace", "-5s"], "'-5s' for '--grace <TIME>': a time looks like"),
        (["--max-rooms", "-1"], "'-1' for '--max-rooms <N>': it takes a whole number from 1 on"),
        (["--otlp-sample", "-0.5"], "'-0.5' for '--otlp-sample <SHARE>': it takes a number from 0 to 1"),
        (["--max-rooms", "0"], "it takes a whole number from 1 on"),
        (["--max-rooms", "many"], "it takes a whole number from 1 on"),
        (["--otlp-sample", "2"], "it takes a number from 0 to 1"),
        (["--log", "verbose"], "it is off, error, warn, info or debug"),
        (["--listen", "4502"], "localhost:4502"),
        (["--listen", "http://localhost:4502"], "write localhost:4502"),
    ] {
        let said = failing(coscribe().args(arguments));
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_server_with_less_memory_than_it_needs_does_not_start() {
    let data = tempdir().unwrap();
    let file = data.path().join("coscribe.toml");
    fs::write(&file, "memory = \"1MiB\"\n").unwrap();
    let says = "a server needs 8MiB at least";
    assert!(failing(coscribe().env("COSCRIBE_MEMORY", "1MiB")).contains(says));
    let said = failing(coscribe().arg("--config").arg(&file));
    assert!(said.contains(&format!("line 1: memory: {says}")), "{said}");
}

#[tokio::test]
async fn a_variable_that_is_no_setting_is_told() {
    let data = tempdir().unwrap();
    let mut command = coscribe();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    command.env("COSCRIBE_GRACEE", "1s").env("COSCRIBE_PORT", "8080");
    command.env("COSCRIBE_SERVICE_HOST", "10.0.0.1");
    let server = Server::spawn(command);
    server.logs("COSCRIBE_GRACEE is not a setting and has no effect; did you mean COSCRIBE_GRACE?").await;
    server.logs("variables that are not settings have no effect: COSCRIBE_PORT\n").await;
    server.stop().await;

    let mut verify = coscribe();
    let output =
        verify.args(["verify", "--data"]).arg(data.path()).env("COSCRIBE_DATTA", "x").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("did you mean COSCRIBE_DATA?"), "{said}");
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

/// The bits of a file's mode that say who may do what.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn documents_are_for_the_servers_user_only_unless_their_directory_was_there() {
    let home = tempdir().unwrap();
    let data = home.path().join("data");
    let server = Server::start(&data, &[]);
    let key = coscribe().args(["key", "new", "--data"]).arg(&data).output().unwrap();
    assert!(key.status.success(), "{key:?}");
    server.stop().await;
    assert_eq!((mode(&data), mode(&data.join("snapshots"))), (0o700, 0o700));
    for file in ["lock", "catalog", "server-keys.json"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    let shared = home.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o750)).unwrap();
    Server::start(&shared, &[]).stop().await;
    assert_eq!(mode(&shared), 0o750);
}

#[tokio::test]
async fn a_server_key_is_made_beside_documents_and_nowhere_else() {
    let home = tempdir().unwrap();
    let key = |arguments: &[&str]| {
        let mut command = coscribe();
        command.current_dir(home.path()).arg("key").args(arguments);
        command
    };
    let said = failing(&mut key(&["new"]));
    assert!(said.contains("coscribe-data") && said.contains("--data"), "{said}");
    assert!(!home.path().join("coscribe-data").exists());
    let server = Server::start(&home.path().join("d"), &[]);
    for arguments in
        [&["--data", "d", "new", "one"][..], &["new", "two", "--data", "d"], &["new", "--data", "d"]]
    {
        let made = key(arguments).output().unwrap();
        assert!(made.stdout.starts_with(b"coscribe_sk_"), "{made:?}");
    }
    let said = failing(&mut key(&["new", "--data", "d"]));
    assert!(said.contains("coscribe key new NAME"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn the_page_that_is_refused_is_named_in_the_log() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path(), &["--log-format", "json"]);
    let request = "GET /team/notes HTTP/1.1\r\nHost: docs.example\r\nOrigin: https://app.example\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = server.http(&request.replace("Upgrade\r\n", "Upgrade, close\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    server.logs("\"origin\":\"https://app.example\"").await;
    server.logs("\"reason\":\"origin\"").await;
    Client::connect(server.address, "team/notes").await.leave().await;
    server.logs("\"document\":\"team/notes\"").await;
}

#[tokio::test]
async fn a_setting_without_effect_is_warned_about() {
    let data = tempdir().unwrap();
    for (flags, says) in [
        (&["--access-ask-cookies", "sid"][..], "without access.ask"),
        (&["--access-issuer", "app"], "access.issuer has no effect"),
        (&["--access-audience", "[]"], "only the configuration file"),
        (&["--anonymous", "none"], "nobody may come in"),
    ] {
        let server = Server::start(data.path(), flags);
        server.logs(says).await;
        server.stop().await;
    }
}

#[test]
fn the_options_of_a_token_come_before_those_of_access() {
    let help = coscribe().args(["token", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let at = |text: &str| help.find(text).unwrap();
    assert!(at("--kid") < at("Access:") && at("Access:") < at("--access-secret"), "{help}");
}
