//! The command line of the load generator.
#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use coscribe_bench::cores::{Cores, stay_on};
use coscribe_bench::crowd::Target;
use coscribe_bench::dialect::Dialect;
use coscribe_bench::machine::Machine;
use coscribe_bench::outcome::{Load, Outcome};
use coscribe_bench::relay;
use coscribe_bench::results::{HOSTILE, Markers, Measurement, RESULTS, Results, rewrite};
use coscribe_bench::scenarios::defaults;
use coscribe_bench::scenarios::hostile::{self, Attack};
use coscribe_bench::servers::{Installed, Running, Server};
use coscribe_bench::suite::{Row, SWEEP, rows, sweep_load};
use coscribe_terminal::{Progress, ending, note, print, say, words};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Loads collaboration servers as many editors would, and accounts for every delivery.
#[derive(Parser, Debug)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server_args: ServerArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    #[command(flatten)]
    Load(Load),
    /// Attack the server in many ways while two people type: its memory, their latency, what is lost
    Hostile(HostileArgs),
    /// Run every load against every server that is installed, and write the tables
    Suite(SuiteArgs),
    /// Run the bare relay
    #[command(hide = true)]
    Relay {
        /// Where to listen
        #[arg(long)]
        listen: SocketAddr,
    },
}

/// Which server, and where to find it.
#[derive(Args, Debug)]
struct ServerArgs {
    /// The server to start and load
    #[arg(long, global = true, value_enum, default_value = "coscribe")]
    server: Server,
    /// Load the server that listens here, instead of starting one
    #[arg(long, global = true, value_name = "IP:PORT")]
    address: Option<SocketAddr>,
    /// The dialect that it speaks [default: that of --server]
    #[arg(long, global = true, value_enum)]
    dialect: Option<Dialect>,
    /// The path to request there, with {} for the document [default: that of --server]
    #[arg(long, global = true)]
    path: Option<String>,
    /// Its process id, so that its cost can be measured
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// A further argument for coscribe, such as `--argument=--memory=256MiB`; can be repeated
    #[arg(long = "argument", global = true, value_name = "ARGUMENT", allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// Don't offer compression
    #[arg(long, global = true)]
    plain: bool,
    /// Print JSON instead of lines
    #[arg(long, global = true)]
    json: bool,
    /// The coscribe binary [default: beside this one]
    #[arg(long, global = true)]
    coscribe: Option<PathBuf>,
    /// The directory with the set-up of the other servers
    #[arg(long, global = true, default_value = "bench/peers")]
    peers: PathBuf,
    /// The y-sweet binary [default: below --peers, where `make bench-y-sweet` puts it]
    #[arg(long, global = true)]
    y_sweet: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct HostileArgs {
    /// Only attacks whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// How long an attack may take until the server is at rest again, in seconds
    #[arg(long, default_value_t = 60.0)]
    bound: f64,
    /// Say what the attacks do, and run none
    #[arg(long)]
    list: bool,
}

#[derive(Args, Debug)]
struct SuiteArgs {
    /// Only these servers
    #[arg(long, value_enum, value_delimiter = ',')]
    servers: Vec<Server>,
    /// Only loads and attacks whose title contains this; titles of attacks begin with "hostile: "
    #[arg(long, default_value = "")]
    only: String,
    /// Measured time of each load, in seconds
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Leave out the sweep for the plot
    #[arg(long)]
    no_sweep: bool,
    /// Leave out the attacks
    #[arg(long)]
    no_hostile: bool,
    /// How long an attack may take until the server is at rest again, in seconds
    #[arg(long, default_value_t = 60.0)]
    bound: f64,
    /// Where to write results.json, results.md and latency.svg, hostile.json and hostile.md
    #[arg(long, default_value = "bench/results")]
    out: PathBuf,
    /// A Markdown file with a place for each table; a table is written if nothing was left out of it
    #[arg(long)]
    readme: Option<PathBuf>,
}

fn main() -> ExitCode {
    ending(match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            note!("error: {}", words(error.as_ref()));
            ExitCode::FAILURE
        }
    })
}

/// Returns whether everything was sound.
fn run(Cli { command, server_args }: Cli) -> anyhow::Result<bool> {
    if let Command::Relay { listen } = command {
        return relay::run(listen).map(|()| true);
    }
    let cores = Cores::available()?;
    stay_on(cores.generator)?;
    raise_open_files()?;
    match command {
        Command::Suite(args) => Suite { server_args, args, cores }.run(),
        Command::Load(load) => {
            let outcome = load.run(&mut server_args.server(server_args.server, cores)?);
            if server_args.json {
                say!("{}", serde_json::to_string_pretty(&outcome)?);
            } else {
                print(outcome.lines().as_bytes());
            }
            Ok(outcome.is_sound())
        }
        Command::Hostile(args) => run_attacks(&server_args, &args, cores),
        Command::Relay { .. } => unreachable!("handled above"),
    }
}

/// Runs attacks against a fresh server each, and prints a line for each; with `--json` those go to stderr.
fn run_attacks(server_args: &ServerArgs, args: &HostileArgs, cores: Cores) -> anyhow::Result<bool> {
    let attacks = hostile::all().filter(|attack| attack.name.contains(&args.only));
    if args.list {
        attacks.for_each(|attack| say!("{:32} {}", attack.name, attack.what));
        return Ok(true);
    }
    let say = |line: String| if server_args.json { note!("{line}") } else { say!("{line}") };
    say(hostile::line("attack", &hostile::HEADER.map(str::to_owned)));
    let attacks: Vec<_> = attacks.collect();
    let mut progress = Progress::new("attack", Some(attacks.len() as u64));
    let mut runs = Vec::new();
    for attack in attacks {
        progress.show(runs.len() as u64, || attack.name.to_owned());
        let run = server_args.run_one(
            attack.name.to_owned(),
            server_args.server,
            hostile_load(attack, args.bound),
            cores,
        );
        say(run.outcome.line(attack.name));
        runs.push(run);
    }
    drop(progress);
    if server_args.json {
        say!("{}", serde_json::to_string_pretty(&runs)?);
    }
    Ok(runs.iter().all(|run| run.outcome.is_sound()))
}

fn hostile_load(attack: &Attack, bound: f64) -> Load {
    Load::Hostile(hostile::Load { attack: attack.name.to_owned(), bound, ..defaults() })
}

/// Every connection is an open file, here and in the servers that are started.
fn raise_open_files() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

impl ServerArgs {
    fn installed(&self) -> anyhow::Result<Installed> {
        let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("coscribe"));
        Ok(Installed {
            coscribe: self.coscribe.clone().map_or_else(beside, Ok)?,
            arguments: self.arguments.clone(),
            peers: self.peers.clone(),
            y_sweet: self.y_sweet.clone().unwrap_or_else(|| self.peers.join(".cargo/bin/y-sweet")),
        })
    }

    /// The requested server, started unless it has an address.
    fn server(&self, server: Server, cores: Cores) -> anyhow::Result<Running> {
        let Some(address) = self.address else {
            let installed = self.installed()?;
            server.find(&installed).map_err(anyhow::Error::msg)?;
            return server.start(&installed, cores, !self.plain);
        };
        let dialect = self.dialect.unwrap_or(server.dialect());
        let path = self.path.clone().unwrap_or_else(|| server.path().to_owned());
        let target = Target { address, dialect, path, offer_deflate: !self.plain };
        Ok(Running::external(target, self.pid))
    }

    /// Runs a load against a server that is started for it, unless it has an address.
    fn run_one(&self, title: String, server: Server, load: Load, cores: Cores) -> Measurement {
        let outcome = match self.server(server, cores).context("could not be started") {
            Ok(mut running) => load.run(&mut running),
            Err(error) => Outcome::Failed { error: format!("{error:#}") },
        };
        Measurement { title, server, load, outcome }
    }
}

struct Suite {
    server_args: ServerArgs,
    args: SuiteArgs,
    cores: Cores,
}

impl Suite {
    fn run(&self) -> anyhow::Result<bool> {
        let only = &self.args.only;
        let rows: Vec<Row> = rows(self.args.seconds);
        let rows: Vec<Row> = rows.into_iter().filter(|row| row.title.contains(only)).collect();
        let attacks = hostile::all().filter(|attack| !self.args.no_hostile && attack.title().contains(only));
        let attacks: Vec<&Attack> = attacks.collect();
        let sound = (rows.is_empty() && !attacks.is_empty()) || self.run_loads(&rows)?;
        Ok((attacks.is_empty() || self.run_attacks(&attacks)?) && sound)
    }

    fn run_loads(&self, rows: &[Row]) -> anyhow::Result<bool> {
        let mut results = self.find_servers()?;
        let servers = || results.servers.iter().map(|&(server, _)| server);
        let sweep = if self.args.no_sweep { 0 } else { SWEEP.len() };
        let loads = rows.iter().map(|row| servers().filter(|&server| row.suits(server)).count());
        let total = loads.sum::<usize>() + servers().count() * sweep;
        let mut loads = Loads::new(self, total);
        for row in rows {
            for &(server, _) in &results.servers {
                if row.suits(server) {
                    results.runs.push(loads.run(row.title.to_owned(), server, row.load.clone()));
                }
            }
            results.write(&self.args.out, rows)?;
        }
        if !self.args.no_sweep {
            self.sweep(&mut loads, &mut results);
        }
        drop(loads);
        results.write(&self.args.out, rows)?;
        let markdown = results.markdown(rows);
        let is_whole = self.args.only.is_empty() && !self.args.no_sweep;
        let plot = "![p99 of the latency against load](results/latency.svg)";
        self.tell(RESULTS, is_whole, &format!("{markdown}\n{plot}\n"))?;
        say!("\n{markdown}");
        Ok(results.are_sound())
    }

    fn run_attacks(&self, attacks: &[&Attack]) -> anyhow::Result<bool> {
        let mut results = self.find_servers()?;
        let mut loads = Loads::new(self, attacks.len() * results.servers.len());
        for attack in attacks {
            for &(server, _) in &results.servers {
                let load = hostile_load(attack, self.args.bound);
                results.runs.push(loads.run(attack.title(), server, load));
            }
            results.write_attacks(&self.args.out, attacks)?;
        }
        drop(loads);
        let markdown = results.attack_markdown(attacks);
        self.tell(HOSTILE, attacks.len() == hostile::all().count(), &markdown)?;
        say!("\n{markdown}");
        Ok(results.are_sound())
    }

    /// Puts a table where it belongs in the README, if nothing was left out.
    fn tell(&self, markers: Markers, is_whole: bool, markdown: &str) -> anyhow::Result<()> {
        match &self.args.readme {
            Some(readme) if is_whole && self.args.servers.is_empty() => rewrite(readme, markers, markdown),
            Some(readme) => {
                note!("{} is left unchanged, since this was only a part", readme.display());
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn find_servers(&self) -> anyhow::Result<Results> {
        let installed = self.server_args.installed()?;
        let all = [
            Server::Coscribe,
            Server::CoscribeHocuspocus,
            Server::Relay,
            Server::YWebsocket,
            Server::Hocuspocus,
            Server::YSweet,
        ];
        let (mut servers, mut skipped) = (Vec::new(), Vec::new());
        for server in all {
            if !self.args.servers.is_empty() && !self.args.servers.contains(&server) {
                continue;
            }
            match server.find(&installed) {
                Ok(()) => servers.push((server, server.version(&installed))),
                Err(why) => {
                    note!("{} is left out: {why}", server.title());
                    skipped.push((server, why));
                }
            }
        }
        let machine = Machine::this(self.cores);
        Ok(Results { machine, servers, skipped, runs: Vec::new(), sweep: Vec::new() })
    }

    /// Raises the rate for each server until it no longer keeps up.
    fn sweep(&self, loads: &mut Loads<'_>, results: &mut Results) {
        for &(server, _) in &results.servers {
            for (number, rate) in (1..).zip(SWEEP) {
                let load = sweep_load(rate, self.args.seconds / 2.0);
                let run = loads.run(format!("100 people in a room, {rate}/s each"), server, load);
                let kept_up = matches!(&run.outcome, Outcome::Typing(report) if report.keeps_up());
                results.sweep.push(run);
                if !kept_up {
                    loads.leave_out(SWEEP.len() - number);
                    break;
                }
            }
        }
    }
}

/// The loads of a suite, one after another, and how far they have come.
struct Loads<'a> {
    suite: &'a Suite,
    done: u64,
    progress: Progress,
}

impl<'a> Loads<'a> {
    fn new(suite: &'a Suite, total: usize) -> Self {
        Self { suite, done: 0, progress: Progress::new("load", Some(total as u64)) }
    }

    fn run(&mut self, title: String, server: Server, load: Load) -> Measurement {
        let Suite { server_args, cores, .. } = self.suite;
        let name = format!("{title}, {}", server.title());
        self.progress.show(self.done, || name.clone());
        let run = server_args.run_one(title, server, load, *cores);
        note!("{name}: {}", run.outcome.cell());
        self.done += 1;
        run
    }

    /// These are not run.
    fn leave_out(&mut self, loads: usize) {
        self.done += loads as u64;
    }
}
