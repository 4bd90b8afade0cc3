//! The promises that must hold when all editors are connected again, and when none is.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::limits::AWARENESS_EXPIRY;
use coscribe_engine::update::ClientId;
use coscribe_provider::awareness::ClientAwareness;
use coscribe_provider::line::Incoming;
use tokio::time::{Instant, timeout_at};

use super::editor::ConnectedEditor;
use super::gate::Gate;
use super::line::Line;
use super::run::{AWARENESS_INTERVAL, Run};
use super::stop::{Stop, refused};
use crate::checked_provider::CheckedProvider;
use crate::difference;
use crate::outcome::Oracle;
use crate::replica::{Replica, View, YrsReplica};
use crate::scenario::Dialect;

/// The interval between two looks whether every editor has everything.
const INTERVAL: Duration = Duration::from_millis(2);

impl Run<'_> {
    /// Connects all editors; once they have everything they must be equal, and a new peer must get the same.
    pub(super) async fn heal(&mut self, awareness: bool) -> Result<(), Stop> {
        self.mend().await?;
        let deadline = Instant::now() + self.server.settle;
        while !self.has_settled()? {
            if Instant::now() > deadline {
                return Err(self.unsettled()?);
            }
            self.wait(INTERVAL).await?;
        }
        let view = self.check_replicas()?;
        self.check_reader(&view).await?;
        if awareness {
            self.check_awareness().await?;
        }
        self.settled = Some(view);
        self.account.heals += 1;
        Ok(())
    }

    /// Whether every editor has the server's answer, the same elements and the same deletions, and waits for no
    /// acknowledgement.
    fn has_settled(&mut self) -> Result<bool, Stop> {
        if !self.editors.iter().all(ConnectedEditor::is_settled) {
            return Ok(false);
        }
        let mut vectors = Vec::new();
        for editor in &mut self.editors {
            vectors.push(state_vector(editor.replica.as_mut())?);
        }
        if vectors.windows(2).any(|two| two[0] != two[1]) {
            return Ok(false);
        }
        let mut sets = Vec::new();
        for editor in &mut self.editors {
            sets.push(editor.replica.view()?.delete_set);
        }
        Ok(sets.windows(2).all(|two| two[0] == two[1]))
    }

    /// The failure of editors that have not settled in time.
    fn unsettled(&mut self) -> Result<Stop, Stop> {
        let views = self.views()?;
        let unanswered = self.editors.iter().position(|editor| !editor.provider.is_synced());
        let unanswered = unanswered.map(|replica| {
            (
                Oracle::Waiting,
                format!("the server has not answered replica {replica} with its state (SyncStep2)"),
            )
        });
        let waits = |editor: &ConnectedEditor<'_>| !editor.is_settled();
        let (oracle, what) = unanswered
            .or_else(|| Some((Oracle::StateVector, self.lacks_elements(&views)?)))
            .or_else(|| Some((Oracle::DeleteSet, self.lacks_deletions(&views)?)))
            .unwrap_or_else(|| {
                let replica = self.editors.iter().position(waits).unwrap_or_default();
                (Oracle::Waiting, format!("something that replica {replica} has sent is not acknowledged"))
            });
        Ok(Stop::Broken(oracle, format!("{:?} after everybody had connected {what}", self.server.settle)))
    }

    /// The replica that lacks another's elements, in words, if one does.
    fn lacks_elements(&self, views: &[View]) -> Option<String> {
        let mut all = StateVector::default();
        for (client, clock) in views.iter().flat_map(|view| view.state_vector.iter()) {
            all.set(client, clock.max(all.get(client)));
        }
        let lacks =
            |(replica, view): (usize, &View)| Some((replica, difference::lacks(&view.state_vector, &all)?));
        let (replica, lacking) = views.iter().enumerate().find_map(lacks)?;
        let (client, clocks) = &lacking;
        let has = |&replica: &usize| views[replica].state_vector.get(*client) == clocks.end;
        let who: Vec<_> = (0..views.len()).filter(has).collect();
        let (source, what) = (self.source(*client), difference::elements(&lacking));
        Some(format!("replica {replica} lacks what {source} wrote ({what}); replicas {who:?} have it"))
    }

    /// The replica that lacks a deletion, in words, if one does.
    fn lacks_deletions(&self, views: &[View]) -> Option<String> {
        let mut all = IdSet::default();
        views.iter().for_each(|view| all.extend(&view.delete_set));
        let lacks = |(replica, view): (usize, &View)| {
            Some((replica, difference::lacks_deletion(&view.delete_set, &all)?))
        };
        let (replica, lacking) = views.iter().enumerate().find_map(lacks)?;
        let (source, what) = (self.source(lacking.0), difference::elements(&lacking));
        Some(format!(
            "replica {replica} does not know that something of {source} is deleted ({what}), others do"
        ))
    }

    fn source(&self, client: ClientId) -> String {
        let replica = self.editors.iter().position(|editor| editor.replica.client() == client);
        replica.map_or_else(|| "a replica that is no more".to_owned(), |replica| format!("replica {replica}"))
    }

    fn views(&mut self) -> Result<Vec<View>, Stop> {
        Ok(self.editors.iter_mut().map(|editor| editor.replica.view()).collect::<Result<_, _>>()?)
    }

    /// With the same elements and deletions, replicas show the same; gives their common view.
    fn check_replicas(&mut self) -> Result<View, Stop> {
        let mut views = self.views()?;
        for (replica, view) in views.iter().enumerate().skip(1) {
            if let Some(difference) = difference::contents(&views[0].content, &view.content) {
                let detail = format!("replicas 0 and {replica} have the same elements, and {difference}");
                return Err(Stop::Broken(Oracle::Content, detail));
            }
        }
        Ok(views.swap_remove(0))
    }

    /// A new peer sees the same.
    async fn check_reader(&mut self, expected: &View) -> Result<(), Stop> {
        let mut reader = Reader::join(self).await?;
        let deadline = Instant::now() + self.server.settle;
        let complete = |view: &View| {
            view.state_vector == expected.state_vector
                && difference::lacks_deletion(&view.delete_set, &expected.delete_set).is_none()
        };
        let view = reader.read_until(deadline, complete).await?;
        reader.line.close().await;
        let broken =
            |what: String| Err(Stop::Broken(Oracle::ServerDocument, format!("somebody who joins {what}")));
        let lacking = difference::lacks(&view.state_vector, &expected.state_vector);
        if let Some(lacking) = lacking {
            let (source, what) = (self.source(lacking.0), difference::elements(&lacking));
            return broken(format!("does not get what {source} wrote and everybody else has ({what})"));
        }
        if let Some(extra) = difference::lacks(&expected.state_vector, &view.state_vector) {
            return broken(format!("gets what nobody else has: {}", difference::elements(&extra)));
        }
        if let Some(lacking) = difference::lacks_deletion(&view.delete_set, &expected.delete_set) {
            return broken(format!(
                "does not hear that something is deleted: {}",
                difference::elements(&lacking)
            ));
        }
        match difference::contents(&expected.content, &view.content) {
            Some(difference) => broken(format!(
                "sees something else than the others, though elements are the same: {difference}"
            )),
            None => Ok(()),
        }
    }

    /// No editor is connected: a new peer must find everything that was acknowledged or settled.
    pub(super) async fn check_kept(&mut self, when: &str) -> Result<(), Stop> {
        if !self.server.keeps {
            return Ok(());
        }
        let mut acknowledged = self.acknowledged.clone();
        for editor in &self.editors {
            acknowledged.extend(editor.provider.acknowledged());
        }
        let mut reader = Reader::join(self).await?;
        let mut view = reader.read_until(Instant::now() + self.server.settle, |_| true).await?;
        reader.line.close().await;
        if let Some(gate) = &reader.gate {
            gate.add_to(&mut view.state_vector, &mut view.delete_set);
        }
        if let Some(lost) = acknowledged.missing_in(&view.state_vector, &view.delete_set) {
            let detail = format!("{when} the server lacks what it had acknowledged (by SyncStatus): {lost}");
            return Err(Stop::Broken(Oracle::Acknowledged, detail));
        }
        let Some(settled) = &self.settled else { return Ok(()) };
        let lost = difference::lacks(&view.state_vector, &settled.state_vector);
        let lost = lost.or_else(|| difference::lacks_deletion(&view.delete_set, &settled.delete_set));
        match lost {
            Some(lost) => Err(Stop::Broken(
                Oracle::Stored,
                format!(
                    "{when} the server lacks what everybody had at the last heal: {}",
                    difference::elements(&lost)
                ),
            )),
            None => Ok(()),
        }
    }

    /// Every editor sees the awareness states of all, at the latest after they are renewed: clients ignore states that they
    /// have seen before a reconnect.
    async fn check_awareness(&mut self) -> Result<(), Stop> {
        let deadline = Instant::now() + AWARENESS_EXPIRY / 2 + AWARENESS_INTERVAL + self.server.settle;
        loop {
            let own = |editor: &ConnectedEditor<'_>| {
                Some((editor.replica.client(), editor.provider.awareness().own()?.to_owned()))
            };
            let expected: BTreeMap<_, _> = self.editors.iter().filter_map(own).collect();
            let wrong =
                self.editors.iter().position(|editor| *editor.provider.awareness().states() != expected);
            let Some(wrong) = wrong else { return Ok(()) };
            if Instant::now() > deadline {
                let seen = self.editors[wrong].provider.awareness().states();
                let detail = format!("replica {wrong} sees {seen:?} instead of {expected:?}");
                return Err(Stop::Broken(Oracle::Awareness, detail));
            }
            self.wait(INTERVAL).await?;
        }
    }
}

/// A peer that joins, reads, and writes nothing.
struct Reader {
    replica: YrsReplica,
    provider: CheckedProvider,
    line: Line,
    /// Updates that it was sent too early; `None` if the server must not send such.
    gate: Option<Gate>,
    dialect: Dialect,
    start: Instant,
}

impl Reader {
    async fn join(run: &mut Run<'_>) -> Result<Self, Stop> {
        let mut replica = YrsReplica::new(0, false);
        let mut provider = CheckedProvider::new(ClientAwareness::unseen(0), run.speech());
        let mut line = run.open().await?;
        provider.open(&mut replica, Duration::ZERO)?.into_iter().for_each(|frame| line.send(frame));
        let gate = run.server.allows_gaps.then(Gate::default);
        let dialect = run.server.target.dialect();
        Ok(Self { replica, provider, line, gate, dialect, start: Instant::now() })
    }

    /// Reads until it has the server's answer and a view satisfies it, or time is up; gives the view.
    async fn read_until(
        &mut self,
        deadline: Instant,
        satisfied: impl Fn(&View) -> bool,
    ) -> Result<View, Stop> {
        loop {
            if self.provider.is_synced() {
                let view = self.replica.view()?;
                if satisfied(&view) || Instant::now() > deadline {
                    return Ok(view);
                }
            }
            match timeout_at(deadline, poll_fn(|cx| self.line.poll(cx))).await {
                Ok(Incoming::Frame(frame)) => self.take_in(&frame)?,
                Ok(Incoming::Ended(how)) => {
                    let detail =
                        format!("the server closed the connection of somebody who joined unasked, {how}");
                    return Err(Stop::Broken(Oracle::Refused, detail));
                }
                Err(_) if self.provider.is_synced() => return Ok(self.replica.view()?),
                Err(_) => {
                    let detail = "the server does not answer somebody who joins with its state (SyncStep2)";
                    return Err(Stop::Broken(Oracle::Waiting, detail.to_owned()));
                }
            }
        }
    }

    fn take_in(&mut self, frame: &Bytes) -> Result<(), Stop> {
        let frame = match &mut self.gate {
            Some(gate) => gate.pass(&mut self.replica, frame, self.dialect, self.provider.is_synced())?,
            None => frame.clone(),
        };
        // What it would answer says nothing new: it has written nothing.
        let answers = self.provider.receive(&mut self.replica, frame, self.start.elapsed());
        answers.map_err(|error| refused("somebody who joins", error))?;
        Ok(())
    }
}

fn state_vector(replica: &mut dyn Replica) -> Result<StateVector, Stop> {
    let encoded = replica.state_vector()?;
    StateVector::decode(&encoded)
        .map_err(|error| Stop::Impossible(anyhow::anyhow!("a replica's state vector: {error}")))
}
