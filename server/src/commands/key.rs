//! `coscribe key`: the keys by which back ends of the application use the API. A running server hears of a change at once.

use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::bail;
use clap::Subcommand;
use coscribe_persistence::Store;
use coscribe_terminal::say;

use crate::access::server_keys::ServerKeys;
use crate::config::{Config, shown};

/// The subcommands of `coscribe key`.
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Make a key, and print it: only its hash is stored
    New {
        /// Its name, by which it is listed and removed
        #[arg(value_name = "NAME", default_value = "default")]
        name: String,
    },
    /// List the names of the keys, and when each was made
    List,
    /// Remove a key: it is refused from then on
    Remove {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Makes, lists or removes keys of the documents' directory.
pub(crate) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    if !Store::exists(&config.data) {
        bail!(
            "no server has kept documents in {}: --data says where it does, once it has been started",
            shown(&config.data).display()
        );
    }
    let keys = ServerKeys::of(&config.data);
    match args {
        Args::New { name } => say!("{}", keys.create(name)?),
        Args::Remove { name } => keys.remove(name)?,
        Args::List => {
            for key in keys.list()? {
                let since = UNIX_EPOCH + Duration::from_secs(key.created);
                say!("{}\t{}", key.name, humantime::format_rfc3339_seconds(since));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
