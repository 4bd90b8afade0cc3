//! `coscribe serve`: puts the parts together, and takes them apart in the order in which nothing is lost.

use std::net::SocketAddr;
use std::process;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, bail};
use coscribe_persistence::{Store, StoreOptions};
use coscribe_terminal::print;
use coscribe_websocket::echo;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use crate::access::server_keys::ServerKeys;
use crate::access::{Authorizer, UNGUARDED};
use crate::announcement::{self, Announcement};
use crate::budget::Budget;
use crate::config::{Config, Listen};
use crate::connection::register::{ConnectionLimits, Connections};
use crate::http::api::Api;
use crate::http::{self, y_sweet::YSweet};
use crate::journal::SharedJournal;
use crate::journal::local::{JournalThreads, LocalJournal, Space};
use crate::limits::{
    BACKGROUND_ROOMS, BLOCKING_THREAD_KEPT, BLOCKING_THREADS, DIRECTORY_INTERVAL, LAST_CLOSES, LAST_LINES,
};
use crate::metrics::Metrics;
use crate::net::descriptors::Descriptors;
use crate::net::listener::{self, Door};
use crate::net::server::Server;
use crate::net::tls::Tls;
use crate::observe::{Tracer, lines};
use crate::relief::relieve;
use crate::rooms::Rooms;

/// Serves until SIGINT or SIGTERM.
pub(crate) fn run(config: Config) -> anyhow::Result<ExitCode> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().max_blocking_threads(BLOCKING_THREADS).thread_keep_alive(BLOCKING_THREAD_KEPT);
    let runtime = runtime.build().context("cannot start")?;
    let result = runtime.block_on(serve(config));
    runtime.shutdown_background();
    result
}

/// Sends every message back, until it is killed.
pub(crate) fn echo(listen: &Listen) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    runtime.block_on(async {
        let mut listeners = listener::listen(listen).await?;
        let addresses = [listeners[0].local_addr().context("cannot listen")?];
        let announcement =
            Announcement { listen, addresses: &addresses, is_encrypted: false, admin_addresses: &[] };
        print(announcement.listening().as_bytes());
        match echo::run(listeners.swap_remove(0)).await.context("cannot accept connections")? {}
    })
}

/// Each connection takes a file descriptor, and the usual limit on those is for programs that use `select`.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised, the present one must do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    raise_descriptor_limit();
    // Before anything takes long, so that a signal is never missed.
    let mut signals = Signals::install()?;
    let listen = config.listen.clone();
    let server = Running::start(config).await?;
    let announcement = Announcement {
        listen: &listen,
        addresses: server.addresses(),
        is_encrypted: server.is_encrypted(),
        admin_addresses: server.admin_addresses(),
    };
    say(announcement.text(announcement::outside()));
    let name = signals.next().await;
    info!("{name}: shutting down");
    tokio::select! {
        stopped = server.stop() => stopped.map(|()| ExitCode::SUCCESS),
        name = signals.next() => {
            warn!("{name} again: leaving at once");
            lines::flush(LAST_LINES);
            process::exit(130);
        }
    }
}

/// Says something on stdout, whose reader may stall: nobody waits for that.
fn say(text: String) {
    // Without a thread nothing is said; the log tells of connections.
    let _ = thread::Builder::new().name("stdout".to_owned()).spawn(move || print(text.as_bytes()));
}

/// A server that runs in this process, on tokio's current runtime.
pub struct Running {
    server: Arc<Server>,
    journal: SharedJournal,
    threads: JournalThreads,
    addresses: Vec<SocketAddr>,
    admin_addresses: Vec<SocketAddr>,
    /// Accepts connections, checkpoints in the background, watches the directory and the certificate.
    tasks: JoinSet<()>,
}

impl Running {
    /// Opens the documents and listens. To be called on a multi-threaded runtime.
    ///
    /// # Errors
    /// If an address cannot be listened on, the certificate cannot be used, or the documents cannot be opened: another server may
    /// have them open.
    pub async fn start(config: Config) -> anyhow::Result<Running> {
        let config = Arc::new(config);
        let tls = Tls::of(&config)?.map(Arc::new);
        let listeners = listener::listen(&config.listen).await?;
        let addresses = addresses_of(&listeners)?;
        let admin_listeners = match &config.admin_listen {
            Some(listen) => listener::listen(listen).await?,
            None => Vec::new(),
        };
        let admin_addresses = addresses_of(&admin_listeners)?;
        let authorizer = Arc::new(Authorizer::new(&config)?);
        if addresses.iter().any(|address| !address.ip().is_loopback()) && !authorizer.is_told_who_may_come() {
            bail!(UNGUARDED);
        }
        for warning in config.access.warnings() {
            warn!("{warning}");
        }
        if !authorizer.lets_anybody_in() {
            warn!("nobody may come in: anonymous is none, and there are no keys of tokens and no access.ask");
        }
        let store = open_store(&config)?;
        let budget = Budget::new(config.memory());
        let metrics = Arc::new(Metrics::new(&budget));
        let descriptors = Descriptors::of_process(config.max_connections.get());
        if descriptors.connections < config.max_connections.get() {
            let Descriptors { limit, connections, .. } = descriptors;
            info!(
                "the system allows {limit} open files (`ulimit -n`), so there may be {connections} connections, and not {}",
                config.max_connections
            );
        }
        metrics.max_connections.set(descriptors.connections.try_into().unwrap_or(i64::MAX));
        let space = Arc::new(Space::of(&config));
        space.look(&store, &metrics);
        let (journal, threads) = LocalJournal::start(
            Arc::clone(&store),
            Arc::clone(&space),
            config.commit_window.get(),
            Arc::clone(&metrics),
        )
        .context("cannot start")?;
        let journal: SharedJournal = Arc::new(journal);
        let rooms =
            Rooms::new(Arc::clone(&config), Arc::clone(&journal), Arc::clone(&budget), Arc::clone(&metrics));
        let limits = ConnectionLimits {
            total: descriptors.connections,
            turned_away: descriptors.turned_away,
            per_address: config.max_connections_per_address.get(),
        };
        let connections = Connections::new(limits, Arc::clone(&budget), Arc::clone(&metrics));
        let api = Api {
            authorizer: Arc::clone(&authorizer),
            connections: Arc::clone(&connections),
            config: Arc::clone(&config),
            metrics: Arc::clone(&metrics),
            budget: Arc::clone(&budget),
        };
        let keys = Arc::new(ServerKeys::of(&config.data));
        let y_sweet = YSweet {
            authorizer: Arc::clone(&authorizer),
            rooms: Arc::clone(&rooms),
            journal: Arc::clone(&journal),
            config: Arc::clone(&config),
            metrics: Arc::clone(&metrics),
            budget: Arc::clone(&budget),
        };
        let routes = http::routes(y_sweet, api, keys);
        let server = Arc::new(Server {
            tracer: Tracer::start(&config)?,
            config,
            connections,
            authorizer: Arc::clone(&authorizer),
            refusals: Arc::default(),
            metrics,
            rooms,
        });
        let mut tasks = JoinSet::new();
        let (connections, rooms) = (Arc::clone(&server.connections), Arc::clone(&server.rooms));
        tasks.spawn(relieve(budget, connections, rooms, Arc::clone(&server.metrics)));
        tasks.spawn(authorizer.refresh().run());
        if let Some(tls) = &tls {
            tasks.spawn(Arc::clone(tls).keep_up());
        }
        tasks.spawn(listener::run(
            listeners,
            Door::Public { tls },
            descriptors.requesting,
            Arc::clone(&server),
            routes.public,
        ));
        if let Some(routes) = routes.admin {
            tasks.spawn(listener::run(
                admin_listeners,
                Door::Admin,
                descriptors.requesting,
                Arc::clone(&server),
                routes,
            ));
        }
        tasks.spawn(checkpoint_in_background(Arc::clone(&server.rooms), Arc::clone(&journal)));
        tasks.spawn(watch_directory(store, space, Arc::clone(&server.metrics)));
        Ok(Running { server, journal, threads, addresses, admin_addresses, tasks })
    }

    /// Where it listens, at least one address.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it has `/metrics` and the API, if that is somewhere else.
    pub fn admin_addresses(&self) -> &[SocketAddr] {
        &self.admin_addresses
    }

    /// Whether editors connect by TLS.
    pub fn is_encrypted(&self) -> bool {
        // A certificate without a key, or the other way round, is an error at the start.
        self.server.config.tls_cert.is_some()
    }

    /// Closes all connections, stores their updates, and ends.
    ///
    /// # Errors
    /// If not everything is stored.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.tasks.shutdown().await;
        stop(&self.server, self.threads).await;
        self.server.tracer.stop().await;
        match &self.journal.health().borrow().failure {
            None => Ok(()),
            Some(reason) => bail!("not everything is saved: {reason}"),
        }
    }
}

fn addresses_of(listeners: &[TcpListener]) -> anyhow::Result<Vec<SocketAddr>> {
    let addresses: Result<Vec<_>, _> = listeners.iter().map(TcpListener::local_addr).collect();
    addresses.context("cannot listen")
}

fn open_store(config: &Config) -> anyhow::Result<Arc<Store>> {
    let (store, recovery) = Store::open(&config.data, StoreOptions::default())
        .with_context(|| format!("cannot open the documents in {}", config.data.display()))?;
    if recovery.taken_over > 0 {
        info!(snapshots = recovery.taken_over, "taken over from an earlier version");
    }
    for note in recovery.warnings() {
        warn!("{note}");
    }
    if let Some(unmarked) = &recovery.unmarked {
        info!("{unmarked}");
    }
    Ok(Arc::new(store))
}

/// Looks now and then whether the directory is still there, and how much space it has: without it, all that is written is gone when
/// the server ends.
async fn watch_directory(store: Arc<Store>, space: Arc<Space>, metrics: Arc<Metrics>) {
    loop {
        sleep(DIRECTORY_INTERVAL).await;
        let (store, space, metrics) = (Arc::clone(&store), Arc::clone(&space), Arc::clone(&metrics));
        let look = move || {
            space.look(&store, &metrics);
            store.check_directory()
        };
        match spawn_blocking(look).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error!("nothing is saved any more: {error}"),
            // The server stops.
            Err(_) => return,
        }
    }
}

/// Makes snapshots of the documents that a previous run left with updates in the log only.
async fn checkpoint_in_background(rooms: Arc<Rooms>, journal: SharedJournal) {
    let turns = Arc::new(Semaphore::new(BACKGROUND_ROOMS));
    let documents = journal.uncheckpointed();
    debug!(documents = documents.len(), "checkpointing in the background");
    for name in documents {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else {
            return;
        };
        if !journal.takes_checkpoints() || rooms.visit(&name, turn).is_err() {
            return;
        }
    }
}

/// Connections first; then the rooms, when they have processed all messages; then the log, when it has all records.
async fn stop(server: &Server, journal: JournalThreads) {
    server.rooms.close_doors();
    server.connections.close_all(server.config.shutdown_spread.get()).await;
    if timeout(LAST_CLOSES, server.connections.all_closed()).await.is_err() {
        debug!("some connections did not agree to be closed");
    }
    server.rooms.stop();
    server.rooms.all_gone().await;
    if spawn_blocking(move || journal.stop()).await.is_err() {
        warn!("shutting down failed");
    }
}

/// The signals that end the server.
struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    fn install() -> anyhow::Result<Signals> {
        let install = |kind| signal(kind).context("cannot wait for signals");
        // A log that reaches the limit on the size of files is an error of the write, and no reason to die.
        drop(install(SignalKind::from_raw(Signal::XFSZ.as_raw()))?);
        Ok(Signals {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
