//! What rounds come to: states, events, alerts and history, in one place and one order.

mod telling;
mod writing;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::mpsc;

use self::{telling::Telling, writing::Writer};
use super::{
    Parts,
    course::{Course, Slot},
    shares::{Mine, share_of},
};
use crate::{
    check::{Look, Refreshed, Times},
    report::{Cell, Finding, Verdict},
    watch::{
        alerts,
        board::{CellNow, OTHERS_READ_EVERY},
        change,
        config::Storage,
        record::{
            Alert, CellId, CellKey, CellState, Change, ClusterKey, Detail, DetailId, Event, EventKind, Round, Snapshot,
            StageTimes,
        },
        schedule::later,
        state::{self, Said, Transition},
        store::{EventFilter, StoreError},
    },
};

/// What the ledger is told.
pub(super) enum Message {
    /// A round has ended.
    Finished(Box<Finished>),
    /// A configuration was read.
    Configuration(Box<Reconfigured>),
    /// Another configuration of the watch is in operation.
    Course(Arc<Course>),
}

/// A round that has ended.
pub(super) struct Finished {
    pub(super) course: Arc<Course>,
    pub(super) slot: usize,
    pub(super) due: Timestamp,
    pub(super) lag: Duration,
    pub(super) took: Duration,
    pub(super) look: Look,
}

/// A configuration that was read.
pub(super) struct Reconfigured {
    pub(super) key: ClusterKey,
    /// Whose it is to store it.
    pub(super) seed: u64,
    pub(super) refreshed: Refreshed,
    pub(super) findings: Vec<Finding>,
}

/// Everything that is remembered between rounds.
pub(super) struct Ledger {
    parts: Parts,
    mine: Mine,
    writer: Writer,
    course: Option<Arc<Course>>,
    /// The last good round of a cell, for comparison.
    good: HashMap<CellId, (DetailId, Arc<Cell>)>,
    /// The last snapshot of a configuration.
    snapshots: HashMap<ClusterKey, Snapshot>,
    /// What changed in a configuration lately, the newest last.
    changes: HashMap<ClusterKey, VecDeque<Change>>,
    /// Alerts that have begun and not ended, by cell.
    alerts: HashMap<CellId, Vec<Alert>>,
    /// By (check set, vantage): rounds in a row in which the prober was offline.
    offline: HashMap<(String, String), u32>,
    own: Arc<HashSet<u64>>,
}

impl Ledger {
    /// An empty one.
    pub(super) fn new(parts: Parts, mine: Mine) -> Self {
        let own = Arc::clone(&mine.borrow());
        Self {
            writer: Writer::new(parts.clone()),
            parts,
            mine,
            course: None,
            good: HashMap::new(),
            snapshots: HashMap::new(),
            changes: HashMap::new(),
            alerts: HashMap::new(),
            offline: HashMap::new(),
            own,
        }
    }

    /// Takes what it is told until nobody tells it anything any more, then writes what is left.
    /// Whether everything was written.
    pub(super) async fn keep(mut self, mut messages: mpsc::Receiver<Message>) -> bool {
        let mut tick = later(self.parts.clock.now(), TICK);
        loop {
            let clock = Arc::clone(&self.parts.clock);
            tokio::select! {
                biased;
                Ok(()) = self.mine.changed() => self.shares_changed().await,
                () = self.writer.due() => self.writer.flush(),
                message = messages.recv() => match message {
                    Some(message) => self.hear(message).await,
                    None => break,
                },
                () = clock.sleep_until(tick) => {
                    self.tick().await;
                    tick = later(self.parts.clock.now(), TICK);
                }
            }
        }
        self.writer.finish().await
    }

    /// What it is told.
    pub(super) async fn hear(&mut self, message: Message) {
        match message {
            Message::Finished(finished) => self.finished(*finished).await,
            Message::Configuration(reconfigured) => self.reconfigured(*reconfigured).await,
            Message::Course(course) => self.take(&course).await,
        }
    }

    /// Writes what is left; whether that could be done.
    pub(super) async fn settle(&mut self) -> bool {
        self.writer.finish().await
    }

    /// Another configuration of the watch: cells that it does not name are forgotten, states stay.
    pub(super) async fn take(&mut self, course: &Arc<Course>) {
        let now = self.parts.clock.now();
        let names: HashSet<&CellKey> = course.cells.iter().map(|slot| &slot.key).collect();
        let before: Vec<CellId> = self.parts.board.cells().iter().filter(|cell| cell.own).map(|cell| cell.id).collect();
        self.parts.board.retain(|cell| names.contains(&cell.key));
        for slot in &course.cells {
            let known = self.parts.board.cell(&slot.key).filter(|known| known.id == slot.id);
            let (state, last, detail) = match (known, &slot.stored) {
                (Some(known), _) => (known.state.clone(), known.last.clone(), known.detail.clone()),
                (None, Some((state, last))) => (state.clone(), last.clone(), None),
                (None, None) => (CellState::default(), None, None),
            };
            let state = match &state.judged_for {
                // What it was for another intent or endpoint says nothing; an incident goes on until it is seen to be over.
                Some(meant) if *meant != slot.meant => CellState { incident: state.incident, ..CellState::default() },
                _ => state,
            };
            let own = self.own.contains(&share_of(slot.seed));
            let followed = if own { Some(now) } else { last.as_ref().map(|last| last.at) };
            self.parts.board.put(CellNow {
                id: slot.id,
                key: slot.key.clone(),
                provider: slot.provider,
                intended: slot.intended,
                interval: course.interval(slot),
                state,
                last,
                detail,
                due: followed.map(|at| course.next(slot, at)),
                own,
                maintenance: course.config.in_maintenance(&slot.key, now),
            });
        }
        self.course = Some(Arc::clone(course));
        self.parts.board.change_health(|health| health.configured_at = Some(now));
        self.recall_changes(now).await;
        self.recall_alerts().await;
        // In a database that is shared the alerts of cells that this process never had may be another's.
        let shared = matches!(course.config.storage, Storage::Postgres { .. });
        let open = self.alerts.values().flatten().filter(|alert| !shared || before.contains(&alert.cell));
        let open: Vec<Alert> = open.cloned().collect();
        let known = course.cells.iter().map(|slot| slot.id).collect();
        self.note_alerts(alerts::forgotten(&known, &open, now));
        self.reconcile(|_| true).await;
    }

    async fn finished(&mut self, finished: Finished) {
        let Finished { course: ran, slot, due, lag, took, look } = finished;
        let Some(course) = self.course.clone() else { return };
        // A round that began under another configuration counts where it means the same.
        let Some(slot) = course.counterpart(&ran.cells[slot]) else { return };
        let Some(before) = self.parts.board.cell(&slot.key).filter(|known| known.id == slot.id) else { return };
        let now = self.parts.clock.now();
        let detail = DetailId(look.id);
        let standing = state::standing(&look.cell);
        let said = Said { at: due, standing, offline: look.offline, detail };
        let check = course.check(slot);
        let gap = course.interval(slot).saturating_mul(ROUNDS_MISSED).saturating_add(LONGEST_PAUSE);
        let (mut next, transition) = state::step(&before.state, &said, check.confirm, gap);
        if next.standing.is_some() {
            next.judged_for = Some(slot.meant.clone());
        }
        let round = Round {
            cell: slot.id,
            at: due,
            verdict: look.cell.verdict,
            observed: look.cell.observed,
            offline: look.offline,
            stages: stages(&look.times),
            detail,
        };
        self.parts.metrics.round(&slot.key.check, &slot.key.vantage, &round, lag, took);
        self.writer.detail(|| Detail { id: detail, cell: Arc::clone(&look.cell) }, detail);
        if state::is_worth_storing(&before.state, &next) {
            self.writer.batch.states.push((slot.id, next.clone()));
        }
        let maintenance = course.config.in_maintenance(&slot.key, now);
        let own = self.own.contains(&share_of(slot.seed));
        let after = CellNow {
            id: slot.id,
            key: slot.key.clone(),
            provider: look.cell.provider,
            intended: look.cell.intended,
            interval: course.interval(slot),
            state: next,
            last: Some(round.clone()),
            detail: Some(Arc::clone(&look.cell)),
            due: own.then(|| course.next(slot, now)),
            own,
            maintenance,
        };
        self.writer.batch.rounds.push(round);
        self.note_offline(&course, slot, &look, &after, now);
        if after.state.pending.is_some() && before.state.pending.is_none() {
            // What changed in the configuration is known by the time the failure is certain.
            let _ = course.wanted.send((slot.check, slot.cluster));
        }
        if let Some(transition) = transition {
            self.transition(&course, &after, &transition, &look.cell, now).await;
        } else if before.maintenance && !maintenance && after.state.incident.is_some() {
            let key = after.key.clone();
            self.parts.board.put(after);
            self.reconcile(|cell| cell.key == key).await;
            return;
        }
        if look.cell.verdict == Verdict::Match
            && !look.offline
            && self.good.get(&slot.id).is_none_or(|(id, _)| *id != detail)
        {
            self.good.insert(slot.id, (detail, Arc::clone(&look.cell)));
        }
        self.parts.board.put(after);
        if self.writer.is_full() {
            self.writer.flush();
        }
    }

    async fn transition(
        &mut self,
        course: &Course,
        after: &CellNow,
        transition: &Transition,
        cell: &Cell,
        now: Timestamp,
    ) {
        let before = match transition.last_good {
            Some((id, _)) => self.last_good(after.id, id).await,
            None => None,
        };
        let recent = self.changes.get(&after.key.cluster_key());
        let telling = Telling { transition, after, cell, before: before.as_deref(), recent, now };
        let event = telling.event();
        let converged = telling.converged();
        self.parts.metrics.event(&event, converged);
        self.parts.say(telling::line(&event));
        let open = self.alerts.get(&after.id).map(Vec::as_slice).unwrap_or_default();
        self.note_alerts(alerts::raised(&course.config, &event, after, open));
        self.writer.batch.events.push(event);
    }

    async fn last_good(&self, cell: CellId, id: DetailId) -> Option<Arc<Cell>> {
        if let Some((known, good)) = self.good.get(&cell)
            && *known == id
        {
            return Some(Arc::clone(good));
        }
        // What cannot be read now leaves the event without the comparison.
        within(Box::pin(self.parts.store.detail(id))).await.flatten().map(Arc::new)
    }

    /// The prober being offline is an event of its vantage, told once.
    fn note_offline(&mut self, course: &Course, slot: &Slot, look: &Look, after: &CellNow, now: Timestamp) {
        let place = (slot.key.check.clone(), slot.key.vantage.clone());
        let confirm = course.check(slot).confirm;
        let count = if look.offline {
            self.offline.entry(place).or_default()
        } else {
            let Some(count) = self.offline.remove(&place) else { return };
            if count >= confirm {
                self.tell_of_vantage(EventKind::Resumed, after, now);
            }
            return;
        };
        *count = count.saturating_add(1);
        if *count == confirm {
            self.tell_of_vantage(EventKind::Paused, after, now);
        }
    }

    fn tell_of_vantage(&mut self, kind: EventKind, cell: &CellNow, now: Timestamp) {
        let event = telling::of_vantage(kind, cell, now);
        self.parts.metrics.event(&event, None);
        self.parts.say(telling::line(&event));
        self.writer.batch.events.push(event);
    }

    async fn reconfigured(&mut self, reconfigured: Reconfigured) {
        let Reconfigured { key, seed, refreshed, findings } = reconfigured;
        self.parts.board.put_configuration(&key.check, &key.cluster, findings);
        if let Some(reason) = &refreshed.failed {
            self.parts.say(format!("the configuration of {} cannot be read: {reason}", key.cluster));
        }
        if refreshed.documents.is_empty() {
            return;
        }
        let now = self.parts.clock.now();
        let snapshot = change::snapshot(key.clone(), now, &refreshed.documents);
        if !self.snapshots.contains_key(&key)
            && let Some(Some(stored)) = within(Box::pin(self.parts.store.snapshot(&key, Timestamp::MAX))).await
        {
            self.snapshots.insert(key.clone(), stored);
        }
        let before = self.snapshots.get(&key);
        let snapshot = match before {
            Some(before) => change::carried_over(before, snapshot),
            None => snapshot,
        };
        if before.is_some_and(|before| before.hash == snapshot.hash) {
            return;
        }
        let changes = before.map(|before| change::configured(before, &snapshot)).unwrap_or_default();
        let recent = self.changes.entry(key.clone()).or_default();
        recent.extend(changes.iter().cloned());
        let surplus = recent.len().saturating_sub(CHANGES_KEPT);
        recent.drain(..surplus);
        // Of several processes that read it one stores it.
        if self.own.contains(&share_of(seed)) {
            if !changes.is_empty() {
                let event = telling::of_configuration(key.clone(), changes, now);
                self.parts.metrics.event(&event, None);
                self.parts.say(telling::line(&event));
                self.writer.batch.events.push(event);
            }
            self.writer.batch.snapshots.push(snapshot.clone());
        }
        self.snapshots.insert(key, snapshot);
    }

    /// What changed lately, as the history knows it.
    async fn recall_changes(&mut self, now: Timestamp) {
        let from = now.saturating_sub(CHANGES_COUNT_FOR).unwrap_or(Timestamp::MIN);
        let filter = EventFilter {
            kinds: vec![EventKind::Configuration],
            from: Some(from),
            limit: EVENTS_RECALLED,
            ..EventFilter::default()
        };
        let Some(events) = within(Box::pin(self.parts.store.events(&filter))).await else { return };
        for event in events.into_iter().rev() {
            let recent = self.changes.entry(event.cluster).or_default();
            if recent.back().is_none_or(|last| last.at < event.at) {
                recent.extend(event.changes);
            }
        }
    }

    /// Alerts that are to be stored and sent, remembered while they last.
    fn note_alerts(&mut self, alerts: Vec<Alert>) {
        for alert in alerts {
            let open = self.alerts.entry(alert.cell).or_default();
            open.retain(|known| (&known.receiver, known.starts_at) != (&alert.receiver, alert.starts_at));
            if alert.ends_at.is_none() {
                open.push(alert.clone());
            }
            if open.is_empty() {
                self.alerts.remove(&alert.cell);
            }
            self.writer.batch.alerts.push(alert);
        }
    }

    /// The alerts that the history knows to last.
    async fn recall_alerts(&mut self) {
        let Some(stored) = within(Box::pin(self.parts.store.alerts())).await else { return };
        self.alerts.clear();
        for alert in stored.into_iter().chain(self.writer.alerts().cloned()) {
            let open = self.alerts.entry(alert.cell).or_default();
            open.retain(|known| (&known.receiver, known.starts_at) != (&alert.receiver, alert.starts_at));
            if alert.ends_at.is_none() {
                open.push(alert);
            }
        }
    }

    /// Incidents that are open are told to those who are to know of them by now.
    async fn reconcile(&mut self, concerns: impl Fn(&CellNow) -> bool) {
        let Some(course) = self.course.clone() else { return };
        let now = self.parts.clock.now();
        for mut cell in self.parts.board.cells() {
            let told = self.alerts.contains_key(&cell.id);
            if !cell.own || !concerns(&cell) || (cell.state.incident.is_none() && !told) {
                continue;
            }
            if cell.detail.is_none()
                && let Some(last) = &cell.last
            {
                let detail = within(Box::pin(self.parts.store.detail(last.detail))).await.flatten().map(Arc::new);
                cell = Arc::new(CellNow { detail, ..CellNow::clone(&cell) });
                self.parts.board.put(CellNow::clone(&cell));
            }
            let open = self.alerts.get(&cell.id).map(Vec::as_slice).unwrap_or_default();
            let mut reconciled = alerts::reconciled(&course.config, &cell, None, open, now);
            // Only what is told anew needs the words, which have to be asked for.
            if reconciled.iter().any(|alert| alert.ends_at.is_none())
                && let Some(event) = self.event_of(&cell).await
            {
                let open = self.alerts.get(&cell.id).map(Vec::as_slice).unwrap_or_default();
                reconciled = alerts::reconciled(&course.config, &cell, Some(&event), open, now);
            }
            self.note_alerts(reconciled);
        }
    }

    /// The event by which a cell became what it is: one that waits for being written, or one of the history's.
    async fn event_of(&self, cell: &CellNow) -> Option<Event> {
        let kinds = [EventKind::Failed, EventKind::Changed];
        let tells = |event: &Event| {
            kinds.contains(&event.kind) && event.cell.as_ref() == Some(&cell.key) && event.to == cell.state.standing
        };
        if let Some(event) = self.writer.batch.events.iter().rev().find(|event| tells(event)) {
            return Some(event.clone());
        }
        let from = cell.state.incident;
        let filter = EventFilter {
            cell: Some(cell.key.clone()),
            kinds: kinds.to_vec(),
            from,
            limit: 100,
            ..EventFilter::default()
        };
        // What cannot be read now leaves the alert with fewer words.
        self.parts.store.events(&filter).await.ok()?.into_iter().find(tells)
    }

    /// Shares came or went: what another process found of the cells that came is taken over.
    async fn shares_changed(&mut self) {
        self.own = Arc::clone(&self.mine.borrow_and_update());
        self.look_at_others(true).await;
        self.recall_alerts().await;
        self.reconcile(|_| true).await;
    }

    /// Maintenance windows that have opened or closed.
    async fn note_windows(&mut self) {
        let Some(course) = self.course.clone() else { return };
        let now = self.parts.clock.now();
        let mut closed = HashSet::new();
        for slot in &course.cells {
            let open = course.config.in_maintenance(&slot.key, now);
            let Some(known) = self.parts.board.cell(&slot.key).filter(|known| known.maintenance != open) else {
                continue;
            };
            self.parts.board.put(CellNow { maintenance: open, ..CellNow::clone(&known) });
            if !open {
                closed.insert(known.id);
            }
        }
        if !closed.is_empty() {
            self.reconcile(|cell| closed.contains(&cell.id)).await;
        }
    }

    async fn tick(&mut self) {
        self.note_windows().await;
        self.writer.note_waiting();
        if u64::try_from(self.own.len()).unwrap_or(u64::MAX) < super::shares::SHARES {
            self.look_at_others(false).await;
        }
    }

    /// The cells of other processes, as the history has them; with `changed` those that have become ours, too.
    async fn look_at_others(&mut self, changed: bool) {
        let Some(course) = self.course.clone() else { return };
        let Some(stored) = within(Box::pin(self.parts.store.cells())).await else { return };
        let stored: HashMap<CellId, _> = stored.into_iter().map(|cell| (cell.id, cell)).collect();
        let now = self.parts.clock.now();
        for slot in &course.cells {
            let own = self.own.contains(&share_of(slot.seed));
            let Some(known) = self.parts.board.cell(&slot.key) else { continue };
            if own && (known.own || !changed) {
                continue;
            }
            let Some(cell) = stored.get(&slot.id) else { continue };
            let same = known.last.as_ref().map(|last| last.detail) == cell.last.as_ref().map(|last| last.detail);
            self.parts.board.put(CellNow {
                state: cell.state.clone(),
                last: cell.last.clone(),
                detail: known.detail.clone().filter(|_| same),
                due: if own {
                    Some(course.next(slot, now))
                } else {
                    cell.last.as_ref().map(|last| course.next(slot, last.at))
                },
                own,
                maintenance: course.config.in_maintenance(&slot.key, now),
                ..CellNow::clone(&known)
            });
        }
    }
}

fn stages(times: &Times) -> StageTimes {
    let microseconds =
        |ms: Option<f64>| u32::try_from(Duration::try_from_secs_f64(ms? / 1_000.0).ok()?.as_micros()).ok();
    StageTimes {
        dns: microseconds(times.dns),
        tcp: microseconds(times.tcp),
        tls: microseconds(times.tls),
        http: microseconds(times.http),
    }
}

/// The answer of a store call, unless it fails or takes too long: the ledger waits for nobody for long.
async fn within<T>(call: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    tokio::time::timeout(LONGEST_CALL, call).await.ok()?.ok()
}

const LONGEST_CALL: Duration = Duration::from_secs(2);
/// Rounds in a row may leave out so many, and so much time beside.
const ROUNDS_MISSED: u32 = 5;
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
const TICK: Duration = OTHERS_READ_EVERY;
/// Changes of a configuration that are kept at hand, a cluster.
const CHANGES_KEPT: usize = 200;
const CHANGES_COUNT_FOR: Duration = Duration::from_hours(24);
const EVENTS_RECALLED: usize = 1_000;
