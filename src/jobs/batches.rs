//! Orgs that are worked on together, and what to do when that fails: one policy for every job that
//! goes over pages of orgs.
//!
//! A page that fails is tried in halves, until what fails stands alone. An org whose rows somebody
//! else holds, or changes without a pause, is left to the next run; one whose rows cannot be
//! processed is parked; everybody else is served. What the server refuses for every org alike is
//! nobody's fault among them: then the run fails, and nobody is parked. What it lacks for every org
//! of a page, such as a machine of several, others may not need: the page is left, and the run
//! fails only where it served nobody.

use std::time::Duration;

use uuid::Uuid;

use crate::billing::parking::ParkedCode;
use crate::store::{Connection, LockTimeout, StoreError, serves};

/// Conflicts in a row on the same page before it is taken apart: many orgs at once are fast, few
/// at once get through.
const CONFLICTS_PER_PAGE: u32 = 2;
/// Conflicts in a row on a single org before it is left to the next run.
const CONFLICTS_PER_ORG: u32 = 20;
/// Conflicts in a row on a single org before it is locked ahead of being read, by a job that does
/// so: whoever changes it without a pause then waits for the job, and not the job for a pause.
const CONFLICTS_BEFORE_LOCK: u32 = 3;
/// Tries at an org that is locked before it is read, each of which waits a short time for what
/// somebody holds. Each ends before the database looks for deadlocks: it is not an application's
/// call that gives way.
const TRIES_FOR_LOCKS: u32 = 4;
/// Waits for rows that somebody holds, on one page, before what is left of the orgs that were
/// waited for together is left to the next run. Most of a page's are short ones: to find one org
/// among a thousand takes eleven.
const WAITS_PER_PAGE: usize = 40;
/// The longest pause after a conflict with a single org; each is drawn at random below it, so that
/// two that collide do not collide in step.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Orgs that are tried one by one, from all over a page, once the server has refused the first of
/// them: where it refuses all of these in the same way, it refuses everybody.
const PROBES: usize = 8;

/// Rows of a page besides its orgs, counters and packs: as many as are held in memory together, at
/// some 600 bytes each. A rollover holds two pages for each connection.
pub(super) const ROWS_PER_PAGE: usize = 10_000;

/// How many orgs a page has room for, where so many had so many rows: at least one, at most `most`.
pub(super) fn orgs_that_fit(orgs: usize, rows: usize, most: usize) -> usize {
    (ROWS_PER_PAGE * orgs / rows.max(1)).clamp(1, most.max(1))
}

/// Orgs with their rows, put together as long as there is room for these.
pub(super) fn parts(orgs: Vec<(Uuid, usize)>) -> Vec<Vec<Uuid>> {
    let mut parts: Vec<Vec<Uuid>> = Vec::new();
    let mut room = 0;
    for (org, rows) in orgs {
        if let Some(part) = parts.last_mut().filter(|_| rows <= room) {
            part.push(org);
        } else {
            parts.push(vec![org]);
            room = ROWS_PER_PAGE;
        }
        room = room.saturating_sub(rows);
    }
    parts
}

/// Orgs that are tried together.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) ids: Vec<Uuid>,
    /// How long they wait for what somebody else holds.
    pub(super) wait: LockTimeout,
    /// Is it a single org that is locked before it is read?
    pub(super) is_locked_first: bool,
    /// Conflicts so far.
    conflicts: u32,
    /// Waits in vain so far, of an org that is locked first.
    waits: u32,
}

impl Batch {
    fn of(ids: Vec<Uuid>, wait: LockTimeout) -> Self {
        Self { ids, wait, is_locked_first: false, conflicts: 0, waits: 0 }
    }

    /// Has its org locked before it is read. It waits for nobody for long, for it holds the
    /// counters that applications want.
    fn lock_first(&mut self) {
        self.is_locked_first = true;
        self.wait = LockTimeout::Short;
    }
}

/// An org that a run skipped; the next run tries again.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Left {
    /// The org.
    pub org: Uuid,
    /// Its name for people.
    pub slug: String,
    /// Why.
    pub reason: String,
}

/// An org that a run does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stuck {
    /// Its rows cannot be processed, and why: it is parked.
    Faulty(Uuid, ParkedCode, String),
    /// Somebody else is at its rows: it is left to the next run.
    Left(Uuid, String),
}

impl Stuck {
    /// Which org it is.
    pub(super) const fn org(&self) -> Uuid {
        let (Self::Faulty(org, ..) | Self::Left(org, _)) = self;
        *org
    }
}

/// Whom the server refused, as long as it is open who is to blame: these orgs, or something that
/// all orgs share.
#[derive(Debug, Default)]
struct Refusals {
    others_pass: bool,
    has_probed: bool,
    alone: Vec<(Uuid, StoreError)>,
    /// Whose error has been passed on for all.
    spoke: Option<Uuid>,
}

impl Refusals {
    /// Others got through: what the server refuses is not what all orgs share.
    fn passed(&mut self) {
        self.others_pass = true;
    }

    /// Notes an org that was refused while it stood alone.
    ///
    /// # Errors
    /// The error, where as many as it takes were refused in the same way and nobody got through.
    fn note(&mut self, org: Uuid, error: StoreError) -> Result<(), StoreError> {
        self.alone.push((org, error));
        if !self.others_pass && self.alone.len() > PROBES {
            self.unless_all_alike()?;
        }
        Ok(())
    }

    /// Should orgs from all over the page be tried next, each alone? Once, and unless it is known
    /// already that others get through.
    fn wants_probes(&mut self) -> bool {
        let wants = !self.others_pass && !self.alone.is_empty() && !self.has_probed;
        self.has_probed |= wants;
        wants
    }

    /// Orgs that can be told to be at fault by now.
    fn guilty(&mut self) -> Vec<Stuck> {
        if !self.others_pass {
            return Vec::new();
        }
        self.alone.drain(..).map(|(org, error)| stuck(org, &error)).collect()
    }

    /// What is left to decide when everybody has been tried.
    ///
    /// # Errors
    /// The error, where all were refused in the same way; of a single org, where no rule about its
    /// rows did it.
    fn decide(&mut self) -> Result<Vec<Stuck>, StoreError> {
        if !self.others_pass {
            self.unless_all_alike()?;
            if matches!(&self.alone[..], [(_, error)] if !is_by_rule(error)) {
                self.pass_on()?;
            }
        }
        self.others_pass = true;
        Ok(self.guilty())
    }

    fn unless_all_alike(&mut self) -> Result<(), StoreError> {
        let (first, rest) = match &self.alone[..] {
            [(_, first), rest @ ..] if !rest.is_empty() => (first, rest),
            _ => return Ok(()),
        };
        if rest.iter().all(|(_, error)| is_alike(first, error)) {
            self.pass_on()?;
        }
        Ok(())
    }

    /// Tells the last error as that of all.
    fn pass_on(&mut self) -> Result<(), StoreError> {
        let Some((org, error)) = self.alone.pop() else { return Ok(()) };
        self.spoke = Some(org);
        Err(error)
    }

    /// Everybody who was refused and is not told to be at fault.
    fn take_all(&mut self) -> impl Iterator<Item = Uuid> {
        self.alone.drain(..).map(|(org, _)| org).chain(self.spoke.take())
    }
}

/// What an org is parked with after this error, where that is its fault.
pub(super) const fn fault(error: &StoreError) -> Option<ParkedCode> {
    match error {
        StoreError::Refused { .. } => Some(ParkedCode::RefusedByDatabase),
        StoreError::Unprocessable(_) => Some(ParkedCode::Unprocessable),
        _ => None,
    }
}

fn stuck(org: Uuid, error: &StoreError) -> Stuck {
    match fault(error) {
        Some(code) => Stuck::Faulty(org, code, error.to_string()),
        None => Stuck::Left(org, error.to_string()),
    }
}

fn is_by_rule(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused { by_rule: true, .. })
}

fn is_alike(a: &StoreError, b: &StoreError) -> bool {
    match (a, b) {
        (StoreError::Refused { code: a, .. }, StoreError::Refused { code: b, .. }) => a == b,
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

/// What is still to be tried of a page.
#[derive(Debug)]
pub(super) struct Batches {
    waiting: Vec<Batch>,
    /// Is an org that is changed again and again locked before it is read?
    locks_first: bool,
    refusals: Refusals,
    waits: usize,
    conflicts: usize,
    stuck: Vec<Stuck>,
    has_served: bool,
    /// What the server lacked for everybody who was still to be tried.
    lacked: Option<StoreError>,
}

/// Whom the pages of a run, or of a part of one, served.
#[derive(Debug, Default)]
pub(super) struct Served {
    anybody: bool,
    lacked: Option<StoreError>,
}

impl Served {
    /// Notes what became of a page that has been tried.
    pub(super) fn note(&mut self, page: &mut Batches) {
        self.anybody |= page.has_served;
        self.note_lacking(page);
    }

    /// Notes only what the server lacked for a page: one that found nothing to do served nobody.
    pub(super) fn note_lacking(&mut self, page: &mut Batches) {
        self.lacked = page.lacked.take().or(self.lacked.take());
    }

    /// Notes that somebody was served otherwise.
    pub(super) fn note_somebody(&mut self) {
        self.anybody = true;
    }

    /// Adds what another part of the run came to.
    pub(super) fn add(&mut self, part: Self) {
        self.anybody |= part.anybody;
        self.lacked = self.lacked.take().or(part.lacked);
    }

    /// Ends the run: once, for it is about everybody.
    ///
    /// # Errors
    /// What the server lacked, where nobody was served.
    pub(super) fn end(self) -> Result<(), StoreError> {
        match self.lacked {
            Some(error) if !self.anybody => Err(error),
            _ => Ok(()),
        }
    }
}

impl Batches {
    /// A page of orgs, to be tried together at first. `wait` is how long they wait for what
    /// somebody holds: see [`Self::met_holder`].
    pub(super) fn of(ids: Vec<Uuid>, wait: LockTimeout) -> Self {
        Self {
            waiting: if ids.is_empty() { vec![] } else { vec![Batch::of(ids, wait)] },
            locks_first: false,
            refusals: Refusals::default(),
            waits: 0,
            conflicts: 0,
            stuck: Vec::new(),
            has_served: false,
            lacked: None,
        }
    }

    /// The same for a job that can lock an org before it reads it: see
    /// [`Batch::is_locked_first`].
    pub(super) fn locking_first(self) -> Self {
        Self { locks_first: true, ..self }
    }

    /// The same with every org tried by itself.
    pub(super) fn one_by_one(mut self) -> Self {
        let alone = self.waiting.drain(..).flat_map(|batch| {
            let wait = batch.wait;
            batch.ids.into_iter().map(move |org| Batch::of(vec![org], wait))
        });
        self.waiting = alone.collect();
        self
    }

    /// Has these orgs tried next, each locked before it is read.
    pub(super) fn lock_first(&mut self, orgs: Vec<Uuid>) {
        self.waiting.extend(orgs.into_iter().map(|org| {
            let mut batch = Batch::of(vec![org], LockTimeout::Short);
            batch.lock_first();
            batch
        }));
    }

    /// The next orgs to be tried.
    pub(super) fn next(&mut self) -> Option<Batch> {
        self.waiting.pop()
    }

    /// Takes the result of a batch: what was done, or `None` when it failed. What failed is tried
    /// again: as it is, then in halves, a single org after a pause.
    ///
    /// # Errors
    /// The error itself, where trying again is of no use.
    pub(super) async fn outcome<T>(
        &mut self,
        connection: &mut Connection,
        batch: Batch,
        result: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let error = match result {
            Ok(done) => {
                self.has_served = true;
                self.refusals.passed();
                self.stuck.extend(self.refusals.guilty());
                return Ok(Some(done));
            }
            Err(error) => error,
        };
        let alone = if let [org] = batch.ids[..] { Some(org) } else { None };
        match (error, alone) {
            (error, _) if error.is_conflict() => {
                self.after_conflict(batch, alone, error).await?;
            }
            (error @ (StoreError::Held(_) | StoreError::Cancelled(_)), _) => {
                self.after_wait(batch, &error.to_string()).await;
            }
            (StoreError::Unprocessable(why), Some(org)) => {
                self.stuck.push(Stuck::Faulty(org, ParkedCode::Unprocessable, why));
            }
            (StoreError::Unprocessable(_), None) => self.halve(batch.ids, batch.wait),
            // A server that serves lacked something for these rows only: room for one table, say.
            (error @ StoreError::Unavailable(_), _) if !serves(connection).await => {
                return Err(error);
            }
            (error @ (StoreError::Refused { .. } | StoreError::Unavailable(_)), Some(org)) => {
                match self.refused(org, error) {
                    Err(error @ StoreError::Unavailable(_)) => self.give_up(error),
                    refused => refused?,
                }
            }
            (StoreError::Refused { .. } | StoreError::Unavailable(_), None) => {
                self.halve(batch.ids, batch.wait);
            }
            (other, _) => return Err(other),
        }
        Ok(None)
    }

    /// The orgs that this page does not serve, once everybody has been tried.
    ///
    /// # Errors
    /// What the server refused for every org alike.
    pub(super) fn stuck(&mut self) -> Result<Vec<Stuck>, StoreError> {
        match self.refusals.decide() {
            // The server was asked when it refused them, and serves.
            Err(error @ StoreError::Unavailable(_)) => self.give_up(error),
            decided => self.stuck.extend(decided?),
        }
        Ok(std::mem::take(&mut self.stuck))
    }

    /// Leaves everybody who was still to be tried: a server that serves lacks something for these.
    fn give_up(&mut self, error: StoreError) {
        let waiting = self.waiting.drain(..).flat_map(|batch| batch.ids);
        let left = waiting.chain(self.refusals.take_all());
        self.stuck.extend(left.map(|org| Stuck::Left(org, error.to_string())));
        self.lacked = Some(error);
    }

    /// The same with why, for a job that parks nobody.
    ///
    /// # Errors
    /// As [`Self::stuck`].
    pub(super) fn left(&mut self) -> Result<Vec<(Uuid, String)>, StoreError> {
        let why = |stuck| match stuck {
            Stuck::Faulty(org, _, why) | Stuck::Left(org, why) => (org, why),
        };
        Ok(self.stuck()?.into_iter().map(why).collect())
    }

    /// How often somebody else was at the same rows.
    pub(super) fn conflicts(&self) -> usize {
        self.conflicts
    }

    /// Did somebody hold rows for longer than this page waited? The next page then waits less.
    pub(super) fn met_holder(&self) -> bool {
        self.waits > 0
    }

    /// Did somebody hold what everybody on this page needs, a whole table maybe?
    pub(super) fn was_held_up(&self) -> bool {
        self.waits > 1 && !self.refusals.others_pass
    }

    /// Notes an org that was refused while it stood alone, and finds out whose fault that is.
    fn refused(&mut self, org: Uuid, error: StoreError) -> Result<(), StoreError> {
        self.refusals.note(org, error)?;
        self.stuck.extend(self.refusals.guilty());
        self.probe();
        Ok(())
    }

    async fn after_conflict(
        &mut self,
        batch: Batch,
        alone: Option<Uuid>,
        error: StoreError,
    ) -> Result<(), StoreError> {
        self.conflicts += 1;
        let mut batch = Batch { conflicts: batch.conflicts + 1, ..batch };
        match alone {
            Some(org) if batch.conflicts == CONFLICTS_PER_ORG => match error.insisted_upon() {
                refusal @ StoreError::Refused { .. } => self.refused(org, refusal)?,
                why => {
                    let why = format!("it is changed constantly by others: {why}");
                    self.stuck.push(Stuck::Left(org, why));
                }
            },
            Some(_) => {
                pause().await;
                if self.locks_first && batch.conflicts >= CONFLICTS_BEFORE_LOCK {
                    batch.lock_first();
                }
                self.waiting.push(batch);
            }
            None if batch.conflicts < CONFLICTS_PER_PAGE => self.waiting.push(batch),
            None => self.halve(batch.ids, batch.wait),
        }
        Ok(())
    }

    /// The halves wait less, until the org that is held stands alone. It is left at once: to wait
    /// again would keep the others waiting. An org that is locked first has waited a short time
    /// only, and is tried a few times.
    async fn after_wait(&mut self, batch: Batch, why: &str) {
        self.conflicts += 1;
        self.waits += 1;
        let may_wait = self.waits < WAITS_PER_PAGE;
        let batch = Batch { waits: batch.waits + 1, ..batch };
        if may_wait && batch.ids.len() > 1 {
            self.halve(batch.ids, LockTimeout::Short);
        } else if may_wait && batch.is_locked_first && batch.waits < TRIES_FOR_LOCKS {
            pause().await;
            self.waiting.push(batch);
        } else {
            self.stuck.extend(batch.ids.into_iter().map(|org| Stuck::Left(org, why.to_owned())));
        }
    }

    fn halve(&mut self, mut ids: Vec<Uuid>, wait: LockTimeout) {
        let rest = ids.split_off(ids.len() / 2);
        self.waiting.extend([rest, ids].map(|ids| Batch::of(ids, wait)));
    }

    /// Has orgs from all over the page tried next, where that tells whose fault it is.
    fn probe(&mut self) {
        if !self.refusals.wants_probes() {
            return;
        }
        let probes = probes(self.waiting.iter_mut().map(|batch| &mut batch.ids).collect());
        self.waiting.retain(|batch| !batch.ids.is_empty());
        let probe = |org| Batch::of(vec![org], LockTimeout::Long);
        self.waiting.extend(probes.into_iter().map(probe));
    }
}

async fn pause() {
    tokio::time::sleep(LONGEST_PAUSE.mul_f64(fastrand::f64())).await;
}

/// Takes [`PROBES`] orgs out of these, spread evenly.
fn probes(waiting: Vec<&mut Vec<Uuid>>) -> Vec<Uuid> {
    let total: usize = waiting.iter().map(|ids| ids.len()).sum();
    let stride = total.div_ceil(PROBES).max(1);
    let (mut place, mut probes) = (0, Vec::new());
    for ids in waiting {
        ids.retain(|org| {
            let is_probe = place % stride == 0;
            place += 1;
            if is_probe {
                probes.push(*org);
            }
            !is_probe
        });
    }
    probes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_room_for_rows_and_for_one_org_whatever_it_has() {
        assert_eq!(orgs_that_fit(1_000, 1_000, 1_000), 1_000);
        assert_eq!(orgs_that_fit(1_000, 200_000, 1_000), 50);
        assert_eq!(orgs_that_fit(1, 1_000_000, 1_000), 1);
        assert_eq!(orgs_that_fit(3, 0, 0), 1);
        let [a, b, c, d] = [1, 2, 3, 4].map(Uuid::from_u128);
        let orgs = vec![(a, 9_000), (b, 1_000), (c, 50_000), (d, 1)];
        assert_eq!(parts(orgs), [vec![a, b], vec![c], vec![d]]);
        assert_eq!(parts(vec![]), Vec::<Vec<Uuid>>::new());
    }

    fn refused(code: &str, by_rule: bool) -> StoreError {
        StoreError::Refused { code: code.to_owned(), message: "no".to_owned(), by_rule }
    }

    #[test]
    fn what_everybody_is_refused_is_nobodys_fault() {
        let mut refusals = Refusals::default();
        for org in 0..2 {
            refusals.note(Uuid::from_u128(org), refused("42501", true)).unwrap();
        }
        assert!(refusals.guilty().is_empty());
        assert!(matches!(refusals.decide(), Err(StoreError::Refused { .. })));
        let mut many = Refusals::default();
        let noted: Result<Vec<()>, StoreError> =
            (0..20).map(|org| many.note(Uuid::from_u128(org), refused("P0001", true))).collect();
        assert!(noted.is_err(), "it does not take everybody to find out");
    }

    #[test]
    fn who_was_refused_with_everybody_is_left_with_everybody() {
        let mut batches = Batches::of(vec![Uuid::from_u128(100)], LockTimeout::Short);
        let lacks = || StoreError::Unavailable("no room".to_owned());
        let noted: Result<Vec<()>, StoreError> =
            (0..20).map(|org| batches.refusals.note(Uuid::from_u128(org), lacks())).collect();
        let told = batches.refusals.alone.len() as u128 + 1;
        let error = noted.unwrap_err();
        batches.give_up(error);
        let mut left: Vec<Uuid> = batches.stuck().unwrap().iter().map(Stuck::org).collect();
        left.sort();
        let all: Vec<Uuid> = (0..told).chain([100]).map(Uuid::from_u128).collect();
        assert_eq!(left, all);
        // A run in which nobody was served fails; one that served others has left some.
        let run = |anybody| {
            let mut served = Served { anybody, lacked: None };
            let mut page = Batches::of(vec![], LockTimeout::Short);
            page.give_up(lacks());
            served.note(&mut page);
            served.end()
        };
        assert!(matches!(run(false), Err(StoreError::Unavailable(_))));
        assert!(run(true).is_ok());
        // It is enough that one part of it served somebody.
        let mut whole = Served { anybody: false, lacked: Some(lacks()) };
        let mut part = Served::default();
        part.note_somebody();
        whole.add(part);
        assert!(whole.end().is_ok());
    }

    #[test]
    fn what_a_server_lacks_for_one_org_alone_leaves_it() {
        let org = Uuid::from_u128(1);
        let mut batches = Batches::of(vec![], LockTimeout::Short);
        batches.refusals.note(org, StoreError::Unavailable("no room".to_owned())).unwrap();
        assert_eq!(batches.stuck().unwrap(), [Stuck::Left(org, lacking("no room"))]);
    }

    fn lacking(what: &str) -> String {
        StoreError::Unavailable(what.to_owned()).to_string()
    }

    #[test]
    fn an_org_that_is_refused_beside_others_is_at_fault() {
        let org = Uuid::from_u128(1);
        let mut refusals = Refusals::default();
        refusals.note(org, refused("XX000", false)).unwrap();
        refusals.passed();
        assert_eq!(
            refusals.guilty(),
            [Stuck::Faulty(org, ParkedCode::RefusedByDatabase, "no".to_owned())]
        );
        assert_eq!(refusals.decide().unwrap(), []);
    }

    #[test]
    fn of_a_single_org_only_a_rule_about_its_rows_tells() {
        let org = Uuid::from_u128(1);
        let mut refusals = Refusals::default();
        refusals.note(org, refused("P0001", true)).unwrap();
        assert_eq!(refusals.decide().unwrap().len(), 1);
        refusals = Refusals::default();
        refusals.note(org, refused("42501", false)).unwrap();
        assert!(refusals.decide().is_err());
    }
}
