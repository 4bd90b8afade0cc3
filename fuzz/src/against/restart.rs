//! Commands of the user: restarts of the server, and others.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::time::sleep;

use super::target::Target;
use crate::limits;

/// The interval between two attempts to connect.
const INTERVAL: Duration = Duration::from_millis(5);

/// Restarts the server, and waits until it takes connections to a document.
///
/// # Errors
/// If the command fails, or the server takes no connection afterwards.
pub(super) async fn restart(command: &str, target: &Target, document: &str) -> anyhow::Result<()> {
    run(command)?;
    let start = Instant::now();
    while let Err(error) = target.open(document).await {
        if start.elapsed() > limits::RESTART {
            bail!("{} s after {command:?}: {error}", limits::RESTART.as_secs());
        }
        sleep(INTERVAL).await;
    }
    Ok(())
}

/// Runs a command of the user, with its output on stderr.
///
/// # Errors
/// If it does not run, or fails.
pub(super) fn run(command: &str) -> anyhow::Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(std::io::stderr());
    let status = shell.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
