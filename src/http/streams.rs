//! Streams that are open, and the one poller that feeds them.
//!
//! It works only while somebody listens: each second one statement over primary keys says which
//! orgs have moved, and only of those the standing is read. What came through this process is read
//! at once. No LISTEN, which a pooler breaks, and nothing on the write path.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant as Tick;
use uuid::Uuid;

use super::problem::{Code, Problem};
use super::shared::Shared;
use crate::billing::Instant;
use crate::store::tokens::{self, Token};
use crate::store::usage::asked::{self, Question, Standing};
use crate::store::usage::watched::{self, Crossing, Mark};

/// Between two looks at everybody who is listened to …
const EVERY: Duration = Duration::from_secs(1);
/// … or so many times what a look takes, if that is longer: the database has other work.
const TIMES: u32 = 10;
const SLOWEST: Duration = Duration::from_secs(15);
/// Between two looks of any kind: what moves without end is sent, not chased.
const GAP: Duration = Duration::from_millis(100);
/// What no mark tells is read anew after this: limits of tiers, packs that expire.
const READ_AGAIN: Duration = Duration::from_secs(15);
/// Between two looks at tokens (a revocation counts within 5 seconds), and at alerts.
const TOKENS_EVERY: Duration = Duration::from_secs(3);
const ALERTS_EVERY: Duration = Duration::from_secs(3);
/// Standings that are read by one statement.
const MOST: usize = 64;

/// How an org stands, as streams say it. Two are alike when their `id` is.
pub(super) struct View {
    /// Its slug.
    pub(super) org: String,
    pub(super) time_zone: String,
    pub(super) as_of: Instant,
    /// A hash of all its limits.
    pub(super) id: String,
    /// By feature, what `limits` says of it, as JSON.
    pub(super) features: Vec<(String, String)>,
    pub(super) period: Option<(Instant, Instant)>,
    /// `None`: not read yet.
    pub(super) crossings: Option<Arc<Vec<Crossing>>>,
    /// Could it be read the last time?
    pub(super) is_reachable: bool,
    /// It does not exist any more.
    pub(super) is_gone: bool,
}

impl View {
    fn of(standing: &Standing, crossings: Option<Arc<Vec<Crossing>>>) -> Self {
        let mut hash = Sha256::new();
        let mut features = Vec::new();
        for limit in &standing.limits {
            let json = serde_json::to_string(limit).unwrap_or_default();
            hash.update(json.as_bytes());
            hash.update([0]);
            features.push((limit.feature.clone(), json));
        }
        hash.update(standing.time_zone.as_bytes());
        let id = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let period =
            standing.limits.iter().find_map(|limit| limit.period_start.zip(limit.period_end));
        Self {
            org: standing.slug.clone(),
            time_zone: standing.time_zone.clone(),
            as_of: standing.as_of,
            id,
            features,
            period,
            crossings,
            is_reachable: true,
            is_gone: false,
        }
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Arc<Self> {
        let mut view = Self {
            org: self.org.clone(),
            time_zone: self.time_zone.clone(),
            as_of: self.as_of,
            id: self.id.clone(),
            features: self.features.clone(),
            period: self.period,
            crossings: self.crossings.clone(),
            is_reachable: self.is_reachable,
            is_gone: self.is_gone,
        };
        change(&mut view);
        Arc::new(view)
    }
}

/// An org that is listened to.
struct Feed {
    view: watch::Sender<Arc<View>>,
    mark: Option<Mark>,
    read_at: Tick,
    /// A use of it came through this process.
    has_moved: bool,
}

impl Feed {
    /// Hands a reading on, to nobody where it says nothing new.
    fn show(&mut self, standing: Option<&Standing>) {
        self.read_at = Tick::now();
        self.view.send_if_modified(|view| {
            let Some(standing) = standing else {
                let was_gone = view.is_gone;
                *view = view.with(|view| view.is_gone = true);
                return !was_gone;
            };
            let new = View::of(standing, view.crossings.clone());
            // Two that ask at once may be answered in either order.
            let is_new = new.as_of >= view.as_of && (new.id != view.id || !view.is_reachable);
            if is_new {
                *view = Arc::new(new);
            }
            is_new
        });
    }
}

/// A token that streams were opened with.
struct Shown {
    org: Option<Uuid>,
    holds: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    feeds: HashMap<Uuid, Feed>,
    tokens: HashMap<String, Shown>,
    is_polled: bool,
}

/// The streams that are open.
pub(super) struct Streams {
    places: Arc<Semaphore>,
    state: Mutex<State>,
    moved: Notify,
}

/// One that listens, until it is dropped.
pub(super) struct Listening {
    pub(super) view: watch::Receiver<Arc<View>>,
    /// Does its token still hold?
    pub(super) holds: watch::Receiver<bool>,
    left: Left,
}

/// What is to be done when it has gone: fields are dropped in their order, receivers first.
struct Left {
    shared: Arc<Shared>,
    org: Uuid,
    token: String,
    _place: OwnedSemaphorePermit,
}

impl Listening {
    /// The server that it listens to.
    pub(super) fn shared(&self) -> &Shared {
        &self.left.shared
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        self.shared.metrics.streams.dec();
        let mut state = self.shared.streams.state();
        if state.feeds.get(&self.org).is_some_and(|feed| feed.view.receiver_count() == 0) {
            state.feeds.remove(&self.org);
        }
        if state.tokens.get(&self.token).is_some_and(|shown| shown.holds.receiver_count() == 0) {
            state.tokens.remove(&self.token);
        }
    }
}

impl Streams {
    pub(super) fn new(most: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most)),
            state: Mutex::default(),
            moved: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more.
    ///
    /// # Errors
    /// [`Code::Overloaded`] where there is none.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| Problem::new(Code::Overloaded, "too many streams are open"))
    }

    /// Something of that org came through this process: it is read at once if anybody listens.
    pub(super) fn moved(&self, org: Uuid) {
        if let Some(feed) = self.state().feeds.get_mut(&org) {
            feed.has_moved = true;
            self.moved.notify_one();
        }
    }

    /// Orgs that are listened to, and whether each has moved; `None` ends the poller.
    fn asked(&self) -> Option<Vec<(Uuid, bool)>> {
        let mut state = self.state();
        if state.feeds.is_empty() {
            state.is_polled = false;
            return None;
        }
        let orgs = state.feeds.iter_mut();
        Some(orgs.map(|(org, feed)| (*org, std::mem::take(&mut feed.has_moved))).collect())
    }

    /// Those that have to be read: what moved, what was not read for long, what has ended.
    fn stale(&self, marks: Vec<Mark>, orgs: &[Uuid]) -> Vec<Uuid> {
        let mut marks: HashMap<Uuid, Mark> =
            marks.into_iter().map(|mark| (mark.org, mark)).collect();
        let mut state = self.state();
        let mut stale = Vec::new();
        for org in orgs {
            let Some(feed) = state.feeds.get_mut(org) else { continue };
            let mark = marks.remove(org);
            let has_moved = mark != feed.mark;
            if has_moved || feed.read_at.elapsed() >= READ_AGAIN || !feed.view.borrow().is_reachable
            {
                stale.push(*org);
            }
            feed.mark = mark;
        }
        stale
    }

    fn show(&self, orgs: &[Uuid], standings: &[Option<Standing>]) {
        let mut state = self.state();
        for (org, standing) in orgs.iter().zip(standings) {
            if let Some(feed) = state.feeds.get_mut(org) {
                feed.show(standing.as_ref());
            }
        }
    }

    fn show_crossings(&self, orgs: &[Uuid], crossings: Vec<Crossing>) {
        let mut by_org: HashMap<Uuid, Vec<Crossing>> = HashMap::new();
        for crossing in crossings {
            by_org.entry(crossing.org).or_default().push(crossing);
        }
        let mut state = self.state();
        for org in orgs {
            let Some(feed) = state.feeds.get_mut(org) else { continue };
            let found = by_org.remove(org).unwrap_or_default();
            feed.view.send_if_modified(|view| {
                let known = view.crossings.as_deref();
                let is_new = known.is_some_and(|known| *known != found);
                if known.is_none() || is_new {
                    *view = view.with(|view| view.crossings = Some(Arc::new(found)));
                }
                is_new
            });
        }
    }

    fn lose_touch(&self) {
        let mut state = self.state();
        for feed in state.feeds.values_mut() {
            feed.view.send_if_modified(|view| {
                let was_reachable = view.is_reachable;
                if was_reachable {
                    *view = view.with(|view| view.is_reachable = false);
                }
                was_reachable
            });
        }
    }
}

/// Listens to an org, beginning with how it stands.
pub(super) fn listen(
    shared: &Arc<Shared>,
    place: OwnedSemaphorePermit,
    standing: &Standing,
    token: &Token,
) -> Listening {
    let mut state = shared.streams.state();
    let feed = state.feeds.entry(standing.org).or_insert_with(|| Feed {
        view: watch::Sender::new(Arc::new(View::of(standing, None))),
        mark: None,
        read_at: Tick::now(),
        has_moved: false,
    });
    feed.show(Some(standing));
    let view = feed.view.subscribe();
    let shown = state
        .tokens
        .entry(token.name.clone())
        .or_insert_with(|| Shown { org: token.org, holds: watch::Sender::new(true) });
    let holds = shown.holds.subscribe();
    let begins = !std::mem::replace(&mut state.is_polled, true);
    drop(state);
    if begins {
        tokio::spawn(poll(Arc::clone(shared)));
    }
    shared.metrics.streams.inc();
    let (shared, org, token) = (Arc::clone(shared), standing.org, token.name.clone());
    Listening { view, holds, left: Left { shared, org, token, _place: place } }
}

/// When the poller looked at what is not looked at each time.
struct Looked {
    tokens: Tick,
    alerts: Option<Tick>,
}

/// Works while somebody listens. What it asks of the database runs to its end.
async fn poll(shared: Arc<Shared>) {
    // Should it ever panic, the next that listens begins another.
    let _ends = Ends(Arc::clone(&shared));
    let mut draining = shared.draining.subscribe();
    let mut looked = Looked { tokens: Tick::now(), alerts: None };
    let mut next = Tick::now();
    while let Some(asked) = shared.streams.asked() {
        if shared.is_draining() {
            return;
        }
        let began = Tick::now();
        let is_round = began >= next;
        let looked_at = match is_round {
            true => look_at_all(&shared, &asked, &mut looked).await,
            false => {
                let moved: Vec<Uuid> =
                    asked.iter().filter(|(_, moved)| *moved).map(|(org, _)| *org).collect();
                read(&shared, &moved).await
            }
        };
        match looked_at {
            Err(problem) if problem.code != Code::Overloaded => shared.streams.lose_touch(),
            _ => {}
        }
        if is_round {
            next = began + (began.elapsed() * TIMES).clamp(EVERY, SLOWEST);
        }
        // Nothing of the database is in here, so it may be dropped.
        tokio::select! {
            () = async {
                tokio::time::sleep(GAP).await;
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = shared.streams.moved.notified() => {}
                }
            } => {}
            _ended = draining.wait_for(|draining| *draining) => return,
        }
    }
}

/// Says that the poller has ended.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        let mut state = self.0.streams.state();
        // One that ends in good order has said so, and another may be at work.
        if std::thread::panicking() {
            state.is_polled = false;
        }
    }
}

async fn look_at_all(
    shared: &Shared,
    asked: &[(Uuid, bool)],
    looked: &mut Looked,
) -> Result<(), Problem> {
    let streams = &shared.streams;
    let orgs: Vec<Uuid> = asked.iter().map(|(org, _)| *org).collect();
    let mut turn = shared.turns.take().await?;
    let marks = watched::marks(&mut turn, &orgs).await?;
    if looked.alerts.is_none_or(|at| at.elapsed() >= ALERTS_EVERY) {
        let crossings = watched::crossings(&mut turn, &orgs).await?;
        streams.show_crossings(&orgs, crossings);
        looked.alerts = Some(Tick::now());
    }
    if looked.tokens.elapsed() >= TOKENS_EVERY {
        let names: Vec<String> = streams.state().tokens.keys().cloned().collect();
        let hold: HashMap<String, Option<Uuid>> =
            tokens::readers(&mut turn, &names).await?.into_iter().collect();
        let state = streams.state();
        for name in &names {
            let Some(shown) = state.tokens.get(name) else { continue };
            if hold.get(name) != Some(&shown.org) {
                shown.holds.send_replace(false);
            }
        }
        drop(state);
        looked.tokens = Tick::now();
    }
    drop(turn);
    let mut stale = streams.stale(marks, &orgs);
    let moved = asked.iter().filter(|(_, moved)| *moved).map(|(org, _)| *org);
    stale.extend(moved);
    stale.sort_unstable();
    stale.dedup();
    read(shared, &stale).await
}

/// Reads how these orgs stand, and hands it on.
async fn read(shared: &Shared, orgs: &[Uuid]) -> Result<(), Problem> {
    for page in orgs.chunks(MOST) {
        let questions: Vec<Question> =
            page.iter().map(|org| Question { org: org.to_string(), feature: None }).collect();
        // Others may have a turn in between.
        let mut turn = shared.turns.take().await?;
        let standings = asked::standings(&mut turn, &questions).await?;
        drop(turn);
        shared.streams.show(page, &standings);
    }
    Ok(())
}
