//! The servers that are measured: where each is found, how it is started, and how editors connect to it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tempfile::TempDir;

use crate::cores::{Cores, stay_on};
use crate::crowd::Target;
use crate::dialect::Dialect;
use crate::limits;
use crate::process::ProcessTree;

/// What coscribe takes tokens to be signed with. Nobody here has one: all come anonymously, except attackers with bad ones.
const SECRET: &str = "the secret of a server that is only measured";

/// The directory of its documents, in that of the server.
const DATA: &str = "data";
/// What it says, beside that.
const LOG: &str = "server.log";
/// Why a server cannot be started again.
const NOT_STARTED: &str = "the server was not started here";

/// A server that this crate knows how to start.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Server {
    /// This project's.
    Coscribe,
    /// The same, by the dialect of Hocuspocus.
    CoscribeHocuspocus,
    /// Passes frames on within a room, and knows nothing of documents: the floor.
    Relay,
    /// y-websocket's own (npm y-websocket 2).
    YWebsocket,
    /// Hocuspocus (npm @hocuspocus/server 4).
    Hocuspocus,
    /// y-sweet (crates.io).
    YSweet,
}

/// Where servers are found.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The binary of coscribe.
    pub coscribe: PathBuf,
    /// Further arguments of its command line.
    pub arguments: Vec<String>,
    /// The directory with the others' set-up.
    pub peers: PathBuf,
    /// The binary of y-sweet.
    pub y_sweet: PathBuf,
}

/// A server under load.
#[derive(Debug)]
pub struct Running {
    /// Where and how to connect.
    pub target: Target,
    /// Its processes, if known.
    pub process: Option<ProcessTree>,
    started: Option<Started>,
}

/// A server that was started here.
#[derive(Debug)]
struct Started {
    server: Server,
    installed: Installed,
    cores: Cores,
    child: Child,
    directory: TempDir,
}

impl Server {
    /// What it is called in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Coscribe => "coscribe",
            Self::CoscribeHocuspocus => "coscribe, by Hocuspocus' dialect",
            Self::Relay => "bare relay",
            Self::YWebsocket => "y-websocket",
            Self::Hocuspocus => "Hocuspocus",
            Self::YSweet => "y-sweet",
        }
    }

    /// Its dialect.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Relay => Dialect::Relay,
            Self::Hocuspocus | Self::CoscribeHocuspocus => Dialect::Hocuspocus,
            Self::Coscribe | Self::YWebsocket | Self::YSweet => Dialect::YWebsocket,
        }
    }

    /// Whether it keeps documents over a restart, as it is set up here.
    pub fn stores(self) -> bool {
        matches!(self, Self::Coscribe | Self::CoscribeHocuspocus | Self::YSweet)
    }

    /// Checks that everything needed to start it is there; if not, says how to get it.
    ///
    /// # Errors
    /// In words, if it is missing.
    pub fn find(self, installed: &Installed) -> Result<(), String> {
        let modules = installed.peers.join("node_modules");
        let (needed, remedy) = match self {
            Self::Relay => return Ok(()),
            Self::Coscribe | Self::CoscribeHocuspocus => {
                (installed.coscribe.clone(), "cargo build --release --package coscribe".to_owned())
            }
            Self::YWebsocket => (modules.join("y-websocket/bin/server.cjs"), npm_ci(installed)),
            Self::Hocuspocus => (modules.join("@hocuspocus/server"), npm_ci(installed)),
            Self::YSweet => (installed.y_sweet.clone(), "make bench-y-sweet".to_owned()),
        };
        if needed.exists() { Ok(()) } else { Err(format!("{} is not there: {remedy}", needed.display())) }
    }

    /// Its version, as it or its package says.
    pub fn version(self, installed: &Installed) -> String {
        let package = |name: &str| {
            let json = fs::read(installed.peers.join("node_modules").join(name).join("package.json")).ok()?;
            let package: serde_json::Value = serde_json::from_slice(&json).ok()?;
            Some(package["version"].as_str()?.to_owned())
        };
        let binary = |path: &Path, argument: &str| {
            let output = Command::new(path).arg(argument).output().ok()?;
            Some(String::from_utf8_lossy(&output.stdout).split_whitespace().last()?.to_owned())
        };
        let version = match self {
            Self::Relay => Some(env!("CARGO_PKG_VERSION").to_owned()),
            Self::Coscribe | Self::CoscribeHocuspocus => binary(&installed.coscribe, "--version"),
            Self::YSweet => binary(&installed.y_sweet, "version"),
            Self::YWebsocket => package("y-websocket"),
            Self::Hocuspocus => package("@hocuspocus/server"),
        };
        version.unwrap_or_else(|| "unknown".to_owned())
    }

    /// The path to request, with `{}` for the document.
    pub fn path(self) -> &'static str {
        match self {
            Self::Hocuspocus | Self::CoscribeHocuspocus => "/",
            Self::YSweet => "/d/{}/ws/{}",
            Self::Coscribe | Self::Relay | Self::YWebsocket => "/{}",
        }
    }

    fn command(self, installed: &Installed, port: u16, data: &Path) -> anyhow::Result<Command> {
        let address = format!("127.0.0.1:{port}");
        let mut command = match self {
            Self::Coscribe | Self::CoscribeHocuspocus => Command::new(&installed.coscribe),
            Self::Relay => Command::new(std::env::current_exe()?),
            Self::YSweet => Command::new(&installed.y_sweet),
            Self::YWebsocket | Self::Hocuspocus => Command::new("node"),
        };
        match self {
            Self::Coscribe | Self::CoscribeHocuspocus => {
                command.args(["serve", "--log", "warn", "--access-secret", SECRET, "--anonymous", "write"]);
                command.args(["--listen", &address, "--data"]).arg(data).args(&installed.arguments);
            }
            Self::Relay => {
                command.args(["relay", "--listen", &address]);
            }
            Self::YSweet => {
                command.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()]).arg(data);
            }
            Self::YWebsocket => {
                command.arg("node_modules/y-websocket/bin/server.cjs").current_dir(&installed.peers);
                command.env("HOST", "127.0.0.1").env("PORT", port.to_string());
            }
            Self::Hocuspocus => {
                command.args(["hocuspocus.mjs", &port.to_string()]).current_dir(&installed.peers);
            }
        }
        Ok(command)
    }

    /// Starts it on its core, with an empty data directory, and waits until it listens.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(self, installed: &Installed, cores: Cores, offer_deflate: bool) -> anyhow::Result<Running> {
        let directory = tempfile::tempdir()?;
        let (child, address) = self.spawn(installed, cores, directory.path())?;
        let process = Some(ProcessTree::new(child.id()));
        let target = Target { address, dialect: self.dialect(), path: self.path().to_owned(), offer_deflate };
        let started = Some(Started { server: self, installed: installed.clone(), cores, child, directory });
        Ok(Running { target, process, started })
    }

    fn spawn(self, installed: &Installed, cores: Cores, data: &Path) -> anyhow::Result<(Child, SocketAddr)> {
        let port = free_port()?;
        let log = fs::File::options().create(true).append(true).open(data.join(LOG))?;
        let mut command = self.command(installed, port, &data.join(DATA))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // A process inherits the cores of the thread that starts it.
        stay_on(cores.server)?;
        let spawned = command.spawn().with_context(|| format!("cannot start {command:?}"));
        stay_on(cores.generator)?;
        let mut child = spawned?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Instant::now() + limits::SERVER_START;
        while TcpStream::connect(address).is_err() {
            if child.try_wait()?.is_some() || Instant::now() > deadline {
                drop(child.kill());
                let log = fs::read_to_string(data.join(LOG)).unwrap_or_default();
                bail!("{} does not listen: {}", self.title(), log.trim());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok((child, address))
    }
}

/// A free port below those that the system gives to clients, of which there are thousands when a server is started again.
fn free_port() -> anyhow::Result<u16> {
    let mut candidates = std::iter::repeat_with(|| fastrand::u16(10_000..30_000)).take(100);
    let free = candidates.find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    free.context("no free port")
}

fn npm_ci(installed: &Installed) -> String {
    format!("npm ci --prefix {}", installed.peers.display())
}

impl Running {
    /// A server that somebody else has started.
    pub fn external(target: Target, process: Option<u32>) -> Self {
        Self { target, process: process.map(ProcessTree::new), started: None }
    }

    /// Whether [`Self::restart`] makes sense: the server was started here and keeps its documents.
    pub fn can_restart(&self) -> bool {
        self.started.as_ref().is_some_and(|started| started.server.stores())
    }

    /// Whether documents are expected to be there when everybody has left them for a while.
    pub fn keeps_documents(&self) -> bool {
        self.target.dialect != Dialect::Relay
            && self.started.as_ref().is_none_or(|started| started.server.stores())
    }

    /// Ends the server in order and starts it again on the same data.
    ///
    /// # Errors
    /// If it does not end or does not start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.started.as_mut().context(NOT_STARTED)?.terminate()?;
        self.start_again()
    }

    /// Starts the server again on the same data, after it has ended.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let started = self.started.as_mut().context(NOT_STARTED)?;
        let Started { server, installed, cores, directory, .. } = &*started;
        let (child, address) = server.spawn(installed, *cores, directory.path())?;
        self.process = Some(ProcessTree::new(child.id()));
        self.target.address = address;
        started.child = child;
        Ok(())
    }

    /// The directory of its documents.
    ///
    /// # Errors
    /// If it was not started here.
    pub fn data(&self) -> anyhow::Result<PathBuf> {
        Ok(self.started.as_ref().context(NOT_STARTED)?.directory.path().join(DATA))
    }

    /// What it has said since its first start.
    ///
    /// # Errors
    /// If it was not started here.
    pub fn log(&self) -> anyhow::Result<String> {
        let directory = self.started.as_ref().context(NOT_STARTED)?.directory.path();
        Ok(String::from_utf8_lossy(&fs::read(directory.join(LOG))?).into_owned())
    }

    /// Creates documents, for servers that have to be asked.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn prepare<'a>(&self, documents: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
        prepare(&self.target, documents)
    }

    /// How it ended, if it was started here and has ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.started.as_mut()?.child.try_wait().ok()??;
        Some(status.to_string())
    }

    /// Ends it at once, if it was started here.
    pub fn kill(&mut self) {
        if let Some(started) = &mut self.started {
            // It may be gone already.
            drop(started.child.kill());
            drop(started.child.wait());
        }
    }
}

/// Creates documents, for servers that have to be asked.
///
/// # Errors
/// If the server refuses.
pub fn prepare<'a>(target: &Target, documents: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
    if target.path != Server::YSweet.path() {
        return Ok(());
    }
    for document in documents {
        create_on_y_sweet(target.address, document)?;
    }
    Ok(())
}

fn create_on_y_sweet(address: SocketAddr, document: &str) -> anyhow::Result<()> {
    let body = format!("{{\"docId\":\"{document}\"}}");
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "POST /doc/new HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    ensure!(response.starts_with("HTTP/1.1 200"), "y-sweet did not create a document: {response}");
    Ok(())
}

impl Started {
    fn terminate(&mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("odd process id")?;
        kill_process(pid, Signal::TERM)?;
        let deadline = Instant::now() + limits::SERVER_START;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "{} does not end", self.server.title());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
