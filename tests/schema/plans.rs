//! How the database goes about each statement once there are many orgs: through an index.

use serde_json::Value;
use sqlx::PgConnection;

use crate::statements::{Statement, of_the_store};
use crate::support::TestDatabase;

/// Tables that grow with the number of orgs, or faster.
const LARGE: [&str; 14] = [
    "billing_periods",
    "feature_usage",
    "limit_overrides",
    "organizations",
    "overage_entries",
    "overage_packs",
    "periodd_alert_limits",
    "periodd_alerts",
    "periodd_events",
    "periodd_outbox",
    "periodd_webhook_outbox",
    "usage_counters",
    "usage_metrics",
    "users",
];
/// What may read a large table from end to end, by a piece of its text, and why.
const MAY_SCAN: [(&str, &str); 35] = [
    ("select distinct c.organization_id, c.user_id", "the doctor goes over all"),
    ("select t.name from periodd_tokens t", "the doctor goes over all tokens"),
    ("from billing_periods where recorded_at <= $1", "stops at the first row of history"),
    ("from periodd_outbox where state = 'sent'", "the demo's, which has a dozen orgs"),
    ("where state = 'sent' and letter is not null", "the demo's, which has a dozen orgs"),
    ("o.next_subscription_tier = t.code)", "whether any org uses a tier that is not named"),
    ("select time_zone, count(*)", "the doctor goes over all"),
    ("from numbered group by 1", "the doctor goes over all"),
    ("select distinct on (e.time_zone)", "a person asks for every zone's next boundary"),
    ("select exists (select 1 from usage_metrics)", "stops at the first row"),
    ("select count(*) as \"count!\" from organizations", "how many orgs a person is asked about"),
    ("($1::uuid is null or o.id = $1)", "lists every org, or shows one"),
    ("where $1::uuid is null or u.organization_id = $1", "lists every user, or those of one org"),
    ("where o.subscription_tier = any($1)", "whom a person's new limits leave over them"),
    ("where id between $1 and $2", "a person names an email by its first digits alone"),
    ("p.email as \"email!\"", "the doctor goes over all"),
    ("where state = $1 and settled_at is not null", "a person sends emails of a state again"),
    ("where $1::uuid is null or p.org_id = $1", "lists every pack, or those of one org"),
    ("max(closed_at) from billing_periods", "the demo's, which has a dozen orgs"),
    ("where b.closed_at = $1", "the demo's, which has a dozen orgs"),
    ("e.kind = 'expired' and e.at > $1 and e.at <= $2", "the demo's, which has a dozen orgs"),
    ("from (select time_zone from organizations limit $1)", "stops at ten thousand rows"),
    ("from billing_period_usage u left join features f", "adds all closed periods up"),
    ("from organizations o join usage_counters c on c.org_id = o.id", "everything, once a day"),
    ("packed as materialized (", "everything, once an hour"),
    ("where state = 'given_up' and settled_at", "a person sends webhooks again that were given up"),
    ("m.state = $2)", "lists every email, or those of one org"),
    ("from periodd_outbox where id = $1", "a person names an email by its id alone"),
    ("c.used * s.whole * 4 >= s.included * s.elapsed * 3", "everything, once an hour"),
    ("where n.org_id = b.org_id and n.kind = 'summary'", "everything, once an hour"),
    ("f.usage_count * 100 >= l.included", "limits of users are few; once an hour"),
    ("($2::uuid is null or l.user_id = $2)", "lists limits of users, which are few"),
    ("select name as \"name?\" from subscription_tiers", "there are a few tiers"),
    ("select feature, unit from features", "there are a few features"),
    ("where a.state = 'waiting' and ($1::uuid is null", "lists what waits, of every org or of one"),
];
/// What is only ever asked in a transaction that scans nothing (`store::begin_within`):
/// the planner takes two columns that differ to be common.
const WHERE_NOTHING_IS_SCANNED: [&str; 5] = [
    "select org_id, feature, included::text from limit_overrides",
    "from organizations where judged_tier <>",
    "from organizations where judged_tier is null",
    "as moved order by moved.org_id",
    "from periodd_notices n where n.kind = 'runs_out'",
];
/// What has to go through an index, by a piece of its text.
const BY_INDEX: [(&str, &str); 41] = [
    ("from organizations where judged_tier is null", "organizations_tier_unjudged"),
    ("where m.counted_at is null and m.organization_id > $1", "usage_metrics_uncounted"),
    ("with pending as", "usage_counters_pending"),
    ("width_bucket(m.created_at, o.bounds)", "usage_metrics_time"),
    ("order by found_at limit $2", "periodd_drift_age"),
    ("as \"due!\"", "organizations_due"),
    ("as \"unopened!\"", "organizations_unopened"),
    ("as \"stale_ends!\"", "organizations_stale_ends"),
    ("as \"expired_packs!\"", "overage_packs_expiring"),
    ("(o.current_period_end, o.id) > ($2, $3)", "organizations_due"),
    ("is null)\n           and o.id > $1", "organizations_unopened"),
    ("and o.has_stale_ends and o.id > $1", "organizations_stale_ends"),
    ("with stamped as", "usage_metrics_uncounted"),
    ("as moved order by moved.org_id", "usage_counters_pending"),
    ("as moved order by moved.org_id", "usage_counters_synced"),
    ("as moved order by moved.org_id", "organizations_tier_moved"),
    ("as moved order by moved.org_id", "overage_packs_ending"),
    ("as moved order by moved.org_id", "overage_entries_refunded"),
    ("update periodd_outbox o set leased_until = $2", "periodd_outbox_due"),
    ("order by period_end limit $4", "periodd_outbox_ending"),
    ("delete from periodd_outbox o using old", "periodd_outbox_settled"),
    ("update periodd_webhook_outbox o set leased_until = $2", "periodd_webhook_outbox_due"),
    ("delete from periodd_webhook_outbox o using old", "periodd_webhook_outbox_settled"),
    ("order by recorded_at limit $4", "periodd_webhook_outbox_waiting"),
    ("order by m.recorded_at limit $2", "periodd_webhook_outbox_oldest"),
    ("order by m.recorded_at limit $2", "periodd_webhook_outbox_given_up"),
    ("where position > $1 and position <= $2", "periodd_events_position"),
    ("where org_id = $1 and position > $2", "periodd_events_of_org"),
    ("as \"oldest!\"", "organizations_due"),
    ("select c.used from usage_counters c", "usage_counters_pkey"),
    ("and a.period_start = o.current_period_start", "periodd_alerts_pkey"),
    ("from (select * from billing_periods\n", "billing_periods_position"),
    ("from (select * from overage_packs\n", "overage_packs_position"),
    ("from (select * from overage_entries\n", "overage_entries_position"),
    ("from (select * from billing_adjustments\n", "billing_adjustments_position"),
    ("order by period_start, org_id limit $4", "billing_periods_pkey"),
    // A close looks where it writes; whoever asks about one org finds its periods by org.
    ("as last_closed_end", "billing_periods_period_end_org_id_key"),
    ("as last_closed_end", "billing_periods_org"),
    ("order by b.period_start desc, u.feature", "billing_periods_org"),
    ("'closed' as \"state!: PeriodState\"", "billing_periods_org"),
    ("cross join lateral (select min(b.period_start) as first", "billing_periods_org"),
];
/// What an end user reads of the history: policies add the org, and nothing else is said of it.
const OF_A_MEMBER: [&str; 3] = [
    "select * from billing_period_usage",
    "select * from billing_periods order by period_start desc limit 12",
    "select p.period_end, u.feature, u.used from billing_periods p
     join billing_period_usage u using (org_id, period_start) order by 1, 2",
];

/// Twenty thousand orgs as they are found in the middle of a month: few are due, few metrics are
/// uncounted, a fifth hold packs.
async fn many_orgs() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations
             (slug, name, time_zone, current_period_start, current_period_end, next_period_ends,
              ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month, ends_tzdb_version)
         select 'org-' || i, 'Org ' || i, 'Europe/Berlin', start, start + interval '30 days',
                array[start + interval '60 days', start + interval '90 days'],
                'Europe/Berlin', 'monthly', 1, 1, '2026e'
         from generate_series(1, 20000) as i,
              lateral (select '2026-05-01Z'::timestamptz + (i % 200) * interval '3 hours')
                  as s (start);
         update organizations set current_period_end = null, current_period_start = null
         where slug in ('org-7', 'org-77');
         update organizations set next_period_ends = null where slug in ('org-8', 'org-88');
         insert into users (organization_id, email) select id, slug || '@example.com'
             from organizations;
         insert into feature_usage (organization_id, user_id, feature, period_start, period_end)
             select organization_id, id, 'scrapes', '2026-05-01Z', '2026-06-01Z' from users;
         insert into usage_counters
             (org_id, feature, period_start, period_end, sync_status, last_synced_at)
             select id, f, '2026-05-01Z', '2026-06-01Z',
                    case when slug like '%99' then 'pending' else 'synced' end,
                    timestamptz '2026-05-01Z' + length(slug) % 10 * interval '1 day'
             from organizations, unnest(array['scrapes', 'sms_sent']) as f;
         insert into usage_metrics
             (organization_id, metric_type, metric_value, created_at, counted_at)
             select id, 'scrapes', 1, '2026-05-01Z'::timestamptz + n * interval '1 day',
                    case when slug not like '%99' or n < 3 then now() end
             from organizations, generate_series(1, 4) as n;
         insert into overage_packs (org_id, feature, quantity, remaining, expires_at, entries)
             select id, 'scrapes', 5, 5,
                    case when slug like '%5' then now() + interval '1 day' end, 1
             from organizations where slug like '%5' or slug like '%0';
         insert into overage_entries (org_id, pack_id, seq, kind, quantity, remaining, period_start)
             select org_id, id, seq, kind, 1, 4, '2026-05-01Z'
             from overage_packs, (values (1, 'granted'), (2, 'drawn')) as e (seq, kind);
         insert into billing_periods
                 (org_id, period_start, period_end, follows, features, used_each, included_each,
                  drawn_each, uncovered_each)
             select id, b.starts, b.starts + interval '1 month', nullif(b.starts, '2026-03-01Z'),
                    '{scrapes}', '{5}', '{null}', '{0}', '{0}'
             from organizations,
                  (values (timestamptz '2026-03-01Z'), ('2026-04-01Z')) as b (starts);
         insert into billing_adjustments (org_id, feature, period_start, seq, kind)
             select id, 'scrapes', '2026-03-01Z', 1, 'late' from organizations;
         insert into limit_overrides (org_id, feature, included, judged, judged_included)
             select id, 'scrapes', 5, true, 5 from organizations;
         insert into periodd_alert_limits (org_id, feature, period_start, period_end)
             select id, 'scrapes', '2026-05-01Z', '2026-06-01Z' from organizations;
         insert into periodd_alerts (org_id, feature, period_start, period_end, threshold, state)
             select id, 'scrapes', '2026-05-01Z', '2026-06-01Z', 80,
                    case when slug like '%99' then 'waiting' else 'notified' end
             from organizations;
         insert into periodd_drift
             (org_id, feature, period_start, place, after, difference, reason, found_at)
             select id, 'scrapes', '2026-05-01Z', 'usage_counters.used', 5, 5, 'It was missing.',
                    timestamptz '2026-05-01Z' + length(slug) % 10 * interval '1 day'
             from organizations;
         insert into periodd_outbox
             (org_id, feature, period_start, period_end, threshold, recipient, state, settled_at)
             select id, 'scrapes', '2026-05-01Z', '2026-06-01Z', 80, slug || '@example.com',
                    case when slug like '%99' then 'due' else 'sent' end,
                    case when slug not like '%99' then timestamptz '2026-05-01Z'
                         + length(slug) % 10 * interval '1 day' end
             from organizations where slug ~ '[0-9]{2}$';
         insert into periodd_webhook_outbox
             (org_id, endpoint, event_id, kind, body, state, settled_at, recorded_at)
             select id, 'app', id, 'period.closed', '{}',
                    case when slug like '%99' then 'due' else 'sent' end,
                    case when slug not like '%99' then timestamptz '2026-05-01Z'
                         + length(slug) % 10 * interval '1 day' end,
                    timestamptz '2026-05-01Z' + length(slug) % 10 * interval '1 day'
             from organizations;
         insert into periodd_events (org_id, kind, recorded_at)
             select id, 'period.closed', timestamptz '2026-05-01Z' + n * interval '1 hour'
             from organizations, generate_series(1, 3) n;",
    )
    .await;
    test.sql("vacuum analyze").await;
    test
}

/// The plan for values that are not known yet, as a long-lived connection uses it.
async fn plan(connection: &mut PgConnection, statement: &Statement) -> Value {
    let nulls = vec!["null"; statement.parameters].join(", ");
    let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    let scans = !WHERE_NOTHING_IS_SCANNED.iter().any(|piece| statement.query.contains(piece));
    let run = async |connection: &mut PgConnection, sql: String| {
        let script = sqlx::AssertSqlSafe(sql);
        sqlx::raw_sql(script).execute(connection).await.expect("the statement can be prepared")
    };
    run(connection, format!("set enable_seqscan = {scans}")).await;
    run(connection, format!("prepare asked as {}", statement.query)).await;
    let explain = format!("explain (format json) execute asked{nulls}");
    let (plan,): (Value,) = sqlx::query_as(sqlx::AssertSqlSafe(explain))
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .unwrap_or_else(|error| panic!("{error}\nin {}", statement.query));
    run(connection, "deallocate asked".to_owned()).await;
    plan
}

/// ALTER and its kin have no plan, and the rules of the books, which begin with their sentence,
/// go over all of the books by intent.
fn is_planned(statement: &Statement) -> bool {
    let verb = statement.query.split_whitespace().next().unwrap_or_default();
    ["with", "select", "insert", "update", "delete"].contains(&verb.trim_start_matches('('))
}

/// Every node of a plan.
fn nodes(plan: &Value) -> Vec<&Value> {
    let mut found = vec![];
    let mut pending = vec![plan];
    while let Some(value) = pending.pop() {
        match value {
            Value::Array(values) => pending.extend(values),
            Value::Object(map) => {
                if map.contains_key("Node Type") {
                    found.push(value);
                }
                pending.extend(map.values());
            }
            _ => {}
        }
    }
    found
}

fn scanned(plan: &Value) -> Vec<&str> {
    let scans = nodes(plan).into_iter().filter(|node| node["Node Type"] == "Seq Scan");
    let tables = scans.filter_map(|node| node["Relation Name"].as_str());
    tables.filter(|table| LARGE.contains(table)).collect()
}

#[tokio::test]
async fn no_statement_reads_a_large_table_from_end_to_end() {
    let test = many_orgs().await;
    let mut connection = test.connect().await;
    sqlx::raw_sql("set plan_cache_mode = force_generic_plan")
        .execute(&mut connection)
        .await
        .unwrap();
    let mut statements = of_the_store();
    statements.retain(is_planned);
    let mut faults = Vec::new();
    for statement in &statements {
        let plan = plan(&mut connection, statement).await;
        let scanned = scanned(&plan);
        let may = MAY_SCAN.iter().any(|(piece, _)| statement.query.contains(piece));
        if !scanned.is_empty() && !may {
            faults.push(format!("{scanned:?} scanned by\n{}", statement.query));
        }
    }
    assert!(
        faults.is_empty(),
        "{}\nmend the statement, or name it in MAY_SCAN and say why",
        faults.join("\n\n")
    );
    for (piece, index) in BY_INDEX {
        let statement = statements.iter().find(|statement| statement.query.contains(piece));
        let statement = statement.unwrap_or_else(|| panic!("no statement says {piece}"));
        let plan = plan(&mut connection, statement).await;
        let used = nodes(&plan).into_iter().any(|node| node["Index Name"] == index);
        assert!(used, "{index} is not used\n{}\n{plan:#}", statement.query);
    }
}

/// What applications call with every use and with every page: an org, its user, a feature.
const CALLED: [&str; 6] = [
    "select increment_feature_usage(u.id, 'scrapes') from one u",
    "select increment_usage_if_allowed(u.id) from one u",
    "select increment_org_usage(u.organization_id, 'scrapes') from one u",
    "select record_usage(u.organization_id, 'scrapes', 1, u.id) from one u",
    "select get_current_usage_stats(u.id) from one u",
    "select a.* from one u
     cross join lateral periodd_allowances(u.organization_id, now(), 'scrapes') a",
];

/// The statements inside of functions have no text of their own to be planned: what they read is
/// counted instead.
#[tokio::test]
async fn no_function_of_applications_reads_a_large_table_from_end_to_end() {
    let test = many_orgs().await;
    let mut connection = test.connect().await;
    let one = "update organizations
               set current_period_start = now() - interval '9 days',
                   current_period_end = now() + interval '20 days',
                   next_period_ends = array[now() + interval '50 days']
               where slug = 'org-15';
               create temporary table one as
               select u.* from users u join organizations o on o.id = u.organization_id
               where o.slug = 'org-15'";
    sqlx::raw_sql(one).execute(&mut connection).await.unwrap();
    let mut faults = Vec::new();
    for call in CALLED {
        let mut tx = sqlx::Connection::begin(&mut connection).await.unwrap();
        sqlx::raw_sql(call).fetch_all(&mut *tx).await.unwrap();
        let read: Vec<(String, i64, i64)> = sqlx::query_as(
            "select relname::text, seq_scan, idx_scan from pg_stat_xact_user_tables
             where relname = any($1) and seq_scan + idx_scan > 0",
        )
        .bind(&LARGE[..])
        .fetch_all(&mut *tx)
        .await
        .unwrap();
        tx.rollback().await.unwrap();
        assert!(read.iter().any(|(_, _, by_index)| *by_index > 0), "{call} reads nothing");
        let scanned = read.into_iter().filter(|(_, scans, _)| *scans > 0);
        faults.extend(scanned.map(|(table, ..)| format!("{table} scanned by\n{call}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[tokio::test]
async fn an_end_user_reads_the_history_of_an_org_by_its_index() {
    let test = many_orgs().await;
    let role = format!("plans_{}", uuid::Uuid::new_v4().simple());
    let user = test.rows("select id from users order by email limit 1").await.concat();
    test.sql(&format!(
        "create role {role}; grant select on billing_periods, billing_period_usage to {role}"
    ))
    .await;
    let mut connection = test.connect().await;
    let session = format!("set role {role}; set app.user_id = '{user}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(session)).execute(&mut connection).await.expect("a session");
    let mut faults = Vec::new();
    for query in OF_A_MEMBER {
        let explain = format!("explain (format json) {query}");
        let (plan,): (Value,) = sqlx::query_as(sqlx::AssertSqlSafe(explain))
            .fetch_one(&mut connection)
            .await
            .expect("a plan");
        let used = nodes(&plan).into_iter().any(|node| node["Index Name"] == "billing_periods_org");
        if !used || !scanned(&plan).is_empty() {
            faults.push(format!("{query}\n{plan:#}"));
        }
    }
    drop(connection);
    test.sql(&format!("drop owned by {role}; drop role {role}")).await;
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// A policy's sub-select is asked once, before any row is looked at, and what it says is a
/// condition of an index. A function in its place would be asked of each row wherever a table is
/// read from end to end.
#[tokio::test]
async fn policies_ask_once_who_calls_and_find_the_rows_by_an_index() {
    let test = many_orgs().await;
    let role = format!("policies_{}", uuid::Uuid::new_v4().simple());
    let user = test.rows("select id from users order by email limit 1").await.concat();
    let tables = test
        .rows(
            "select distinct polrelid::regclass::text from pg_policy
             where polname in ('of_the_callers_org', 'of_the_caller') order by 1",
        )
        .await;
    assert!(tables.len() > 12, "{tables:?}");
    test.sql(&format!("create role {role}; grant select on {} to {role}", tables.join(", "))).await;
    let mut connection = test.connect().await;
    let session = format!("set role {role}; set app.user_id = '{user}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(session)).execute(&mut connection).await.expect("a session");
    let mut faults = Vec::new();
    for table in tables {
        let explain = format!("explain (format json) select * from {table}");
        let (plan,): (Value,) = sqlx::query_as(sqlx::AssertSqlSafe(explain))
            .fetch_one(&mut connection)
            .await
            .expect("a plan");
        let nodes = nodes(&plan);
        let asks_each_row = nodes.iter().any(|node| {
            node["Parent Relationship"] == "SubPlan"
                || node["Filter"].as_str().is_some_and(|filter| filter.contains("periodd_caller"))
        });
        let asks_once = nodes.iter().any(|node| node["Parent Relationship"] == "InitPlan");
        if asks_each_row || !asks_once || !scanned(&plan).is_empty() {
            faults.push(format!("{table}\n{plan:#}"));
        }
    }
    drop(connection);
    test.sql(&format!("drop owned by {role}; drop role {role}")).await;
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
