//! The command line.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::{self, ExitCode};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};
use coscribe_terminal::{ending, note, words};

use crate::config::Unknown;
use crate::observe::logs;
use crate::{commands, config, serve};

/// The command that a command line without one means.
const SERVE: &str = "serve";

/// A self-hosted collaboration server for Yjs editors.
///
/// Editors connect with unmodified clients of y-websocket, Hocuspocus or y-sweet. An acknowledged update is on disk.
#[derive(Parser, Debug)]
#[command(version, override_usage = USAGE, after_help = SERVES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const USAGE: &str = "coscribe [OPTIONS OF serve]\n       coscribe <COMMAND> [OPTIONS OF THE COMMAND]";
const SERVES: &str = "Without a command, coscribe serves: `coscribe --listen 127.0.0.1:8080` is \
     `coscribe serve --listen 127.0.0.1:8080`. `coscribe help serve` lists the options.";

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve documents to editors
    ///
    /// Listens for editors, keeps their documents in a directory, and runs until SIGINT or SIGTERM. Every option can also be
    /// set by a variable (in brackets) or in the file named by --config; a flag overrides a variable, and a variable the file.
    /// Times look like 250ms, 15s or 5m, sizes like 4096, 64KiB or 32MB.
    Serve(Box<config::ServeArgs>),
    /// Read everything that is stored and say whether it is sound
    ///
    /// Checks every record and snapshot, and that the records of each document make a document without gaps. Problems are
    /// reported by document name, and nothing is changed. The server must not be running on the same directory.
    ///
    /// Exits with 0 if everything is sound, 1 if there are problems, 2 if the check could not run.
    Verify {
        #[command(flatten)]
        store: config::StoreArgs,
        #[command(flatten)]
        args: commands::verify::Args,
    },
    /// Write documents to plain files
    ///
    /// One document becomes one file, or goes to stdout (--to -). All documents become a directory of numbered files and
    /// manifest.json, which says which file is which document. Documents that cannot be exported are reported by name and left
    /// out, and the exit code is 1. The server must not be running on the same directory.
    Export {
        #[command(flatten)]
        store: config::StoreArgs,
        #[command(flatten)]
        args: commands::export::Args,
    },
    /// Read documents from files that export has written
    ///
    /// Takes a directory that `coscribe export` wrote, or one file with a Yjs v1 update. Each update is checked before it is
    /// stored. A document that is stored already is left as it is, unless --merge or --replace is given. Documents that are not
    /// imported are reported by name, and the exit code is 1. The server must not be running on the same directory.
    Import {
        #[command(flatten)]
        store: config::StoreArgs,
        #[command(flatten)]
        args: commands::import::Args,
    },
    /// Make, list or remove keys by which your back end uses the API
    ///
    /// A server key (API key) allows everything, from anywhere. The keys belong to the directory of the documents; a server that
    /// runs on it notices a change at once.
    #[command(mut_args(|arg| arg.global(true)))]
    Key {
        #[command(flatten)]
        store: config::StoreArgs,
        #[command(subcommand)]
        args: commands::key::Args,
    },
    /// Ask a running server whether it can save
    ///
    /// Requests /readyz on this machine: from --admin-listen if it is set, otherwise from --listen, with TLS if that speaks it.
    /// Exits with 0 if the server can save, otherwise with 1 and, from the admin listener, the reason. It is meant for the health checks of containers.
    Health {
        #[command(flatten)]
        listens: config::ListenArgs,
    },
    /// Write shell completions and manual pages
    Generate {
        #[command(flatten)]
        args: commands::generate::Args,
    },
    /// Sign a token for trying things out, or explain one
    ///
    /// Signs with access.secret, or with a private key (--key), and prints only the token. The access settings are those of the
    /// server: flags, variables and the file named by --config.
    Token(Box<commands::token::Args>),
    /// The process that opens documents for other commands; not for people
    #[command(hide = true)]
    Worker,
    /// A server that sends every message back, for suites that test the WebSocket protocol
    #[command(hide = true)]
    Echo {
        /// Address or name, and port, to listen on
        #[arg(long, value_name = "HOST:PORT")]
        listen: config::Listen,
    },
}

/// Runs the command that the command line names.
pub fn main() -> ExitCode {
    let cli = Cli::try_parse_from(arguments()).unwrap_or_else(|error| exit(error));
    let code = run(cli.command).unwrap_or_else(|error| {
        note!("error: {}", words(error.as_ref()));
        ExitCode::FAILURE
    });
    ending(code)
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => {
            let config = args.resolve()?;
            let logs = logs::start_with_export(&config)?;
            let unknown = Unknown::here();
            unknown.warn();
            unknown.mention();
            let result = serve::run(config);
            Ok(logs.stop(result))
        }
        Command::Verify { store, args } => commands::verify::run(&args, &logged(store.resolve()?).data),
        Command::Export { store, args } => commands::export::run(&args, &logged(store.resolve()?)),
        Command::Import { store, args } => commands::import::run(&args, &logged(store.resolve()?)),
        Command::Key { store, args } => commands::key::run(&args, &logged(store.resolve()?)),
        Command::Health { listens } => commands::health::run(&listens.resolve()?),
        Command::Generate { args } => commands::generate::run(&args, Cli::command()),
        Command::Token(args) => commands::token::run(*args, logged),
        Command::Worker => {
            coscribe_worker::run()?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Echo { listen } => serve::echo(&listen),
    }
}

/// The command line; without a command it is `serve`.
fn arguments() -> Vec<OsString> {
    let mut arguments = with_negative_values(env::args_os());
    if is_bare() {
        arguments.insert(1.min(arguments.len()), SERVE.into());
    }
    arguments
}

/// Joins negative values to their flags: `--grace=-1s` is told to be no time, where `--grace -1s` would be two flags.
fn with_negative_values(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    for argument in given {
        let is_negative = matches!(argument.as_encoded_bytes(), [b'-', b'0'..=b'9', ..]);
        match arguments.last_mut() {
            Some(flag) if is_negative && is_flag_alone(flag) => {
                flag.push("=");
                flag.push(argument);
            }
            _ => arguments.push(argument),
        }
    }
    arguments
}

/// Whether an argument is a flag without its value.
fn is_flag_alone(argument: &OsStr) -> bool {
    let bytes = argument.as_encoded_bytes();
    bytes.len() > 2 && bytes.starts_with(b"--") && !bytes.contains(&b'=')
}

/// Whether the command line begins with flags that are not those of the program as a whole, or has none at all.
fn is_bare() -> bool {
    let own = ["-h", "--help", "-V", "--version", "--"];
    env::args_os().nth(1).is_none_or(|first| {
        let first = first.to_string_lossy();
        first.starts_with('-') && !own.contains(&&*first)
    })
}

/// The command that stands behind flags, where no command can.
fn late_command(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return None };
    let is_late = error.kind() == ErrorKind::UnknownArgument && is_bare();
    let is_command = Cli::command().get_subcommands().any(|command| command.get_name() == argument);
    (is_late && is_command).then(|| argument.clone())
}

/// Ends the process, as clap does, but says so where the wrong value came from a variable.
fn exit(error: clap::Error) -> ! {
    if let Some(command) = late_command(&error) {
        note!("error: the command comes first, before its flags: coscribe {command} …");
        process::exit(2);
    }
    let error = without_secrets(error);
    if let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && let Some(flag) = argument.split(' ').next()
        && !env::args_os().any(|given| given.to_string_lossy().starts_with(flag))
    {
        let variable = config::variable(flag);
        if env::var_os(&variable).is_some() {
            note!("in the environment variable {variable}:");
        }
    }
    error.exit()
}

/// Hides a value that may be a secret, or may belong to a flag that takes one.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return error };
    let hidden = match error.kind() {
        ErrorKind::UnknownArgument if !argument.starts_with('-') => Some(ContextKind::InvalidArg),
        ErrorKind::ValueValidation if config::is_hidden(argument.split(' ').next().unwrap_or_default()) => {
            Some(ContextKind::InvalidValue)
        }
        _ => None,
    };
    if let Some(hidden) = hidden {
        error.insert(hidden, ContextValue::String("…".to_owned()));
    }
    error
}

/// Starts logging to stderr as configured.
fn logged(config: config::Config) -> config::Config {
    logs::start(&config);
    Unknown::here().warn();
    config
}
