//! What a soak has shown: the server's values over time, and whether they return to where they were.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::churn::KEPT_BYTES;
use super::vitals::Vitals;
use crate::figures::{figure, thousands};
use crate::measure::Times;
use crate::timeline::{Events, Line, Panel, svg};

/// Memory may be larger by this factor than at the first rests: the goal for documents that were opened and left.
const MEMORY_FACTOR: f64 = 1.1;
/// And by this much: what an allocator keeps of freed memory differs by some MB from rest to rest.
const MEMORY_MB: f64 = 4.0;
/// And so many threads more: one of the allocator's and one of sled's, which come and go as these like.
const THREADS: f64 = 2.0;
/// A server that nobody uses takes less than this of a core: it looks at its disk and its clock once a second.
const CORES_AT_REST: f64 = 0.01;
/// Size of a segment of the log or of snapshots (docs/limits.md), in MB.
const SEGMENT_MB: f64 = (64 << 20) as f64 / 1e6;
/// The log may take two times its live records, and two segments (docs/limits.md).
const LOG_SEGMENTS: f64 = 2.0;
/// Snapshots may take two times what counts, and two segments that are closed, beside the one that is written.
const STORE_SEGMENTS: f64 = 3.0;
/// The disk holds two bytes for each that counts, beside those segments.
const DISK_FACTOR: f64 = 2.0;

/// Lines of the server's log that are kept.
const LOG_LINES: usize = 50;

/// The outcome.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What the server took at the end of each cycle, when everybody had left for a while.
    pub rests: Vec<Rest>,
    /// When the server was killed, in minutes.
    pub kills: Vec<f64>,
    /// Characters typed.
    pub written: u64,
    /// Deliveries of these to others that never came.
    pub missing: u64,
    /// Characters that newcomers did not get at the end.
    pub missing_in_documents: u64,
    /// Characters that the server had confirmed and did not have after a kill or a rest.
    pub lost_characters: u64,
    /// Values in visited documents of which the same is true.
    pub lost_values: u64,
    /// How often somebody came to do what.
    pub churn: BTreeMap<&'static str, u64>,
    /// What went wrong for these although the server was to be there.
    pub faults: Vec<String>,
    /// How much memory at rest grew in an hour since the last kill, as a straight line through the rests; in MB.
    pub memory_growth_mb_per_hour: Option<f64>,
    /// Warnings and errors in the server's log, the first ones of them.
    pub log: Vec<String>,
    /// Whether it has come to its end.
    pub over: bool,
    /// What was lost, went wrong, or did not return to where it was, in words.
    pub complaints: Vec<String>,
    /// Looks at the server, in the order of time.
    pub(super) samples: Vec<Vitals>,
}

/// The end of a cycle.
#[derive(Debug, Serialize)]
pub struct Rest {
    /// Which cycle, from 1.
    pub(super) cycle: u32,
    /// Whether the server was killed in it.
    pub(super) killed: bool,
    /// Since when everybody has been away, in minutes.
    pub(super) from_minute: f64,
    /// What the server took at the end.
    #[serde(flatten)]
    pub(super) vitals: Vitals,
    /// What part of a core it used in the end.
    pub(super) cores_at_rest: f64,
    /// How long characters took in this cycle, since the kill if there was one.
    pub(super) latency: Times,
}

impl Report {
    /// Whether nothing was lost, and everything returned to where it was.
    pub fn is_sound(&self) -> bool {
        self.over && self.complaints.is_empty()
    }

    /// The main numbers, for a table.
    pub fn cell(&self) -> String {
        let Some(Rest { vitals, .. }) = self.rests.last() else { return self.complaints.join("; ") };
        let numbers = format!(
            "{} MB, {} descriptors, {} threads",
            figure(vitals.resident_mb),
            vitals.descriptors,
            vitals.threads
        );
        if self.is_sound() { numbers } else { format!("{numbers}; **{}**", self.complaints.join("; ")) }
    }

    /// Fills in what follows from the rest and from the server's log, at the end.
    pub(super) fn judge(&mut self, log: &str) {
        self.over = true;
        self.note_log(log);
        for (count, what) in [
            (self.missing, "deliveries never came"),
            (self.missing_in_documents, "characters are not in the documents"),
            (self.lost_characters, "characters were confirmed and lost"),
            (self.lost_values, "values were confirmed and lost"),
        ] {
            if count > 0 {
                self.complaints.push(format!("{} {what}", thousands(count)));
            }
        }
        if let Some(first) = self.faults.first() {
            self.complaints.push(format!("{} faults; the first: {first}", self.faults.len()));
        }
        let disk = self.rests.iter().flat_map(|rest| self.disk_complaints(rest)).collect::<Vec<_>>();
        self.complaints.extend(disk);
        let life = self.last_life();
        let growth = growth(life);
        let grown = if let [first, .., last] = life { grown(first, last) } else { Vec::new() };
        self.memory_growth_mb_per_hour = growth;
        self.complaints.extend(grown);
    }

    fn note_log(&mut self, log: &str) {
        let has = |line: &str, words: &[&str]| words.iter().any(|word| line.contains(word));
        let errors = log.lines().filter(|line| has(line, &[" ERROR ", "panicked"]));
        self.complaints.extend(errors.take(LOG_LINES).map(|line| format!("the server said: {line}")));
        let lines = log.lines().filter(|line| has(line, &[" WARN ", " ERROR ", "panicked"]));
        self.log = lines.take(LOG_LINES).map(str::to_owned).collect();
    }

    /// The rests since the last kill, without the first one: a server that is warm.
    fn last_life(&self) -> &[Rest] {
        let last_kill = self.rests.iter().rposition(|rest| rest.killed).unwrap_or_default();
        self.rests.get(last_kill + 1..).unwrap_or_default()
    }

    fn disk_complaints(&self, rest: &Rest) -> Vec<String> {
        let Vitals { log_mb, log_live_mb, store_mb, .. } = rest.vitals;
        let kept_mb = (self.written + KEPT_BYTES) as f64 / 1e6;
        let bounds =
            [("log", log_mb, log_live_mb, LOG_SEGMENTS), ("store", store_mb, kept_mb, STORE_SEGMENTS)];
        let beyond = bounds.into_iter().filter_map(|(what, takes, counts, segments)| {
            let bound = DISK_FACTOR * counts + segments * SEGMENT_MB;
            (takes > bound).then(|| {
                format!("the {what} took {takes:.0} MB after cycle {}, more than {bound:.0} MB", rest.cycle)
            })
        });
        beyond.collect()
    }

    /// A table of the rests, and what is to be said about them, as Markdown.
    pub(super) fn table(&self) -> String {
        let mut table = "| Cycle | Minute | Memory | Descriptors | Threads | Log (live) | Store | At rest | p50, p99, max |\n\
             |---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
        for rest in &self.rests {
            table += &format!("| {} |\n", rest.cells().join(" | "));
        }
        table
    }

    /// Everything in words, as Markdown.
    pub fn markdown(&self) -> String {
        let count = |(what, count): (&&str, &u64)| format!("{} {what}", thousands(*count));
        let churn: Vec<String> = self.churn.iter().map(count).collect();
        let mut markdown = format!(
            "{} characters typed; {}; killed {} times.\n\n{}\n",
            thousands(self.written),
            churn.join(", "),
            self.kills.len(),
            self.table()
        );
        if let Some(growth) = self.memory_growth_mb_per_hour {
            markdown += &format!("Since the last kill, memory at rest grew by {growth:.1} MB an hour.\n");
        }
        match self.complaints.as_slice() {
            [] if !self.over => markdown += "It is not over.\n",
            [] => markdown += "Nothing was lost, and everything returned to where it was.\n",
            complaints => complaints.iter().for_each(|complaint| markdown += &format!("- **{complaint}**\n")),
        }
        markdown
    }

    /// Writes `soak.json`, `soak.md` and `soak.svg` into a directory.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())
        };
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        write("soak.json", &(serde_json::to_string(self)? + "\n"))?;
        write("soak.md", &self.markdown())?;
        write("soak.svg", &self.plot())
    }

    fn plot(&self) -> String {
        let line = |title, value: fn(&Vitals) -> f64| Line {
            title,
            points: self.samples.iter().map(|vitals| (vitals.minute, value(vitals))).collect(),
        };
        let panel = |title, lines| Panel { title, lines };
        let panels = [
            panel("resident memory, MB", vec![line("memory", |vitals| vitals.resident_mb)]),
            panel("open descriptors", vec![line("descriptors", |vitals| vitals.descriptors as f64)]),
            panel("threads", vec![line("threads", |vitals| vitals.threads as f64)]),
            panel(
                "disk, MB",
                vec![
                    line("log", |vitals| vitals.log_mb),
                    line("store", |vitals| vitals.store_mb),
                    line("live records of the log", |vitals| vitals.log_live_mb),
                ],
            ),
        ];
        let shades = self.rests.iter().map(|rest| (rest.from_minute, rest.vitals.minute)).collect();
        let title = "a soak: rests in grey, kills dashed";
        svg(title, &panels, &Events { marks: self.kills.clone(), shades })
    }
}

impl Rest {
    /// Its row of the table.
    fn cells(&self) -> [String; 9] {
        let Self { cycle, killed, vitals, cores_at_rest, latency, .. } = self;
        [
            format!("{cycle}{}", if *killed { ", killed" } else { "" }),
            format!("{:.1}", vitals.minute),
            format!("{:.1} MB", vitals.resident_mb),
            vitals.descriptors.to_string(),
            vitals.threads.to_string(),
            format!("{:.1} ({:.1}) MB", vitals.log_mb, vitals.log_live_mb),
            format!("{:.1} MB", vitals.store_mb),
            format!("{:.2} % of a core", cores_at_rest * 100.0),
            format!("{}, {}, {} ms", figure(latency.p50_ms), figure(latency.p99_ms), figure(latency.max_ms)),
        ]
    }

    /// The same for somebody who waits.
    pub(super) fn line(&self) -> String {
        format!("cycle {}", self.cells().join(" | "))
    }
}

/// What at the last rest is not where it was at an earlier one, in words.
fn grown(first: &Rest, last: &Rest) -> Vec<String> {
    let (before, after) = (&first.vitals, &last.vitals);
    let memory = MEMORY_FACTOR * before.resident_mb + MEMORY_MB;
    let bounds = [
        ("MB of memory", before.resident_mb, after.resident_mb, memory),
        ("descriptors", before.descriptors as f64, after.descriptors as f64, before.descriptors as f64),
        ("threads", before.threads as f64, after.threads as f64, before.threads as f64 + THREADS),
        ("of a core at rest", first.cores_at_rest, last.cores_at_rest, CORES_AT_REST),
    ];
    let grown = bounds.into_iter().filter(|(_, _, after, bound)| after > bound);
    grown
        .map(|(what, before, after, _)| {
            format!(
                "{} {what} after cycle {}, {} after cycle {}",
                figure(before),
                first.cycle,
                figure(after),
                last.cycle
            )
        })
        .collect()
}

/// The slope of a straight line through the memory at these rests, in MB an hour.
fn growth(rests: &[Rest]) -> Option<f64> {
    let points = || rests.iter().map(|rest| (rest.vitals.minute / 60.0, rest.vitals.resident_mb));
    let count = rests.len() as f64;
    let (x, y) =
        (points().map(|(x, _)| x).sum::<f64>() / count, points().map(|(_, y)| y).sum::<f64>() / count);
    let spread: f64 = points().map(|(hour, _)| (hour - x).powi(2)).sum();
    (spread > 0.0).then(|| points().map(|(hour, mb)| (hour - x) * (mb - y)).sum::<f64>() / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(cycle: u32, killed: bool, resident_mb: f64, descriptors: usize) -> Rest {
        let vitals = Vitals {
            minute: f64::from(cycle) * 5.0,
            resident_mb,
            descriptors,
            threads: 9,
            ..Vitals::default()
        };
        let latency = Times { count: 1, p50_ms: 1.0, p99_ms: 1.0, max_ms: 1.0 };
        Rest { cycle, killed, from_minute: vitals.minute - 1.0, vitals, cores_at_rest: 0.001, latency }
    }

    fn judged(rests: Vec<Rest>) -> Report {
        let mut report = Report { rests, ..Report::default() };
        report.judge("");
        report
    }

    #[test]
    fn a_server_is_compared_with_itself_when_it_was_warm_and_not_with_one_before_a_kill() {
        let report = judged(vec![
            rest(1, false, 10.0, 10),
            rest(2, true, 30.0, 20),
            rest(3, false, 50.0, 30),
            rest(4, false, 50.0, 30),
        ]);
        assert_eq!(report.complaints, [""; 0]);
        assert!(report.is_sound() && report.markdown().contains("| 2, killed |"));
    }

    #[test]
    fn what_has_grown_is_told() {
        let report =
            judged(vec![rest(1, true, 50.0, 30), rest(2, false, 50.0, 30), rest(3, false, 62.0, 31)]);
        let told = [
            "50 MB of memory after cycle 2, 62 after cycle 3",
            "30 descriptors after cycle 2, 31 after cycle 3",
        ];
        assert_eq!(report.complaints, told);
        assert_eq!(report.memory_growth_mb_per_hour.map(f64::round), Some(144.0));
    }

    #[test]
    fn a_disk_beyond_its_bound_and_every_loss_and_error_are_told() {
        let mut full = rest(1, false, 50.0, 30);
        full.vitals.log_mb = 150.0;
        full.vitals.store_mb = 150.0;
        full.vitals.log_live_mb = 7.0;
        let mut report = Report { rests: vec![full], lost_values: 1, ..Report::default() };
        assert!(report.markdown().ends_with("It is not over.\n"));
        report.judge("at noon  WARN slow\nat one ERROR broken\n");
        assert_eq!(report.log.len(), 2);
        let told = [
            "the server said: at one ERROR broken",
            "1 values were confirmed and lost",
            "the log took 150 MB after cycle 1, more than 148 MB",
        ];
        assert_eq!(report.complaints, told);
    }
}
