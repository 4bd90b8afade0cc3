//! The results of a run of the suite, and the files that report them.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::machine::Machine;
use crate::outcome::{Load, Outcome};
use crate::plot::{Line, svg};
use crate::scenarios::hostile::Attack;
use crate::servers::Server;
use crate::suite::Row;

/// The markers around a place for text in a Markdown file.
pub type Markers = [&'static str; 2];
/// Where the table of loads goes.
pub const RESULTS: Markers = ["<!-- results, written by `make bench` -->\n", "<!-- end of results -->"];
/// Where the table of attacks goes.
pub const HOSTILE: Markers = ["<!-- attacks, written by `make bench` -->\n", "<!-- end of attacks -->"];
/// A point of the plot beyond this many milliseconds says only that the server did not keep up.
const HIGHEST_POINT: f64 = 60_000.0;

/// What one server did under one load.
#[derive(Debug, Serialize)]
pub struct Measurement {
    /// What people did.
    pub title: String,
    /// Which server.
    pub server: Server,
    /// Under which load.
    pub load: Load,
    /// The outcome.
    pub outcome: Outcome,
}

/// A whole run of the suite, or of its attacks.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Where it was run.
    pub machine: Machine,
    /// Servers and their versions.
    pub servers: Vec<(Server, String)>,
    /// Servers that were left out, and why.
    pub skipped: Vec<(Server, String)>,
    /// What was run for the table.
    pub runs: Vec<Measurement>,
    /// What was run for the plot: 100 people in a room, at growing rates.
    pub sweep: Vec<Measurement>,
}

impl Results {
    /// Machine, versions and the table of loads, as Markdown.
    pub fn markdown(&self, rows: &[Row]) -> String {
        self.preface() + &self.table(rows)
    }

    /// Machine, versions and the table of attacks, as Markdown.
    pub fn attack_markdown(&self, attacks: &[&Attack]) -> String {
        self.preface() + &self.attack_table(attacks)
    }

    fn preface(&self) -> String {
        let versions = |(server, version): &(Server, String)| match server {
            Server::Relay => server.title().to_owned(),
            _ => format!("{} {version}", server.title()),
        };
        let versions: Vec<String> = self.servers.iter().map(versions).collect();
        let mut markdown = format!("{}\n\nServers: {}.\n\n", self.machine.sentence(), versions.join(", "));
        for (server, why) in &self.skipped {
            markdown += &format!("Left out: {} ({why}).\n\n", server.title());
        }
        markdown
    }

    fn table(&self, rows: &[Row]) -> String {
        let mut table = self.table_head("Load | Goal");
        for row in rows {
            table += &format!("| {} | {} | {} |\n", row.title, self.verdict(row), self.cells(row.title));
        }
        table
    }

    fn attack_table(&self, attacks: &[&Attack]) -> String {
        let mut table = self.table_head("Attack | What is done");
        for attack in attacks {
            let Attack { name, what, .. } = attack;
            table += &format!("| {name} | {what} | {} |\n", self.cells(&attack.title()));
        }
        table
    }

    fn table_head(&self, columns: &str) -> String {
        let titles: Vec<&str> = self.servers.iter().map(|(server, _)| server.title()).collect();
        format!("| {columns} | {} |\n|---|---|{}\n", titles.join(" | "), "---|".repeat(titles.len()))
    }

    /// The outcome of each server, in the order of columns.
    fn cells(&self, title: &str) -> String {
        let cell = |(server, _): &(Server, String)| {
            self.outcome(title, *server).map_or_else(|| "–".to_owned(), Outcome::cell)
        };
        self.servers.iter().map(cell).collect::<Vec<_>>().join(" | ")
    }

    fn outcome(&self, title: &str, server: Server) -> Option<&Outcome> {
        self.runs.iter().find(|run| run.title == title && run.server == server).map(|run| &run.outcome)
    }

    /// The goal of a row, and whether it was reached.
    fn verdict(&self, row: &Row) -> String {
        let Some(goal) = &row.goal else { return "–".to_owned() };
        let relay = self.outcome(row.title, Server::Relay);
        match self.outcome(row.title, Server::Coscribe).and_then(|ours| (goal.is_met)(ours, relay)) {
            Some(true) => format!("{}: reached", goal.text),
            Some(false) => format!("{}: **missed**", goal.text),
            None => goal.text.to_owned(),
        }
    }

    /// Whether nothing went wrong with this project's own server.
    pub fn are_sound(&self) -> bool {
        let mut ours = self.runs.iter().filter(|run| run.server == Server::Coscribe);
        ours.all(|run| run.outcome.is_sound())
    }

    /// Latency against load, as SVG.
    pub fn plot(&self) -> String {
        let line = |&(server, _): &(Server, String)| {
            let runs = self.sweep.iter().filter(|run| run.server == server);
            Line { title: server.title(), points: runs.filter_map(point).collect() }
        };
        let lines: Vec<Line> = self.servers.iter().map(line).collect();
        svg("p99 of the latency, 100 people typing in one room", &lines)
    }

    /// Writes `results.json`, `results.md` and `latency.svg` into a directory.
    ///
    /// # Errors
    /// If that fails.
    pub fn write(&self, directory: &Path, rows: &[Row]) -> anyhow::Result<()> {
        write(directory, "results.json", &(serde_json::to_string_pretty(self)? + "\n"))?;
        write(directory, "results.md", &self.markdown(rows))?;
        if self.sweep.is_empty() { Ok(()) } else { write(directory, "latency.svg", &self.plot()) }
    }

    /// Writes `hostile.json` and `hostile.md` into a directory.
    ///
    /// # Errors
    /// If that fails.
    pub fn write_attacks(&self, directory: &Path, attacks: &[&Attack]) -> anyhow::Result<()> {
        write(directory, "hostile.json", &(serde_json::to_string_pretty(self)? + "\n"))?;
        write(directory, "hostile.md", &self.attack_markdown(attacks))
    }
}

fn write(directory: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let path = directory.join(name);
    fs::write(&path, text).with_context(|| path.display().to_string())
}

/// Deliveries that the load asks for in a second, and their p99.
fn point(run: &Measurement) -> Option<(f64, f64)> {
    let (Load::Typing(load), Outcome::Typing(report)) = (&run.load, &run.outcome) else { return None };
    let people = load.people as f64;
    let asked = load.rooms as f64
        * load.writers.map_or(people, |writers| writers as f64)
        * (people - 1.0)
        * load.rate;
    Some((asked, report.latency.p99_ms)).filter(|point| point.1 < HIGHEST_POINT)
}

/// Puts `text` between the markers of a Markdown file.
///
/// # Errors
/// If the file or its markers are not there.
pub fn rewrite(file: &Path, [start, end]: Markers, text: &str) -> anyhow::Result<()> {
    let old = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let (before, rest) = old.split_once(start).context("no place for results in the file")?;
    let (_, after) = rest.split_once(end).context("the place for results has no end")?;
    fs::write(file, format!("{before}{start}\n{text}\n{end}{after}"))
        .with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_replace_those_before_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = |between: [&str; 2]| {
            let [[start, end], [other_start, other_end]] = [RESULTS, HOSTILE];
            let [one, other] = between;
            format!("above\n{start}{one}{end}\nbetween\n{other_start}{other}{other_end}\nbelow")
        };
        fs::write(&file, text(["old", "old"])).unwrap();
        rewrite(file.path(), RESULTS, "new").unwrap();
        rewrite(file.path(), RESULTS, "newer").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), text(["\nnewer\n", "old"]));
        rewrite(file.path(), HOSTILE, "other").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), text(["\nnewer\n", "\nother\n"]));
        fs::write(&file, "no markers").unwrap();
        assert!(rewrite(file.path(), RESULTS, "new").is_err());
    }
}
