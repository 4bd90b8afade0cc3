//! A running `coscribe serve`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long anything may take before a test fails: generous, because the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server of its own; killed when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    log: NamedTempFile,
    stdout: BufReader<ChildStdout>,
}

/// `coscribe` with nothing of the environment's settings.
pub(crate) fn coscribe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coscribe"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("COSCRIBE_") {
            command.env_remove(variable);
        }
    }
    command
}

impl Server {
    /// Starts a server on a directory, on a free port, with more flags, and waits for its first line.
    pub(crate) fn start(data: &Path, flags: &[&str]) -> Server {
        let mut command = coscribe();
        command.env("COSCRIBE_LOG", "debug");
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(flags);
        Server::spawn(command)
    }

    /// Runs a command that becomes a server.
    pub(crate) fn spawn(command: Command) -> Server {
        let log = NamedTempFile::new().unwrap();
        let stderr = log.reopen().unwrap();
        Server::spawn_logging(command, stderr.into(), log).0
    }

    /// Runs a command that becomes a server, whose log goes elsewhere.
    pub(crate) fn with_stderr(command: Command, stderr: Stdio) -> (Server, Option<ChildStderr>) {
        Server::spawn_logging(command, stderr, NamedTempFile::new().unwrap())
    }

    fn spawn_logging(
        mut command: Command,
        stderr: Stdio,
        log: NamedTempFile,
    ) -> (Server, Option<ChildStderr>) {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stderr = child.stderr.take();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address =
            line.trim_end().split_once("://").filter(|(said, _)| said.starts_with("listening on http"));
        let address = address.unwrap_or_else(|| panic!("{line:?}, {}", read(&log))).1.parse().unwrap();
        (Server { address, child, log, stdout }, stderr)
    }

    /// How many files and sockets it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// How many threads of this name it has.
    pub(crate) fn threads(&self, name: &str) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        // One may have ended since it was listed.
        let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.filter(|comm| comm.trim_end() == name).count()
    }

    /// The next line that it has said.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it has nothing more to say");
        line
    }

    /// Where it has its second listener. To be asked once.
    pub(crate) fn admin(&mut self) -> SocketAddr {
        loop {
            if let Some(address) = self.line().strip_prefix("metrics and the API are on http://") {
                return address.trim_end().parse().unwrap();
            }
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The process.
    pub(crate) fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "still running");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// SIGTERM, and a wait for the end.
    pub(crate) async fn stop(mut self) {
        self.signal("TERM");
        let status = self.ended().await;
        assert!(status.success(), "{status}, {}", self.log());
    }

    /// What has been logged so far.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Waits until the log has this.
    pub(crate) async fn logs(&self, text: &str) {
        until(text, || self.log().contains(text)).await;
    }

    /// Waits until the log has this so many times.
    pub(crate) async fn logs_times(&self, text: &str, times: usize) {
        until(text, || self.log().matches(text).count() >= times).await;
    }

    /// Sends raw HTTP and gives the whole answer up to where the server has nothing more to say.
    pub(crate) async fn http(&self, request: &str) -> String {
        http(self.address, request).await
    }

    /// GETs a path.
    pub(crate) async fn get(&self, path: &str) -> String {
        get(self.address, path).await
    }

    /// A value of `/metrics`, by its name and labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().unwrap()
    }

    /// Waits until resident memory is less than so many bytes above what it was: the allocator keeps what was freed for a second.
    pub(crate) async fn memory_settles(&self, before: u64, bytes: u64) {
        until("memory is given back", || self.memory() < before + bytes).await;
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory that there has been, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, entry: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(entry)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the server:\n{}", self.log());
        }
    }
}

/// Sends raw HTTP and gives the whole answer up to where the server has nothing more to say.
pub(crate) async fn http(server: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(server).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // What the server closes with unread bytes ends in an error, after the answer.
    let _ = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// GETs a path.
pub(crate) async fn get(server: SocketAddr, path: &str) -> String {
    http(server, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn read(log: &NamedTempFile) -> String {
    let mut text = String::new();
    log.reopen().unwrap().read_to_string(&mut text).unwrap();
    text
}
