//! Counters that may have crossed a threshold, with everything that judging them takes.

use futures_util::{Stream, TryStreamExt};
use sqlx::PgConnection;
use uuid::Uuid;

use super::judged::Since;
use crate::billing::quota::Included;
use crate::billing::threshold::Judged;
use crate::billing::{Instant, Period, Quantity};
use crate::store::{StoreError, Transaction};

/// What is watched, as arrays for `unnest`: the features with thresholds or a basis of their own,
/// and what holds for all others.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    pub features: Vec<String>,
    /// The lowest threshold of each; `None` has none.
    pub least: Vec<Option<i16>>,
    /// The basis of each: `allowance` or `included`.
    pub bases: Vec<String>,
    /// The lowest threshold of the others.
    pub default_least: Option<i16>,
    /// The basis of the others.
    pub default_basis: String,
}

/// A counter of a period that contains now: it has crossed the lowest of its thresholds, or was
/// judged before in this period.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub org: Uuid,
    pub feature: String,
    pub period: Period,
    pub used: Quantity,
    pub included: Included,
    /// What was included when alerts looked before, as far as that is known.
    pub included_before: Option<Included>,
    /// What packs have paid for in the period.
    pub drawn: Quantity,
    /// What usable packs hold, without what a rollover that is late will draw.
    pub usable: Quantity,
    /// What expired or was refunded of packs since alerts looked before.
    pub lost: Quantity,
    /// Thresholds of the org's own.
    pub thresholds: Option<Vec<i16>>,
    pub basis: String,
    /// What an earlier pass found.
    pub then: Option<Then>,
    /// The column with a quantity that cannot be counted with: nothing can be said about the
    /// counter.
    pub unreadable: Option<String>,
}

/// What an earlier pass found, with the place of that judgement in their row.
#[derive(Debug, Clone)]
pub struct Then {
    pub judged: Judged,
    /// The place: what is decided now is written only while it stands there.
    pub seq: i32,
}

struct Row {
    org_id: Uuid,
    feature: String,
    period_start: Instant,
    period_end: Instant,
    used: Quantity,
    included: Option<Quantity>,
    included_before: Option<Quantity>,
    knows_before: bool,
    drawn: Quantity,
    usable: Quantity,
    lost: Quantity,
    thresholds: Option<Vec<i16>>,
    basis: String,
    generation: Option<i32>,
    limit_then: Option<Quantity>,
    used_then: Option<Quantity>,
    seq: Option<i32>,
    unreadable: Option<String>,
    told: Vec<i16>,
    waiting: Vec<i16>,
}

impl From<Row> for Candidate {
    fn from(row: Row) -> Self {
        let levels = |levels: Vec<i16>| -> Vec<u8> {
            levels.into_iter().filter_map(|level| u8::try_from(level).ok()).collect()
        };
        let then = match (row.generation, row.used_then, row.seq) {
            (Some(generation), Some(used), Some(seq)) => {
                let limit = Included::from(row.limit_then);
                let (told, waiting) = (levels(row.told), levels(row.waiting));
                Some(Then { judged: Judged { generation, limit, used, told, waiting }, seq })
            }
            _ => None,
        };
        Self {
            org: row.org_id,
            feature: row.feature,
            period: Period { start: row.period_start, end: row.period_end },
            used: row.used,
            included: Included::from(row.included),
            included_before: row.knows_before.then(|| Included::from(row.included_before)),
            drawn: row.drawn,
            usable: row.usable,
            lost: row.lost,
            thresholds: row.thresholds,
            basis: row.basis,
            then,
            unreadable: row.unreadable,
        }
    }
}

/// One text for two ways to come by counters: all of them, or those of some orgs.
///
/// What the org's tier includes is compared first: an allowance is never less while its period is
/// open, so `periodd_limit` is asked for the few counters that come through, and for those of orgs
/// whose period has ended unclosed. Their counter is that of the period that contains now, as the
/// functions count.
macro_rules! candidates {
    ($from:literal, $($argument:expr),*) => {
        sqlx::query_as!(
            Row,
            r#"with open as not materialized (
                   select c.org_id, c.feature, c.period_start, c.period_end, c.used,
                          o.current_period_end <= $1 as is_late,
                          case when l.org_id is not null then l.included else t.included end
                              as granted,
                          -- What is kept was included before, too.
                          case when l.judged
                               then l.judged_included
                                    + greatest(0, c.included_at_least - l.judged_included)
                               when b.judged
                               then b.judged_included
                                    + greatest(0, c.included_at_least - b.judged_included)
                               else b.included
                                    + greatest(0, c.included_at_least - b.included) end
                              as included_before,
                          -- A new override of an org that was never looked at has no before.
                          l.judged is true
                          or b.tier is not null
                             and (l.org_id is null or o.judged_tier is not null)
                              as knows_before,
                          coalesce(s.thresholds, a.thresholds) as thresholds,
                          coalesce(s.basis, a.basis, f.basis, $8) as basis,
                          case when s.thresholds is not null or a.thresholds is not null
                               then (select min(x) from
                                     unnest(coalesce(s.thresholds, a.thresholds)) as x)
                               when f.feature is not null then f.least
                               else $7 end as least,
                          j.generation, j.quantity as limit_then, j.used as used_then, j.seq
                   from "#
                + $from
                + r#" left join limit_overrides l
                        on l.org_id = c.org_id and l.feature = c.feature
                   left join tier_limits t
                        on t.tier = o.subscription_tier and t.feature = c.feature
                   left join tier_limits b
                        on b.tier = coalesce(o.judged_tier, o.subscription_tier)
                       and b.feature = c.feature
                   left join org_alert_settings s
                        on s.org_id = c.org_id and s.feature = c.feature
                   left join org_alert_settings a on a.org_id = c.org_id and a.feature = '*'
                   left join unnest($4::text[], $5::smallint[], $6::text[])
                             as f (feature, least, basis) on f.feature = c.feature
                   left join periodd_alert_limits j
                        on j.org_id = c.org_id and j.period_start = c.period_start
                       and j.feature = c.feature
                   where c.period_start <= $1 and c.period_end > $1
                     and c.period_start >= o.current_period_start
                     and o.parked_at is null
                     and not periodd_is_paused(o.paused_from, o.paused_until, $1)
                     -- A level that is yet to be carried over waits for that.
                     and case when c.period_start > o.current_period_start
                              then periodd_carried(c.org_id, c.feature, c.period_start) is null
                              else true end
                     and (o.current_period_end <= $1 or l.org_id is not null
                          or t.tier is not null)),
               over as materialized (
                   select * from open
                   where seq is not null
                      or (used > 0 and (is_late or used * 100 >= granted * least))),
               limited as (
                   select v.org_id, v.feature, v.period_start, v.period_end, v.used,
                          v.included_before, v.knows_before, v.thresholds, v.basis, v.least,
                          v.generation, v.limit_then, v.used_then, v.seq,
                          a.included, a.drawn, a.usable, a.allowance
                   from over v
                   cross join lateral periodd_limit(v.org_id, v.feature, $1) a
                   where a.is_granted and a.period_start = v.period_start),
               packed as materialized (
                   select v.*,
                          (select coalesce(sum(e.quantity), 0)
                           from overage_entries e
                           join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
                           where e.org_id = v.org_id and p.feature = v.feature
                             and (e.kind in ('refunded', 'moved') and e.recorded_at >= $3
                                  or e.kind = 'expired' and e.at > $2 and e.at <= $1))
                          -- Packs that have expired and are not settled yet, without what they will
                          -- have paid for by then.
                          + (select greatest(0, coalesce(sum(p.remaining), 0) - case
                                 when v.drawn > 0 then v.drawn - (
                                     select coalesce(sum(e.quantity), 0)
                                     from overage_entries e
                                     join overage_packs k
                                         on k.org_id = e.org_id and k.id = e.pack_id
                                     where e.org_id = v.org_id and e.period_start = v.period_start
                                       and e.kind = 'drawn' and k.feature = v.feature)
                                 else 0 end)
                             from overage_packs p
                             where p.org_id = v.org_id and p.feature = v.feature
                               and p.expires_at > $2 and p.expires_at <= $1 and p.remaining > 0)
                              as lost
                   from limited v),
               -- A row with a quantity that no program counts with is shown without it.
               checked as (
                   select v.*,
                          case when not (abs(v.used) < 1e22 and v.used = round(v.used, 6)) then
                                   'usage_counters.used'
                               when not coalesce(abs(v.included) < 1e22
                                        and v.included = round(v.included, 6), true)
                                    or not coalesce(abs(v.included_before) < 1e22
                                        and v.included_before = round(v.included_before, 6), true)
                                    then 'limit_overrides.included or tier_limits.included'
                               when not (abs(v.drawn) < 1e22 and v.drawn = round(v.drawn, 6))
                                    or not (abs(v.usable) < 1e22 and v.usable = round(v.usable, 6))
                                    or not (abs(v.lost) < 1e22 and v.lost = round(v.lost, 6))
                                    then 'overage_packs.remaining'
                               when not coalesce(abs(v.limit_then) < 1e22
                                        and v.limit_then = round(v.limit_then, 6), true)
                                    or not coalesce(abs(v.used_then) < 1e22
                                        and v.used_then = round(v.used_then, 6), true)
                                    then 'periodd_alert_limits.quantity or used' end
                              as unreadable
                   from packed v)
               select v.org_id as "org_id!", v.feature as "feature!",
                      v.period_start as "period_start!", v.period_end as "period_end!",
                      case when v.unreadable is null then v.used else 0 end as "used!",
                      case when v.unreadable is null then v.included end as "included?",
                      case when v.unreadable is null then v.included_before end
                          as "included_before?",
                      v.knows_before as "knows_before!",
                      case when v.unreadable is null then v.drawn else 0 end as "drawn!",
                      case when v.unreadable is null then v.usable else 0 end as "usable!",
                      case when v.unreadable is null then v.lost else 0 end as "lost!",
                      v.thresholds as "thresholds?", v.basis as "basis!",
                      v.generation as "generation?",
                      case when v.unreadable is null then v.limit_then end as "limit_then?",
                      case when v.unreadable is null then v.used_then end as "used_then?",
                      v.seq as "seq?", v.unreadable as "unreadable?",
                      case when v.seq is null then '{}' else array(
                          select t.threshold from periodd_alerts t
                          where t.org_id = v.org_id and t.period_start = v.period_start
                            and t.feature = v.feature and t.generation = v.generation
                            and t.state <> 'waiting') end as "told!",
                      case when v.seq is null then '{}' else array(
                          select t.threshold from periodd_alerts t
                          where t.org_id = v.org_id and t.period_start = v.period_start
                            and t.feature = v.feature and t.generation = v.generation
                            and t.state = 'waiting') end as "waiting!"
               from checked v
               where v.seq is not null or v.unreadable is not null
                  or v.used * 100 >= v.least * case v.basis
                         when 'included' then v.included
                         else v.allowance end"#,
            $($argument),*
        )
    };
}

/// Begins the transaction that all counters are read in: tables as a whole, and not without end
/// where somebody holds one of them.
pub async fn begin_reading(connection: &mut PgConnection) -> Result<Transaction<'_>, StoreError> {
    use sqlx::Connection;
    Ok(connection.begin_with("begin; set local lock_timeout = '5s'").await?)
}

/// The candidates among all counters, one by one.
pub fn each<'a>(
    connection: &'a mut PgConnection,
    watch: &'a Watch,
    since: &'a Since,
) -> impl Stream<Item = Result<Candidate, StoreError>> + 'a {
    let rows = candidates!(
        "organizations o join usage_counters c on c.org_id = o.id",
        since.now,
        since.packs,
        since.real,
        &watch.features,
        &watch.least as &[Option<i16>],
        &watch.bases,
        watch.default_least as Option<i16>,
        watch.default_basis
    );
    rows.fetch(connection).map_ok(Candidate::from).map_err(StoreError::from)
}

/// The candidates among the counters of some orgs.
pub async fn of_orgs(
    connection: &mut PgConnection,
    watch: &Watch,
    since: &Since,
    orgs: &[Uuid],
) -> Result<Vec<Candidate>, StoreError> {
    let rows = candidates!(
        "unnest($9::uuid[]) as asked (org_id)
         join organizations o on o.id = asked.org_id
         join usage_counters c on c.org_id = o.id",
        since.now,
        since.packs,
        since.real,
        &watch.features,
        &watch.least as &[Option<i16>],
        &watch.bases,
        watch.default_least as Option<i16>,
        watch.default_basis,
        orgs
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(Candidate::from).collect())
}

/// The orgs of which something moved that alerts judge by, or for whose waiting alerts there may
/// be a recipient now; in order.
pub async fn changed(
    connection: &mut PgConnection,
    since: &Since,
) -> Result<Vec<Uuid>, StoreError> {
    let orgs = sqlx::query_scalar!(
        r#"select moved.org_id as "org_id!" from (
               select c.org_id from usage_counters c
               where c.sync_status = 'pending' and c.period_start <= $1 and c.period_end > $1
               union select c.org_id from usage_counters c
               where c.last_synced_at >= $3 and c.period_start <= $1 and c.period_end > $1
               union select o.id from organizations o where o.judged_tier <> o.subscription_tier
               union select l.org_id from limit_overrides l
               where not l.judged or l.included is distinct from l.judged_included
               union select s.org_id from org_alert_settings s
               where not s.judged
                  or (s.thresholds, s.basis) is distinct from (s.judged_thresholds, s.judged_basis)
               union select p.org_id from overage_packs p
               where p.expires_at is not null and p.expires_at > $2 and p.expires_at <= $1
               union select e.org_id from overage_entries e
               where e.kind = 'refunded' and e.recorded_at >= $3
               union select a.org_id from periodd_alerts a
               where a.state = 'waiting' and a.period_end > $1
                 and (exists (select from org_contacts c where c.org_id = a.org_id)
                      or exists (select from users u where u.organization_id = a.org_id))
           ) as moved order by moved.org_id"#,
        since.now,
        since.packs,
        since.real
    );
    Ok(orgs.fetch_all(connection).await?)
}
