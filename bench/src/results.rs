//! Everything that a run of the suite found, and the files that tell it.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::machine::Machine;
use crate::outcome::{Load, Outcome};
use crate::plot::{Line, svg};
use crate::servers::Server;
use crate::suite::Row;

/// Where the table goes in a Markdown file.
const MARKERS: [&str; 2] = ["<!-- results, written by `make bench` -->\n", "<!-- end of results -->"];
/// A point of the plot beyond this many milliseconds says only that the server did not keep up.
const HIGHEST_POINT: f64 = 60_000.0;

/// What one server did under one load.
#[derive(Debug, Serialize)]
pub struct Run {
    /// What people did.
    pub title: String,
    /// Which server.
    pub server: Server,
    /// Under which load.
    pub load: Load,
    /// What came of it.
    pub outcome: Outcome,
}

/// A whole run of the suite.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Where it was run.
    pub machine: Machine,
    /// Servers and their versions.
    pub servers: Vec<(Server, String)>,
    /// Servers that were left out, and why.
    pub skipped: Vec<(Server, String)>,
    /// What was run for the table.
    pub runs: Vec<Run>,
    /// What was run for the plot: 100 people in a room, at growing rates.
    pub sweep: Vec<Run>,
}

impl Results {
    /// Machine, versions and table, as Markdown.
    pub fn markdown(&self, rows: &[Row]) -> String {
        let versions = |(server, version): &(Server, String)| match server {
            Server::Relay => server.title().to_owned(),
            _ => format!("{} {version}", server.title()),
        };
        let versions: Vec<String> = self.servers.iter().map(versions).collect();
        let mut markdown = format!("{}\n\nServers: {}.\n\n", self.machine.sentence(), versions.join(", "));
        for (server, why) in &self.skipped {
            markdown += &format!("Left out: {} ({why}).\n\n", server.title());
        }
        markdown + &self.table(rows)
    }

    fn table(&self, rows: &[Row]) -> String {
        let titles: Vec<&str> = self.servers.iter().map(|(server, _)| server.title()).collect();
        let columns = "---|".repeat(titles.len());
        let mut table = format!("| Load | Goal | {} |\n|---|---|{columns}\n", titles.join(" | "));
        for row in rows {
            let cell = |(server, _): &(Server, String)| {
                let outcome = self.outcome(row.title, *server);
                outcome.map_or_else(|| "–".to_owned(), Outcome::cell)
            };
            let cells: Vec<String> = self.servers.iter().map(cell).collect();
            table += &format!("| {} | {} | {} |\n", row.title, self.verdict(row), cells.join(" | "));
        }
        table
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
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())
        };
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        write("results.json", serde_json::to_string_pretty(self)? + "\n")?;
        write("results.md", self.markdown(rows))?;
        if self.sweep.is_empty() { Ok(()) } else { write("latency.svg", self.plot()) }
    }
}

/// Deliveries that the load asks for in a second, and their p99.
fn point(run: &Run) -> Option<(f64, f64)> {
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
pub fn rewrite(file: &Path, text: &str) -> anyhow::Result<()> {
    let old = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let (before, rest) = old.split_once(MARKERS[0]).context("no place for results in the file")?;
    let (_, after) = rest.split_once(MARKERS[1]).context("the place for results has no end")?;
    let [start, end] = MARKERS;
    fs::write(file, format!("{before}{start}\n{text}\n{end}{after}"))
        .with_context(|| file.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_replace_those_before_and_nothing_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let [start, end] = MARKERS;
        fs::write(&file, format!("above\n{start}old\n{end}\nbelow")).unwrap();
        rewrite(file.path(), "new").unwrap();
        rewrite(file.path(), "newer").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("above\n{start}\nnewer\n{end}\nbelow"));
        fs::write(&file, "no markers").unwrap();
        assert!(rewrite(file.path(), "new").is_err());
    }
}
