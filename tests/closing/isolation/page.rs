//! An org that is due, and its plan: read through the store's own functions, as a pass does.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use periodd::billing::check::check;
use periodd::billing::org::OrgState;
use periodd::billing::rollover::{self, OrgSnapshot, Usage};
use periodd::billing::timeline::{CatchUp, Early, Policy, Timeline};
use periodd::billing::{Calendar, Cycle, Instant};
use periodd::store::rollover::apply;
use periodd::store::rollover::planned::{EndsSource, Planned, Stamp};
use periodd::store::rollover::snapshot::{self, Features, Window};
use periodd::store::{Connection, LockTimeout, StoreError, begin_within};
use periodd::tz::TzData;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::{TestDatabase, at};

/// May has ended, and nobody has looked.
const NOW: &str = "2026-06-02T00:00:00Z";

/// An org whose May has ended: 500 included, 480 counted, 60 not counted yet, a pack of 100 that
/// has to pay 40, a user whose scrapes are shown, and a tier to come.
pub(crate) async fn due_org() -> TestDatabase {
    let test = TestDatabase::new().await;
    let acme = "--at 2026-05-03T00:00:00Z orgs add acme --name Acme --zone UTC --tier pro";
    test.periodd(&acme.split(' ').collect::<Vec<_>>()).exits(0);
    test.sql(
        "insert into tier_limits values ('pro', 'minutes_transcribed', 500),
                                        ('starter', 'minutes_transcribed', 100);
         update organizations set next_subscription_tier = 'starter';
         insert into users (organization_id, email, usage_this_month)
         select id, 'ada@example.org', 7 from organizations;
         select grant_overage_pack(id, 'minutes_transcribed', 100, 'pack', null, '2026-05-04')
         from organizations;
         select record_usage(id, 'minutes_transcribed', 480, null, '2026-05-10')
         from organizations;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'minutes_transcribed', 60, '2026-05-15' from organizations",
    )
    .await;
    test
}

/// Reads the org and plans its rollover.
pub(crate) async fn plan(connection: &mut Connection) -> Planned {
    let org: Uuid = sqlx::query_scalar("select id from organizations")
        .fetch_one(&mut *connection)
        .await
        .expect("an org");
    let now = at(NOW);
    let row = snapshot::orgs(connection, &[org]).await.expect("the org's row").remove(0);
    let calendar = calendar(&row.state);
    let policy = policy();
    let timeline = Timeline::of(&row.state, &calendar, &policy, now).expect("a timeline");
    let windows: Vec<Window> =
        timeline.windows().into_iter().map(|period| Window { org, period }).collect();
    let features = &mut Features::default();
    let uncounted = snapshot::orgs_with_uncounted(connection, &[org]).await.expect("an answer");
    let counting = if uncounted.is_empty() { Vec::new() } else { windows };
    let counted =
        snapshot::uncounted_sums(connection, &counting, None, features).await.expect("sums");
    let since = [(org, timeline.start())];
    let counters = snapshot::counters(connection, &since, None, features).await.expect("counters");
    let open = row.state.period.expect("a period").period.start;
    let (_, draws) = snapshot::draws(connection, &[(org, open)], None).await.expect("draws");
    let packs =
        snapshot::packs(connection, &[org], &BTreeSet::new(), None, features).await.expect("packs");
    let snapshot = OrgSnapshot {
        usage: sums(
            counters
                .into_iter()
                .map(|counter| counter.usage)
                .chain(counted.iter().map(|(_, usage)| usage.clone())),
        ),
        kept: Vec::new(),
        used_before: [].into(),
        packs: packs.into_iter().map(|(_, pack)| pack).collect(),
        draws: draws.into_iter().map(|(_, draw)| draw).collect(),
        limits: Arc::new(snapshot::tier_limits(connection).await.expect("limits").0),
        levels: Arc::default(),
        overrides: Vec::new(),
        ended_tier: policy.ended_tier.as_str().into(),
        org: row.state,
        timeline,
    };
    let plan = rollover::plan(&snapshot, now).expect("a plan");
    assert_eq!(check(&plan), []);
    let source = EndsSource {
        time_zone: snapshot.org.time_zone,
        cycle: snapshot.org.cycle,
        anchor_day: snapshot.org.anchor_day,
        anchor_month: snapshot.org.anchor_month,
        anchor_time: snapshot.org.anchor_time,
        tzdb: snapshot.org.ends_tzdb,
    };
    Planned { plan, source, counting, expects_to_count: counted }
}

fn policy() -> Policy {
    let ended_tier = "free".to_owned();
    Policy { catch_up: CatchUp::Replay, max_periods: 12, ended_tier, early: Early::No }
}

fn calendar(org: &OrgState) -> Calendar {
    let (day, month) = (org.anchor_day.into(), org.anchor_month.into());
    Calendar {
        zone: TzData::newest().zone(&org.time_zone).expect("a zone"),
        cycle: Cycle::new(&org.cycle, day, month).expect("a cycle"),
        time: org.anchor_time,
    }
}

/// What counters hold and what is counted now, added up.
fn sums(usage: impl Iterator<Item = Usage>) -> Vec<Usage> {
    let mut sums: Vec<Usage> = Vec::new();
    for usage in usage {
        let same = |sum: &&mut Usage| {
            sum.feature == usage.feature && sum.period_start == usage.period_start
        };
        match sums.iter_mut().find(same) {
            Some(sum) => sum.used = sum.used.plus(usage.used).expect("in range"),
            None => sums.push(usage),
        }
    }
    sums
}

/// Applies a plan within the transaction in which it was made.
pub(crate) async fn apply(
    connection: &mut Connection,
    planned: &Planned,
) -> Result<HashSet<Uuid>, StoreError> {
    let tz = TzData::newest();
    let stamp = Stamp { now: now(), counted_at: now(), tzdb: tz.release(), raises: 0 };
    apply::apply(connection, std::slice::from_ref(planned), stamp).await
}

pub(crate) fn now() -> Instant {
    at(NOW)
}

/// Reads, plans and applies in one go, and asserts that the org moves.
pub(crate) async fn roll_over(connection: &mut PgConnection) {
    let mut transaction = begin_within(connection, LockTimeout::Long).await.expect("a transaction");
    let planned = plan(&mut transaction).await;
    let moved = apply(&mut transaction, &planned).await.expect("no conflict");
    assert_eq!(moved, [planned.plan.org].into());
    transaction.commit().await.expect("committed");
}

/// Runs statements on a connection of one's own.
pub(crate) async fn execute(connection: &mut PgConnection, statements: &str) {
    let script = sqlx::AssertSqlSafe(statements.to_owned());
    if let Err(error) = sqlx::raw_sql(script).execute(connection).await {
        panic!("{error}\nin {statements}");
    }
}

/// What May used, drew and left uncovered, and what the packs hold.
pub(crate) async fn closed(test: &TestDatabase) -> Vec<String> {
    let mut rows =
        test.rows("select used, drawn, uncovered from billing_period_usage order by feature").await;
    rows.extend(test.rows("select reference, remaining from overage_packs order by 1").await);
    rows
}
