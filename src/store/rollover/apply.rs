//! Applying plans: one transaction per page, one idea per statement, every write guarded.
//!
//! The org's row goes first. It moves only while it still stands as the plan expects, and only
//! what it lets through is written after it. Anything else that does not move as planned means
//! that someone else was faster: the page is rolled back, read again and planned anew.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use super::carry;
use super::guards;
use super::planned::{EndsSource, Planned, Stamp, closes};
use super::prices;
use super::snapshot::{OrgUsage, Window};
use crate::billing::org::SubscriptionChange;
use crate::billing::parking::ParkedCode;
use crate::billing::rollover::{ClosedUsage, Plan};
use crate::billing::{Anchor, Instant, Quantity, TimeOfDay};
use crate::store::db::error::StoreError;
use crate::store::events;
use crate::store::usage;
use crate::store::usage::kept::{self, KeptLimits};

/// An org to park, with the revision that was read.
#[derive(Debug, Clone)]
pub struct Parking {
    pub org: Uuid,
    /// The revision that the reason was found at; `None` for a row that cannot be read.
    pub revision: Option<i64>,
    pub code: ParkedCode,
    pub reason: String,
}

/// Applies a page of plans within its transaction, and returns the orgs that moved. An org that
/// does not stand as its plan expects is left alone.
///
/// # Errors
/// [`StoreError::Conflict`] when something but an org's row did not move as planned: the
/// transaction has to be dropped then.
pub async fn apply(
    connection: &mut PgConnection,
    page: &[Planned],
    stamp: Stamp<'_>,
) -> Result<HashSet<Uuid>, StoreError> {
    let moved = move_orgs(connection, page, stamp).await?;
    let page: Vec<&Planned> = page.iter().filter(|p| moved.contains(&p.plan.org)).collect();
    // Counting remembers what is granted in the open period: by the tier that holds in it.
    change_subscription(connection, &page).await?;
    guards::hold(connection, &page, stamp.counted_at).await?;
    move_ends(connection, &page, stamp).await?;
    count(connection, &page, stamp).await?;
    carry::over(connection, &page, stamp).await?;
    close_periods(connection, &page, stamp).await?;
    move_packs(connection, &page).await?;
    write_entries(connection, &page).await?;
    if events::are_heard(connection).await? {
        tell(connection, &page, stamp.now).await?;
    }
    restart_cycles(connection, &page).await?;
    reset_users(connection, &page).await?;
    guards::drop_unused(connection, &page, stamp.counted_at).await?;
    // Last, for what comes after it is late usage.
    guards::compare(connection, &page).await?;
    Ok(moved)
}

/// Moves the orgs' rows on: the compare-and-set that everything else hangs on.
async fn move_orgs(
    connection: &mut PgConnection,
    page: &[Planned],
    stamp: Stamp<'_>,
) -> Result<HashSet<Uuid>, StoreError> {
    let mut cohorts = Cohorts::default();
    let rows: Vec<i32> = page.iter().map(|planned| cohorts.place(planned)).collect();
    let column = |of: fn(&Plan) -> Quantity| -> Vec<Quantity> {
        page.iter().map(|planned| of(&planned.plan)).collect()
    };
    let ids: Vec<Uuid> = page.iter().map(|planned| planned.plan.org).collect();
    let starts: Vec<Instant> = page.iter().map(|planned| planned.plan.open.start).collect();
    let expected_ends: Vec<Option<Instant>> =
        page.iter().map(|planned| planned.plan.expected.period_end).collect();
    let revisions: Vec<i64> = page.iter().map(|planned| planned.plan.expected.revision).collect();
    let moved = sqlx::query_scalar!(
        r#"update organizations o set
               current_period_start = p.opens,
               current_period_end = c.ends,
               current_period_end_date = c.end_date,
               next_period_ends = c.next_ends,
               ends_time_zone = c.time_zone,
               ends_cycle = c.cycle,
               ends_anchor_day = c.anchor_day,
               ends_anchor_month = c.anchor_month,
               -- As it stands there: what is finer than a second would be stale for ever.
               ends_anchor_time = o.anchor_time,
               -- Other rules for the zone move only an end that came from them.
               ends_tzdb_version = case when c.is_nominal then $18 end,
               period_day_ends = c.day_ends,
               used_minutes = p.used_minutes,
               overage_minutes = p.overage_minutes,
               overage_minutes_written = p.overage_written,
               overage_minutes_granted = 0,
               period_tier = case when o.current_period_start = p.opens and o.period_tier <> ''
                   then o.period_tier else o.subscription_tier end,
               revision = o.revision + $20
           -- In the order of their ids, as everybody locks the rows of several orgs.
           from (select * from unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::timestamptz[],
                                      $5::bigint[], $6::numeric[], $7::numeric[], $8::numeric[],
                                      $9::numeric[])
                    as p (id, cohort, opens, expected_end, revision,
                          used_minutes, overage_minutes, overage_written, overage_expected)
                 order by id) p
           -- Arrays are cut here: no subscript may stand in `set` where rows are on many machines.
           join (select u.*, ($17::timestamptz[])[u.next_from : u.next_upto] as next_ends,
                        case when u.days_from <= u.days_upto
                             then ($22::timestamptz[])[u.days_from : u.days_upto] end as day_ends
                 from unnest($10::timestamptz[], $11::date[], $12::text[], $13::text[],
                             $14::smallint[], $15::smallint[], $21::time[], $16::int[], $19::int[],
                             $23::int[], $24::int[], $25::boolean[])
                          with ordinality
                          as u (ends, end_date, time_zone, cycle, anchor_day, anchor_month,
                                anchor_time, next_from, next_upto, days_from, days_upto,
                                is_nominal, cohort)) c
             on c.cohort = p.cohort
           where o.id = p.id
             and (o.current_period_end is not distinct from p.expected_end
                  or (o.current_period_start is null and p.expected_end is null))
             and o.revision = p.revision
             and o.overage_minutes = p.overage_expected
             and o.parked_at is null
             and o.time_zone = c.time_zone and o.cycle = c.cycle
             and o.anchor_day = c.anchor_day and o.anchor_month = c.anchor_month
             -- As it is read: in whole seconds of the day.
             and o.anchor_time >= c.anchor_time
             and (o.anchor_time - c.anchor_time < $26 or o.anchor_time = '24:00:00')
           returning o.id"#,
        &ids,
        &rows,
        &starts,
        &expected_ends as &[Option<Instant>],
        &revisions,
        &column(|plan| plan.derived.used_minutes),
        &column(|plan| plan.derived.overage_minutes),
        &column(|plan| plan.derived.overage_minutes_written),
        &column(|plan| plan.expected.overage_minutes),
        &cohorts.ends,
        &cohorts.end_dates,
        &cohorts.time_zones,
        &cohorts.cycles,
        &cohorts.anchor_days,
        &cohorts.anchor_months,
        &cohorts.next_from,
        &cohorts.next_ends,
        stamp.tzdb,
        &cohorts.next_upto,
        stamp.raises,
        &cohorts.anchor_times,
        &cohorts.day_ends,
        &cohorts.days_from,
        &cohorts.days_upto,
        &cohorts.are_nominal,
        PgInterval { months: 0, days: 0, microseconds: 1_000_000 }
    );
    Ok(moved.fetch_all(connection).await?.into_iter().collect())
}

/// Orgs of a page that end alike share a row: most of a page do, and their following ends are
/// sent once.
#[derive(Default)]
struct Cohorts {
    places: HashMap<(EndsSource, Instant, bool), i32>,
    ends: Vec<Instant>,
    end_dates: Vec<crate::billing::LocalDate>,
    time_zones: Vec<String>,
    cycles: Vec<String>,
    anchor_days: Vec<i16>,
    anchor_months: Vec<i16>,
    anchor_times: Vec<TimeOfDay>,
    next_from: Vec<i32>,
    next_upto: Vec<i32>,
    next_ends: Vec<Instant>,
    days_from: Vec<i32>,
    days_upto: Vec<i32>,
    are_nominal: Vec<bool>,
    /// None for a cohort whose subscriptions wait for no date.
    day_ends: Vec<Instant>,
}

impl Cohorts {
    /// The place of a plan's cohort, counted from 1 as PostgreSQL counts.
    fn place(&mut self, planned: &Planned) -> i32 {
        let is_dated = !planned.plan.day_ends.is_empty();
        let key = (planned.source.clone(), planned.plan.open.end, is_dated);
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let count = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
        self.ends.push(planned.plan.open.end);
        self.end_dates.push(planned.plan.open_end_date);
        self.time_zones.push(planned.source.time_zone.clone());
        self.cycles.push(planned.source.cycle.clone());
        self.anchor_days.push(planned.source.anchor_day);
        self.anchor_months.push(planned.source.anchor_month);
        self.anchor_times.push(planned.source.anchor_time);
        self.next_from.push(count(self.next_ends.len()) + 1);
        self.next_ends.extend(&planned.plan.next_ends);
        self.next_upto.push(count(self.next_ends.len()));
        self.days_from.push(count(self.day_ends.len()) + 1);
        self.day_ends.extend(&planned.plan.day_ends);
        self.days_upto.push(count(self.day_ends.len()));
        self.are_nominal.push(planned.plan.is_nominal);
        let place = count(self.ends.len());
        self.places.insert(key, place);
        place
    }
}

/// Ends that newer zone rules moved: a line in their log, and counters that end there too.
async fn move_ends(
    connection: &mut PgConnection,
    page: &[&Planned],
    stamp: Stamp<'_>,
) -> Result<(), StoreError> {
    for planned in page {
        let plan = &planned.plan;
        let Some(before) = plan.moved_from else { continue };
        sqlx::query!(
            "with counters as (
                 update usage_counters set period_end = $3
                 where org_id = $1 and period_start = $4 and period_end = $2),
             user_counters as (
                 update feature_usage set period_end = $3
                 where organization_id = $1 and period_start = $4 and period_end = $2)
             insert into periodd_moved_ends
                 (org_id, moved_at, before, after, tzdb_before, tzdb_after)
             values ($1, $5, $2, $3, $6, $7)",
            plan.org,
            before,
            plan.open.end,
            plan.open.start,
            stamp.now,
            planned.source.tzdb,
            stamp.tzdb
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Counts the metrics that the plans took into account, and makes sure that they are the same.
async fn count(
    connection: &mut PgConnection,
    page: &[&Planned],
    stamp: Stamp<'_>,
) -> Result<(), StoreError> {
    let now = stamp.counted_at;
    let recounts: Vec<(Uuid, Instant)> =
        page.iter().filter_map(|p| Some((p.plan.org, p.plan.recount_from?))).collect();
    let mut limits = KeptLimits::default();
    if !recounts.is_empty() {
        limits = kept::from(connection, &recounts).await?;
        usage::uncount(connection, &recounts, now).await?;
    }
    let windows: Vec<Window> = page.iter().flat_map(|p| p.counting.iter().copied()).collect();
    if windows.is_empty() {
        return Ok(());
    }
    let mut counted = usage::count(connection, &windows, now).await?.usage;
    let mut expected: Vec<OrgUsage> =
        page.iter().flat_map(|p| p.expects_to_count.iter().cloned()).collect();
    let order = |(org, usage): &OrgUsage| (*org, usage.period_start, usage.feature.clone());
    counted.sort_by_key(order);
    expected.sort_by_key(order);
    if counted != expected {
        return Err(StoreError::Conflict("metrics were written or counted meanwhile".to_owned()));
    }
    kept::give_back(connection, &limits).await?;
    // Uses that wait for what was counted again decide anew.
    for planned in page {
        let Some(from) = planned.plan.recount_from else { continue };
        sqlx::query!(
            "update usage_counters c set revision = $3
             where c.org_id = $1 and c.period_start >= $2",
            planned.plan.org,
            from,
            planned.plan.expected.revision + stamp.raises
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Writes the periods that end with everything that was used in them, a row each.
async fn close_periods(
    connection: &mut PgConnection,
    page: &[&Planned],
    stamp: Stamp<'_>,
) -> Result<(), StoreError> {
    let (mut orgs, mut starts, mut ends, mut follows) = (vec![], vec![], vec![], vec![]);
    let (mut zones, mut tiers) = (Vec::<&str>::new(), Vec::<&str>::new());
    let mut are_paused = Vec::new();
    let mut usage = UsageColumns::default();
    let (mut priced, mut currencies) = (Vec::<Option<String>>::new(), Vec::<Option<&str>>::new());
    let (mut unused, mut unused_prices) = (Vec::<String>::new(), Vec::<Option<String>>::new());
    if closes(page).next().is_none() {
        return Ok(());
    }
    let prices = prices::of_tiers(connection).await?;
    for (planned, close) in closes(page) {
        orgs.push(planned.plan.org);
        starts.push(close.period.start);
        ends.push(close.period.end);
        follows.push(close.follows);
        zones.push(&planned.source.time_zone);
        tiers.push(&close.tier);
        are_paused.push(close.is_paused);
        usage.push(&close.features);
        let prices::Kept { used, unused: others } = prices.of(&close.tier, &close.features);
        currencies.push(used.as_ref().map(|(_, currency)| *currency));
        priced.push(used.map(|(cents, _)| array(&cents, |price| or_null(*price))));
        unused.push(array(&others, |(feature, _)| element(feature)));
        let prices = array(&others, |(_, price)| price.to_string());
        unused_prices.push((!others.is_empty()).then_some(prices));
    }
    sqlx::query!(
        "insert into billing_periods (org_id, period_start, period_end, follows, time_zone, tier,
                                      features, used_each, included_each, drawn_each,
                                      uncovered_each, uncovered_prices, currency, tzdb_version,
                                      closed_at, is_paused, unused_features, unused_prices)
         select u.org_id, u.period_start, u.period_end, u.follows, u.time_zone, u.tier,
                u.features::text[], u.used::numeric[], u.included::numeric[],
                u.drawn::numeric[], u.uncovered::numeric[], u.prices::numeric[], u.currency,
                $12, $13, u.is_paused, u.unused::text[], u.unused_prices::numeric[]
         from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[],
                     $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
                     $11::text[], $14::text[], $15::text[], $16::bool[], $17::text[], $18::text[])
                  as u (org_id, period_start, period_end, follows, time_zone, tier,
                        features, used, included, drawn, uncovered, prices, currency, is_paused,
                        unused, unused_prices)",
        &orgs,
        &starts,
        &ends,
        &follows as &[Option<Instant>],
        &zones as &[&str],
        &tiers as &[&str],
        &usage.features,
        &usage.used,
        &usage.included,
        &usage.drawn,
        &usage.uncovered,
        stamp.tzdb,
        stamp.now,
        &priced as &[Option<String>],
        &currencies as &[Option<&str>],
        &are_paused,
        &unused,
        &unused_prices as &[Option<String>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The usage of periods, as the text of an array for each: they differ in length, as arrays within
/// one array must not, and to group one long array by periods would cost more than to read a text.
#[derive(Default)]
struct UsageColumns {
    features: Vec<String>,
    used: Vec<String>,
    included: Vec<String>,
    drawn: Vec<String>,
    uncovered: Vec<String>,
}

impl UsageColumns {
    /// Adds a period.
    fn push(&mut self, usage: &[ClosedUsage]) {
        let numbers = |of: fn(&ClosedUsage) -> Quantity| array(usage, |one| of(one).to_string());
        self.features.push(array(usage, |one| element(&one.feature)));
        self.used.push(numbers(|one| one.used));
        self.included.push(array(usage, |one| or_null(one.included.column())));
        self.drawn.push(numbers(|one| one.drawn));
        self.uncovered.push(numbers(|one| one.uncovered));
    }
}

/// The text of an array.
fn array<T>(list: &[T], element: impl Fn(&T) -> String) -> String {
    let elements: Vec<String> = list.iter().map(element).collect();
    format!("{{{}}}", elements.join(","))
}

/// A quantity as an element of an array.
fn or_null(quantity: Option<Quantity>) -> String {
    quantity.map_or_else(|| "null".to_owned(), |quantity| quantity.to_string())
}

/// A text as an element of an array.
fn element(text: &str) -> String {
    let mut element = String::from('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            element.push('\\');
        }
        element.push(character);
    }
    element.push('"');
    element
}

async fn move_packs(connection: &mut PgConnection, page: &[&Planned]) -> Result<(), StoreError> {
    let (mut orgs, mut packs, mut before) = (vec![], vec![], vec![]);
    let (mut after, mut entries) = (vec![], vec![]);
    for planned in page {
        for &(pack, held) in &planned.plan.packs_before {
            let last = planned.plan.entries.iter().rfind(|entry| entry.pack == pack);
            let Some(last) = last else { continue };
            orgs.push(planned.plan.org);
            packs.push(pack);
            before.push(held);
            after.push(last.remaining);
            entries.push(last.seq);
        }
    }
    if packs.is_empty() {
        return Ok(());
    }
    let moved = sqlx::query!(
        "update overage_packs p set remaining = u.after, entries = u.entries
         from (select * from unnest($1::uuid[], $2::uuid[], $3::numeric[], $4::numeric[],
                                    $5::int[]) as u (org_id, id, before, after, entries)
               order by org_id, id) u
         where p.org_id = u.org_id and p.id = u.id and p.remaining = u.before",
        &orgs,
        &packs,
        &before,
        &after,
        &entries
    )
    .execute(connection)
    .await?;
    if moved.rows_affected() == packs.len() as u64 {
        Ok(())
    } else {
        Err(StoreError::Conflict("a pack changed meanwhile".to_owned()))
    }
}

async fn write_entries(connection: &mut PgConnection, page: &[&Planned]) -> Result<(), StoreError> {
    let (mut orgs, mut packs, mut seqs) = (vec![], vec![], vec![]);
    let (mut kinds, mut quantities, mut ats) = (Vec::<&str>::new(), vec![], vec![]);
    let (mut starts, mut remaining) = (vec![], vec![]);
    for planned in page {
        for entry in &planned.plan.entries {
            orgs.push(planned.plan.org);
            packs.push(entry.pack);
            seqs.push(entry.seq);
            kinds.push(entry.kind.name());
            quantities.push(entry.quantity);
            ats.push(entry.at);
            starts.push(entry.period_start);
            remaining.push(entry.remaining);
        }
    }
    if orgs.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into overage_entries
             (org_id, pack_id, seq, kind, quantity, at, period_start, remaining)
         select * from unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::numeric[],
                              $6::timestamptz[], $7::timestamptz[], $8::numeric[])",
        &orgs,
        &packs,
        &seqs,
        &kinds as &[&str],
        &quantities,
        &ats,
        &starts,
        &remaining
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Enters events about what was closed, drawn, expired and changed: from the rows that were
/// written.
async fn tell(
    connection: &mut PgConnection,
    page: &[&Planned],
    now: Instant,
) -> Result<(), StoreError> {
    let (orgs, starts): (Vec<Uuid>, Vec<Instant>) =
        closes(page).map(|(planned, close)| (planned.plan.org, close.period.start)).unzip();
    events::enter_closes(connection, &orgs, &starts).await?;
    let (mut orgs, mut packs, mut seqs) = (vec![], vec![], vec![]);
    for planned in page {
        for entry in &planned.plan.entries {
            orgs.push(planned.plan.org);
            packs.push(entry.pack);
            seqs.push(entry.seq);
        }
    }
    events::enter_entries(connection, &orgs, &packs, &seqs).await?;
    let changed = page.iter().filter_map(|planned| {
        let change = planned.plan.subscription.as_ref()?;
        Some((planned.plan.org, change.before.tier.as_str()))
    });
    let (orgs, before): (Vec<Uuid>, Vec<&str>) = changed.unzip();
    events::enter_tier_changes(connection, &orgs, &before, now).await
}

/// Tier changes and ended subscriptions; rare, so a statement per org.
async fn change_subscription(
    connection: &mut PgConnection,
    page: &[&Planned],
) -> Result<(), StoreError> {
    for plan in page.iter().map(|planned| &planned.plan) {
        let Some(SubscriptionChange { before, after }) = &plan.subscription else { continue };
        let moved = sqlx::query!(
            "update organizations o set
                 subscription_tier = $2, next_subscription_tier = $3,
                 next_subscription_tier_at = $4, subscription_status = $5,
                 subscription_ends_at = $6, period_tier = $2
             where o.id = $1
               and o.subscription_tier = $7
               and o.next_subscription_tier is not distinct from $8
               and o.next_subscription_tier_at is not distinct from $9
               and o.subscription_status is not distinct from $10
               and nullif(o.subscription_ends_at, 'infinity') is not distinct from $11",
            plan.org,
            after.tier,
            after.next_tier,
            after.next_tier_at,
            after.status,
            after.ends_at,
            before.tier,
            before.next_tier,
            before.next_tier_at,
            before.status,
            before.ends_at
        )
        .execute(&mut *connection)
        .await?;
        if moved.rows_affected() != 1 {
            return Err(StoreError::Conflict("a subscription changed meanwhile".to_owned()));
        }
    }
    Ok(())
}

/// Calendars that begin again; rare, so a statement per org. The row has been moved on before.
async fn restart_cycles(
    connection: &mut PgConnection,
    page: &[&Planned],
) -> Result<(), StoreError> {
    for plan in page.iter().map(|planned| &planned.plan) {
        let Some(Anchor { day, month, time }) = plan.anchored else { continue };
        sqlx::query!(
            "update organizations o set
                 anchor_day = $3, anchor_month = $4, anchor_time = $5,
                 ends_anchor_day = $3, ends_anchor_month = $4, ends_anchor_time = $5,
                 restarted_at = null, restarted_from = null, restarted_on = null,
                 restarted_tier = null, skipped_end_date = null
             where o.id = $1 and o.current_period_start = $2",
            plan.org,
            plan.open.start,
            day,
            month,
            time
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// How often users' rows are read that somebody else had changed before they were written.
const READS_OF_USERS: usize = 3;

/// What users used in the period that is open now, and what is included in it for their org; only
/// rows that show something else change, in the order of their keys. A row that somebody else has
/// changed meanwhile is read again, with its counter: a statement does not see what it waited for.
async fn reset_users(connection: &mut PgConnection, page: &[&Planned]) -> Result<(), StoreError> {
    let orgs: Vec<Uuid> = page.iter().map(|planned| planned.plan.org).collect();
    let starts: Vec<Instant> = page.iter().map(|planned| planned.plan.open.start).collect();
    for _ in 0..READS_OF_USERS {
        let missed = sqlx::query_scalar!(
            r#"with n as materialized (
                   select x.organization_id, x.id, coalesce(f.usage_count, 0) as used, k.included,
                          x.usage_this_month as used_before,
                          x.plan_limits_scrapes as included_before
                   from unnest($1::uuid[], $2::timestamptz[]) as p (org_id, period_start)
                   join organizations o on o.id = p.org_id
                   cross join lateral periodd_included(o.id, 'scrapes', o.subscription_tier) i
                   cross join lateral (
                       select periodd_kept_in(o.id, 'scrapes', p.period_start, i.included)
                                  as included
                       offset 0) k
                   join users x on x.organization_id = o.id
                   left join feature_usage f on f.organization_id = x.organization_id
                        and f.user_id = x.id and f.period_start = p.period_start
                        and f.feature = 'scrapes'
                   where (x.usage_this_month, x.plan_limits_scrapes)
                         is distinct from (coalesce(f.usage_count, 0), k.included)
                   order by x.organization_id, x.id),
               moved as (
                   update users u set usage_this_month = n.used, plan_limits_scrapes = n.included
                   from n
                   where u.organization_id = n.organization_id and u.id = n.id
                     and (u.usage_this_month, u.plan_limits_scrapes)
                         is not distinct from (n.used_before, n.included_before)
                   returning u.id)
               select (select count(*) from n) - (select count(*) from moved) as "missed!""#,
            &orgs,
            &starts
        );
        if missed.fetch_one(&mut *connection).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Parks orgs, each unless it changed since its reason was found. Returns those parked.
pub async fn park(
    connection: &mut PgConnection,
    parkings: &[Parking],
    now: Instant,
) -> Result<HashSet<Uuid>, StoreError> {
    let orgs: Vec<Uuid> = parkings.iter().map(|parking| parking.org).collect();
    let reasons: Vec<String> = parkings.iter().map(|parking| parking.reason.clone()).collect();
    let revisions: Vec<Option<i64>> = parkings.iter().map(|parking| parking.revision).collect();
    let codes: Vec<&str> = parkings.iter().map(|parking| parking.code.name()).collect();
    let parked = sqlx::query_scalar!(
        "update organizations o set parked_at = $4, parked_reason = p.reason, parked_code = p.code
         from (select * from unnest($1::uuid[], $2::text[], $3::bigint[], $5::text[])
                                 as p (id, reason, revision, code)
               order by id) p
         where o.id = p.id and o.revision = coalesce(p.revision, o.revision)
           and o.parked_at is null
         returning o.id",
        &orgs,
        &reasons,
        &revisions as &[Option<i64>],
        now,
        &codes as &[&str]
    );
    Ok(parked.fetch_all(connection).await?.into_iter().collect())
}
