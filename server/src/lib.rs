//! The coscribe server: Yjs editors connect to it, and their documents stay on disk.
//!
//! The `coscribe` program is [`main`]. A program of yours, or a test, can start a server in its own process:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let config = coscribe::Config::from_toml("listen = \"127.0.0.1:0\"\ndata = \"documents\"")?;
//! let server = coscribe::Running::start(config).await?;
//! println!("editors connect to ws://{}/<document>", server.addresses()[0]);
//! server.stop().await?;
//! # Ok(())
//! # }
//! ```

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod access;
mod announcement;
mod budget;
mod cli;
mod commands;
mod config;
mod connection;
mod http;
mod journal;
mod limits;
mod load;
mod metrics;
mod net;
mod observe;
#[cfg(test)]
mod readme;
mod relief;
mod rooms;
mod serve;

pub use cli::main;
pub use config::{Config, ConfigError, Mistake};
pub use serve::Running;
