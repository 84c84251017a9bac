//! All open counters, read by one statement: by tier and tenth of the allowance, those with most
//! usage, and those that come nearest to the end of their allowance.

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::Transaction;
use crate::store::db::error::StoreError;

/// Orgs that are named of each feature.
const MOST: i64 = 20;
/// Orgs whose forecast is worth a look, of each feature.
pub const NEAR: i64 = 200;

/// Orgs of one tier that have used as many tenths of their allowance.
#[derive(Debug, Clone)]
pub struct Group {
    pub feature: String,
    pub tier: String,
    /// Whole tenths, twelve at most; `None`: nothing limits them.
    pub tenth: Option<usize>,
    pub orgs: i64,
    pub used: Quantity,
    /// What tiers and overrides include, of those that are limited.
    pub included: Quantity,
}

/// An org that has used a feature.
#[derive(Debug, Clone)]
pub struct Share {
    pub feature: String,
    pub org: Uuid,
    pub used: Quantity,
    /// `None`: nothing limits it.
    pub allowance: Option<Quantity>,
    pub period_end: Instant,
    /// tz database name, as stored.
    pub time_zone: String,
}

/// What the counters say.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    pub groups: Vec<Group>,
    /// Those with most usage, by feature.
    pub most: Vec<Share>,
    /// Those that would use up their allowance first at their pace since their period began, and a
    /// half faster than that before it ends: at most [`NEAR`] of each feature.
    pub near: Vec<Share>,
}

/// Begins the reading: nothing is locked or written, and it ends within a minute.
pub async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_>, StoreError> {
    // Sorted and joined in memory.
    let begin = "begin read only; set local statement_timeout = '60s';
                 set local lock_timeout = '5s'; set local work_mem = '64MB'";
    Ok(connection.begin_with(begin).await?)
}

/// Reads the counters of the periods that contain `now`. Parked orgs are left out, and counters
/// with a quantity that no program counts with. Only counters of orgs with packs, or whose period
/// has ended unclosed, need `periodd_limit`: of all others the allowance is what is included.
#[expect(clippy::too_many_lines, reason = "one statement, read in one snapshot")]
pub async fn take(connection: &mut PgConnection, now: Instant) -> Result<Taken, StoreError> {
    let rows = sqlx::query!(
        r#"with packed as materialized (
               select distinct p.org_id, p.feature
               from overage_packs p join organizations o on o.id = p.org_id
               where p.remaining <> 0 or p.entries = 0 or p.expires_at > o.current_period_start),
           open as (
               select c.org_id, c.feature, c.used, c.period_start, c.period_end,
                      o.subscription_tier as tier, o.time_zone,
                      case when l.org_id is not null then l.included else t.included end
                          as included,
                      k.org_id is not null or o.current_period_end <= $1
                      or l.org_id is null and t.tier is null
                      -- A limit that has fallen, or may have.
                      or c.included_at_least > 0
                      or c.included_seen > case when l.org_id is not null then l.included
                                                else t.included end as is_special
               from organizations o
               join usage_counters c on c.org_id = o.id
               left join limit_overrides l on l.org_id = c.org_id and l.feature = c.feature
               left join tier_limits t
                    on t.tier = o.subscription_tier and t.feature = c.feature
               left join packed k on k.org_id = c.org_id and k.feature = c.feature
               where c.period_start <= $1 and c.period_end > $1
                 and c.period_start >= o.current_period_start and o.parked_at is null
                 and c.used > 0 and c.used < 1e22 and c.used = round(c.used, 6)),
           limited as (
               select v.org_id, v.feature, v.used, v.period_start, v.period_end, v.tier,
                      v.time_zone,
                      case when v.is_special then a.included else v.included end as included,
                      case when v.is_special then a.allowance else v.included end as allowance
               from open v
               left join lateral (
                   select f.included, f.allowance
                   from periodd_limit(v.org_id, v.feature, $1) f
                   where v.is_special
                   -- Keeps the condition before the call.
                   offset 0) a on true),
           counters as materialized (
               select v.*,
                      -- The least of null and a number is the number.
                      case when v.allowance is null then null
                           when v.allowance = 0 then 12
                           else least(trunc(v.used * 10 / v.allowance), 12)::int end as tenth,
                      -- How long what is left lasts, in seconds, at the pace of this period.
                      case when v.allowance > v.used then
                          (v.allowance - v.used) / v.used
                          * greatest(extract(epoch from $1 - v.period_start), 1) end as lasts
               from limited v
               where coalesce(abs(v.allowance) < 1e22 and v.allowance = round(v.allowance, 6)
                              and abs(v.included) < 1e22, true)),
           sums as (
               select feature, tier, tenth, count(*) as orgs,
                      least(sum(used), 9999999999999999999999.999999) as used,
                      least(coalesce(sum(round(included, 6)), 0), 9999999999999999999999.999999)
                          as included
               from counters group by 1, 2, 3),
           most as (
               select * from (
                   select c.*, row_number() over (
                              partition by c.feature order by c.used desc, c.org_id) as place
                   from counters c) m
               where m.place <= $2),
           near as (
               select * from (
                   select c.*, row_number() over (
                              partition by c.feature order by c.lasts, c.org_id) as place
                   from counters c
                   where c.lasts <= 1.5 * extract(epoch from c.period_end - $1)
                     -- A level has no pace.
                     and not exists (select from features f
                                     where f.feature = c.feature and f.kind = 'level')) n
               where n.place <= $3)
           select 'sum' as "kind!", feature as "feature!", tier as "tier?", tenth as "tenth?",
                  orgs as "orgs?", used as "used!", included as "included?",
                  null::uuid as "org?", null::numeric as "allowance?",
                  null::timestamptz as "period_end?", null::text as "time_zone?", 0 as "place!"
           from sums
           union all
           select 'most', feature, null, null, null, used, null, org_id, allowance, period_end,
                  time_zone, place from most
           union all
           select 'near', feature, null, null, null, used, null, org_id, allowance, period_end,
                  time_zone, place from near
           order by 1, 2, 12"#,
        now,
        MOST,
        NEAR
    );
    let mut taken = Taken::default();
    for row in rows.fetch_all(connection).await? {
        if let (Some(org), Some(period_end), Some(time_zone)) =
            (row.org, row.period_end, row.time_zone)
        {
            let (feature, used, allowance) = (row.feature, row.used, row.allowance);
            let share = Share { feature, org, used, allowance, period_end, time_zone };
            if row.kind == "most" {
                taken.most.push(share);
            } else {
                taken.near.push(share);
            }
            continue;
        }
        taken.groups.push(Group {
            feature: row.feature,
            tier: row.tier.unwrap_or_default(),
            tenth: row.tenth.and_then(|tenth| usize::try_from(tenth).ok()),
            orgs: row.orgs.unwrap_or_default(),
            used: row.used,
            included: row.included.unwrap_or_default(),
        });
    }
    Ok(taken)
}
