//! The thread on which an attack is planned and carried out, behind the typists in the queue for their core.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::attack::Attack;
use super::course::Course;
use super::scene::Scene;
use crate::cores::give_way;
use crate::crowd::Target;

/// How often a strike that is done checks whether the attack is over.
const GLANCE: Duration = Duration::from_millis(50);

/// The outcome of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Planned {
    /// Everything is ready.
    Ready,
    /// The server lacks what the attack needs.
    LeftOut(&'static str),
    /// The server did not accept the preparation.
    Failed(String),
}

/// An attack under way; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Attackers {
    course: Arc<Course>,
    planned: Receiver<Planned>,
    go: Sender<()>,
    struck: Receiver<Result<(), String>>,
    thread: Option<JoinHandle<()>>,
}

impl Attackers {
    /// Begins to plan.
    pub(super) fn begin(attack: &'static Attack, target: &Target) -> Self {
        let course = Arc::<Course>::default();
        let ((tell_planned, planned), (go, gone), (tell_struck, struck)) = (channel(), channel(), channel());
        let thread = std::thread::spawn({
            let (target, course) = (target.clone(), Arc::clone(&course));
            move || carry_out(attack, target, &course, &tell_planned, &gone, &tell_struck)
        });
        Self { course, planned, go, struck, thread: Some(thread) }
    }

    /// The outcome of the plan, if it is made within `patience`.
    pub(super) fn planned(&self, patience: Duration) -> Option<Planned> {
        match self.planned.recv_timeout(patience) {
            Ok(planned) => Some(planned),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Planned::Failed("the plan panicked".to_owned())),
        }
    }

    /// Strikes.
    pub(super) fn go(&self) {
        // If the thread is gone, `struck` says so.
        let _ = self.go.send(());
    }

    /// How the strike ended, reported once: as planned, or early and why.
    pub(super) fn struck(&self) -> Option<Result<(), String>> {
        match self.struck.try_recv() {
            Ok(end) => Some(end),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err("the strike panicked".to_owned())),
        }
    }

    /// How many of their connections the server has closed so far with each code.
    pub(super) fn closed(&self) -> BTreeMap<u16, u32> {
        self.course.closed()
    }

    /// How many of them the server has let in so far who may not.
    pub(super) fn let_in(&self) -> u32 {
        self.course.let_in()
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        self.course.end();
        // Wakes it if it waits for this.
        self.go = channel().0;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn carry_out(
    attack: &Attack,
    target: Target,
    course: &Arc<Course>,
    planned: &Sender<Planned>,
    go: &Receiver<()>,
    struck: &Sender<Result<(), String>>,
) {
    give_way();
    let scene = &Scene::new(target, Arc::clone(course));
    let plan = needs(attack, scene).and_then(|lacking| match lacking {
        Some(why) => Ok(Err(Planned::LeftOut(why))),
        None => (attack.plan)(scene).map(Ok),
    });
    let plan = plan.unwrap_or_else(|error| Err(Planned::Failed(format!("{error:#}"))));
    let mut strike = match plan {
        Ok(strike) => strike,
        Err(failed) => return drop(planned.send(failed)),
    };
    drop(planned.send(Planned::Ready));
    if go.recv().is_err() {
        return;
    }
    let end = strike().map_err(|error| format!("{error:#}"));
    drop(struck.send(end));
    while !course.is_over() {
        std::thread::sleep(GLANCE);
    }
}

/// What the server lacks for an attack.
fn needs(attack: &Attack, scene: &Scene) -> anyhow::Result<Option<&'static str>> {
    for need in attack.needs {
        if let Err(lacking) = need.is_met(scene)? {
            return Ok(Some(lacking));
        }
    }
    Ok(None)
}
