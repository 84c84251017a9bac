//! What alerts judged by last: how far the passes are, and the limits that moved since.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::TryStreamExt;
use jiff::SignedDuration;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::instant::OutOfRange;
use crate::store::StoreError;
use crate::store::db::facts;

/// The fact that remembers how far the passes are.
const FACT: &str = "alerts_judged";
/// How far a pass looks back before the one before it. What moves a counter makes it pending, for
/// as long as it takes, and whoever syncs it reads the clock after the counter: later than any pass
/// that did not see it move. This is for clocks that are set meanwhile.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);
/// Orgs that are remembered for the first time, per pass: the first pass over very many must not
/// last for that alone.
const NEW_ORGS: i64 = 100_000;
/// How often everything is looked at.
const EVERYTHING_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// What a pass goes by.
#[derive(Debug, Clone)]
pub struct Since {
    /// Business time of this pass.
    pub now: Instant,
    /// Counters that were synced from here on, and refunds, are looked at.
    pub real: Instant,
    /// Packs that expired after this are looked at, in business time.
    pub packs: Instant,
    pub everything: bool,
    /// Orgs that an earlier pass could not serve.
    pub again: Vec<Uuid>,
    /// Real time of this pass.
    began: Instant,
    /// When everything was looked at last, in business time.
    everything_at: Option<Instant>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Remembered {
    began: Instant,
    now: Instant,
    everything_at: Instant,
    watch: String,
    #[serde(default)]
    again: Vec<Uuid>,
}

/// What a pass that begins now has to look at. `watch` stands for the configured thresholds: when
/// they change, everything is looked at.
pub async fn since(
    connection: &mut PgConnection,
    now: Instant,
    real: Instant,
    watch: &str,
) -> Result<Since, StoreError> {
    let fact = facts::read(connection, FACT).await?;
    let before: Option<Remembered> = fact.and_then(|value| serde_json::from_str(&value).ok());
    let Some(before) = before.filter(|before| before.watch == watch) else {
        let everything = true;
        let (packs, began, again, everything_at) = (now, real, Vec::new(), None);
        return Ok(Since { now, real, packs, everything, again, began, everything_at });
    };
    // Who syncs with another business time than the real one may stamp either: the earlier counts.
    let from = before.began.min(before.now).min(now);
    let back = from.plus(SignedDuration::ZERO.saturating_sub(OVERLAP)).map_err(beyond)?;
    let age = now.since(before.everything_at);
    let everything = age >= EVERYTHING_AFTER || age < SignedDuration::ZERO;
    Ok(Since {
        now,
        real: back,
        packs: before.now.min(now),
        everything,
        again: before.again,
        began: real,
        everything_at: Some(before.everything_at),
    })
}

fn beyond(error: OutOfRange) -> StoreError {
    StoreError::Invalid(error.to_string())
}

/// Remembers how far this pass got, and the orgs that it could not serve; to be called when it is
/// through.
pub async fn remember(
    connection: &mut PgConnection,
    since: &Since,
    watch: &str,
    again: &[Uuid],
) -> Result<(), StoreError> {
    let everything_at = match since.everything_at {
        Some(at) if !since.everything => at,
        _ => since.now,
    };
    let (began, now) = (since.began, since.now);
    let (watch, again) = (watch.to_owned(), again.to_vec());
    let remembered = Remembered { began, now, everything_at, watch, again };
    let value = serde_json::to_string(&remembered)
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    facts::keep(connection, FACT, &value).await
}

/// Limits that differ from those that alerts judged by last, as they were read.
#[derive(Debug, Default)]
pub struct MovedLimits {
    /// The orgs that are on another tier than before, or were never looked at, by their tier.
    tiers: BTreeMap<String, Vec<Uuid>>,
    /// Quantities as PostgreSQL writes them: they are compared and kept, and need not be such as
    /// could be counted with.
    overrides: Vec<(Uuid, String, Option<String>)>,
    settings: Vec<Settings>,
    of_tiers: Vec<(String, String, Option<String>)>,
}

/// Thresholds of an org's own, as they were read; the array as PostgreSQL writes it.
#[derive(Debug)]
struct Settings {
    org_id: Uuid,
    feature: String,
    thresholds: Option<String>,
    basis: Option<String>,
}

impl MovedLimits {
    /// Has what a tier includes changed? Any org may be on it.
    pub fn concerns_everybody(&self) -> bool {
        !self.of_tiers.is_empty()
    }

    /// The orgs of which a limit moved, and those that were never looked at; in order.
    pub fn orgs(&self) -> Vec<Uuid> {
        let orgs: BTreeSet<Uuid> = self
            .tiers
            .values()
            .flatten()
            .chain(self.overrides.iter().map(|(org, ..)| org))
            .chain(self.settings.iter().map(|settings| &settings.org_id))
            .copied()
            .collect();
        orgs.into_iter().collect()
    }
}

/// The limits that moved, and the tiers of orgs that alerts have never looked at: how else would a
/// later change be seen? To be read before the counters are: what moves in between is then judged
/// by, and found once more by the next pass.
pub async fn moved_limits(connection: &mut PgConnection) -> Result<MovedLimits, StoreError> {
    let mut tiers: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    let moved = sqlx::query!(
        "select id, subscription_tier from organizations where judged_tier <> subscription_tier"
    );
    for row in moved.fetch_all(&mut *connection).await? {
        tiers.entry(row.subscription_tier).or_default().push(row.id);
    }
    let new = sqlx::query!(
        "select id, subscription_tier from organizations where judged_tier is null limit $1",
        NEW_ORGS
    );
    let mut new = new.fetch(&mut *connection);
    while let Some(row) = new.try_next().await? {
        tiers.entry(row.subscription_tier).or_default().push(row.id);
    }
    drop(new);
    let overrides = sqlx::query!(
        "select org_id, feature, included::text from limit_overrides
         where not judged or included is distinct from judged_included"
    );
    let overrides = overrides.fetch_all(&mut *connection).await?;
    let settings = sqlx::query_as!(
        Settings,
        "select org_id, feature, thresholds::text, basis from org_alert_settings
         where not judged
            or (thresholds, basis) is distinct from (judged_thresholds, judged_basis)"
    );
    let settings = settings.fetch_all(&mut *connection).await?;
    let of_tiers = sqlx::query!(
        "select tier, feature, included::text from tier_limits
         where not judged or included is distinct from judged_included"
    );
    let of_tiers = of_tiers.fetch_all(&mut *connection).await?;
    Ok(MovedLimits {
        tiers,
        overrides: overrides
            .into_iter()
            .map(|row| (row.org_id, row.feature, row.included))
            .collect(),
        settings,
        of_tiers: of_tiers.into_iter().map(|row| (row.tier, row.feature, row.included)).collect(),
    })
}

/// Remembers that limits of some orgs, as they were read, have been judged by.
pub async fn remember_limits(
    connection: &mut PgConnection,
    moved: &MovedLimits,
    orgs: &[Uuid],
) -> Result<(), StoreError> {
    let asked: HashSet<Uuid> = orgs.iter().copied().collect();
    for (tier, orgs) in &moved.tiers {
        let page: Vec<Uuid> = orgs.iter().filter(|org| asked.contains(org)).copied().collect();
        if page.is_empty() {
            continue;
        }
        let written = sqlx::query!(
            "update organizations set judged_tier = $1 where id = any($2)",
            tier,
            &page
        );
        written.execute(&mut *connection).await?;
    }
    let overrides: Vec<_> =
        moved.overrides.iter().filter(|(org, ..)| asked.contains(org)).collect();
    if !overrides.is_empty() {
        let orgs: Vec<Uuid> = overrides.iter().map(|row| row.0).collect();
        let features: Vec<&str> = overrides.iter().map(|row| row.1.as_str()).collect();
        let included: Vec<Option<&str>> = overrides.iter().map(|row| row.2.as_deref()).collect();
        let written = sqlx::query!(
            "update limit_overrides l set judged = true, judged_included = m.included::numeric
             from unnest($1::uuid[], $2::text[], $3::text[]) as m (org_id, feature, included)
             where l.org_id = m.org_id and l.feature = m.feature",
            &orgs,
            &features as &[&str],
            &included as &[Option<&str>]
        );
        written.execute(&mut *connection).await?;
    }
    let settings: Vec<&Settings> =
        moved.settings.iter().filter(|row| asked.contains(&row.org_id)).collect();
    // Most settings are alike, and those of one statement have the same: read as an array in `set`,
    // a row's text would fail where rows are on many machines.
    let mut alike: BTreeMap<(Option<&str>, Option<&str>), Vec<&Settings>> = BTreeMap::new();
    for row in settings {
        alike.entry((row.thresholds.as_deref(), row.basis.as_deref())).or_default().push(row);
    }
    for ((thresholds, basis), rows) in alike {
        let orgs: Vec<Uuid> = rows.iter().map(|row| row.org_id).collect();
        let features: Vec<&str> = rows.iter().map(|row| row.feature.as_str()).collect();
        let written = sqlx::query!(
            "update org_alert_settings s
             set judged = true, judged_thresholds = $3::text::smallint[], judged_basis = $4
             from unnest($1::uuid[], $2::text[]) as m (org_id, feature)
             where s.org_id = m.org_id and s.feature = m.feature",
            &orgs,
            &features as &[&str],
            thresholds,
            basis
        );
        written.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The same of what tiers include, which concerns no org in particular.
pub async fn remember_tier_limits(
    connection: &mut PgConnection,
    moved: &MovedLimits,
) -> Result<(), StoreError> {
    if moved.of_tiers.is_empty() {
        return Ok(());
    }
    let tiers: Vec<&str> = moved.of_tiers.iter().map(|row| row.0.as_str()).collect();
    let features: Vec<&str> = moved.of_tiers.iter().map(|row| row.1.as_str()).collect();
    let included: Vec<Option<&str>> = moved.of_tiers.iter().map(|row| row.2.as_deref()).collect();
    let written = sqlx::query!(
        "update tier_limits t set judged = true, judged_included = m.included::numeric
         from unnest($1::text[], $2::text[], $3::text[]) as m (tier, feature, included)
         where t.tier = m.tier and t.feature = m.feature",
        &tiers as &[&str],
        &features as &[&str],
        &included as &[Option<&str>]
    );
    written.execute(connection).await?;
    Ok(())
}

/// Orgs with alerts that wait although their period is over; in order.
pub async fn waiting_in_vain(
    connection: &mut PgConnection,
    now: Instant,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        "select distinct org_id from periodd_alerts
         where state = 'waiting' and period_end <= $1 order by org_id",
        now
    );
    Ok(orgs.fetch_all(connection).await?)
}

/// Ends the wait of some orgs' alerts whose period is over, and returns how many there were.
pub async fn expire_waiting(
    connection: &mut PgConnection,
    orgs: &[Uuid],
    now: Instant,
) -> Result<u64, StoreError> {
    let expired = sqlx::query!(
        "update periodd_alerts set state = 'expired'
         where org_id = any($1) and state = 'waiting' and period_end <= $2",
        orgs,
        now
    );
    Ok(expired.execute(connection).await?.rows_affected())
}
