//! Streams that are open: the orgs that are listened to, how each stands, and who listens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant as Tick;
use uuid::Uuid;

use super::problem::{Code, Problem};
use crate::billing::Instant;
use crate::store::tokens::Token;
use crate::store::usage::asked::Standing;
use crate::store::usage::watched::{Crossing, Mark};

/// What no mark tells is read anew after this: limits of tiers, packs that expire.
const READ_AGAIN: Duration = Duration::from_secs(15);

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
    pub(super) crossings: Arc<Vec<Crossing>>,
    /// Could it be read the last time?
    pub(super) is_reachable: bool,
    /// It does not exist any more.
    pub(super) is_gone: bool,
}

impl View {
    fn of(standing: &Standing, crossings: Arc<Vec<Crossing>>) -> Self {
        let mut hash = Sha256::new();
        let mut features = Vec::new();
        for limit in &standing.limits {
            let json = serde_json::to_string(limit).unwrap_or_default();
            hash.update(json.as_bytes());
            hash.update([0]);
            features.push((limit.feature.clone(), json));
        }
        hash.update(standing.time_zone.as_bytes());
        let start = hash.finalize().iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte));
        let id = format!("{start:016x}");
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
            crossings: Arc::clone(&self.crossings),
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
            let new = View::of(standing, Arc::clone(&view.crossings));
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
    /// How many are open.
    open: Gauge,
    places: Arc<Semaphore>,
    state: Mutex<State>,
    moved: Notify,
}

/// One that listens, until it is dropped.
pub(super) struct Listening {
    pub(super) view: watch::Receiver<Arc<View>>,
    /// Does its token still hold?
    pub(super) holds: watch::Receiver<bool>,
    _left: Left,
}

/// What is to be done when it has gone: fields are dropped in their order, receivers first.
struct Left {
    streams: Arc<Streams>,
    org: Uuid,
    token: String,
    _place: OwnedSemaphorePermit,
}

impl Drop for Left {
    fn drop(&mut self) {
        self.streams.open.dec();
        let mut state = self.streams.state();
        if state.feeds.get(&self.org).is_some_and(|feed| feed.view.receiver_count() == 0) {
            state.feeds.remove(&self.org);
        }
        if state.tokens.get(&self.token).is_some_and(|shown| shown.holds.receiver_count() == 0) {
            state.tokens.remove(&self.token);
        }
    }
}

impl Streams {
    pub(super) fn new(most: usize, open: Gauge) -> Self {
        Self {
            open,
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
    pub(super) fn asked(&self) -> Option<Vec<(Uuid, bool)>> {
        let mut state = self.state();
        if state.feeds.is_empty() {
            state.is_polled = false;
            return None;
        }
        let orgs = state.feeds.iter_mut();
        Some(orgs.map(|(org, feed)| (*org, std::mem::take(&mut feed.has_moved))).collect())
    }

    /// Those that have to be read: what moved, what was not read for long, what was away.
    pub(super) fn stale(&self, marks: Vec<Mark>, orgs: &[Uuid]) -> Vec<Uuid> {
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

    pub(super) fn show(&self, orgs: &[Uuid], standings: &[Option<Standing>]) {
        let mut state = self.state();
        for (org, standing) in orgs.iter().zip(standings) {
            if let Some(feed) = state.feeds.get_mut(org) {
                feed.show(standing.as_ref());
            }
        }
    }

    pub(super) fn show_crossings(&self, orgs: &[Uuid], crossings: Vec<Crossing>) {
        let mut by_org: HashMap<Uuid, Vec<Crossing>> = HashMap::new();
        for crossing in crossings {
            by_org.entry(crossing.org).or_default().push(crossing);
        }
        let mut state = self.state();
        for org in orgs {
            let Some(feed) = state.feeds.get_mut(org) else { continue };
            let found = by_org.remove(org).unwrap_or_default();
            feed.view.send_if_modified(|view| {
                let is_new = *view.crossings != found;
                if is_new {
                    *view = view.with(|view| view.crossings = Arc::new(found));
                }
                is_new
            });
        }
    }

    /// What may have been missed is read anew; and where the database is away, streams say so.
    pub(super) fn lose_touch(&self, is_away: bool) {
        let mut state = self.state();
        for feed in state.feeds.values_mut() {
            feed.mark = None;
            feed.view.send_if_modified(|view| {
                let is_news = is_away && view.is_reachable;
                if is_news {
                    *view = view.with(|view| view.is_reachable = false);
                }
                is_news
            });
        }
    }

    /// Listens to an org, beginning with how it stands and which thresholds it has crossed. The
    /// first that listens begins the poller.
    pub(super) fn listen(
        self: &Arc<Self>,
        place: OwnedSemaphorePermit,
        standing: &Standing,
        crossings: Vec<Crossing>,
        token: &Token,
    ) -> (Listening, bool) {
        let mut state = self.state();
        let feed = state.feeds.entry(standing.org).or_insert_with(|| Feed {
            view: watch::Sender::new(Arc::new(View::of(standing, Arc::new(crossings)))),
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
        self.open.inc();
        let (streams, org, token) = (Arc::clone(self), standing.org, token.name.clone());
        let left = Left { streams, org, token, _place: place };
        (Listening { view, holds, _left: left }, begins)
    }

    /// The tokens that streams were opened with.
    pub(super) fn tokens(&self) -> Vec<String> {
        self.state().tokens.keys().cloned().collect()
    }

    /// Ends the streams of tokens that do not hold any more.
    pub(super) fn hold(&self, asked: &[String], holding: &HashMap<String, Option<Uuid>>) {
        let state = self.state();
        for name in asked {
            let Some(shown) = state.tokens.get(name) else { continue };
            if holding.get(name) != Some(&shown.org) {
                shown.holds.send_replace(false);
            }
        }
    }

    /// Waits until something has moved.
    pub(super) async fn have_moved(&self) {
        self.moved.notified().await;
    }

    /// The poller is gone; the next that listens begins another.
    pub(super) fn are_left(&self) {
        self.state().is_polled = false;
    }
}
