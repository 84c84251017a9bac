//! What a command holds in memory does not grow with what an org has.

use std::process::{Child, Stdio};

use crate::story::{add, including, rollover, used};
use crate::support::TestDatabase;

/// The most that a command may hold, in MiB: of 64, what is left beside the program's own pages.
/// These are not counted here, for a program with all that a debugger needs has many more.
const MOST: f64 = 40.0;

/// What a process holds, in MiB; nothing once it has ended.
fn held_mib(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes / 1024.0)
}

/// Runs a command, and returns the most that it held.
async fn peak_of(test: &TestDatabase, arguments: &[&str]) -> f64 {
    let mut command = test.command(arguments);
    let mut child = command.stdout(Stdio::null()).spawn().expect("the binary runs");
    let mut peak = 0.0_f64;
    let status = loop {
        peak = held_mib(&child).unwrap_or(peak).max(peak);
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break status;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert!(status.success(), "{arguments:?}: {status}");
    peak
}

async fn orgs(test: &TestDatabase, count: u32) {
    test.sql(&format!(
        "insert into organizations
             (slug, name, time_zone, current_period_start, current_period_end, next_period_ends)
         select 'org-' || i, 'Org', 'UTC', '2026-04-01Z', '2026-05-01Z',
                array['2026-06-01Z', '2026-07-01Z', '2026-08-01Z']::timestamptz[]
         from generate_series(1, {count}) i"
    ))
    .await;
}

#[tokio::test]
async fn orgs_with_many_features_are_closed_in_smaller_pages() {
    let test = TestDatabase::new().await;
    orgs(&test, 1_000).await;
    test.sql(
        "insert into features (feature) select 'feature-' || f from generate_series(1, 200) f;
         insert into usage_metrics
             (organization_id, metric_type, metric_value, created_at, counted_at)
         select o.id, 'feature-' || f, 1, '2026-04-02Z', now()
         from organizations o, generate_series(1, 200) f;
         insert into usage_counters (org_id, feature, period_start, period_end, used)
         select o.id, 'feature-' || f, '2026-04-01Z', '2026-05-01Z', 1
         from organizations o, generate_series(1, 200) f;
         analyze",
    )
    .await;
    let peak = peak_of(&test, &["sync", "--at", "2026-04-20T00:00:00Z"]).await;
    assert!(peak < MOST, "the sync held {peak} MiB");
    let peak = peak_of(&test, &["rollover", "--at", "2026-05-02T00:00:00Z"]).await;
    assert!(peak < MOST, "the rollover held {peak} MiB");
    let closed = "select count(*) from billing_period_usage where used = 1";
    assert_eq!(test.rows(closed).await, ["200000"]);
}

#[tokio::test]
async fn orgs_with_many_packs_are_closed_one_by_one() {
    let test = TestDatabase::new().await;
    orgs(&test, 20).await;
    test.sql(
        "insert into overage_packs (org_id, feature, quantity, purchased_at)
         select o.id, 'scrapes', 1, '2026-04-02Z'
         from organizations o, generate_series(1, 10000) i where slug < 'org-15';
         select record_usage(id, 'scrapes', 50, null, '2026-04-03Z') from organizations;
         analyze",
    )
    .await;
    let peak = peak_of(&test, &["rollover", "--at", "2026-05-02T00:00:00Z"]).await;
    assert!(peak < MOST, "the rollover held {peak} MiB");
    let drawn = "select sum(drawn) from billing_period_usage";
    assert_eq!(test.rows(drawn).await, ["300"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn metrics_are_counted_where_they_are() {
    let test = TestDatabase::new().await;
    orgs(&test, 1).await;
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select o.id, 'scrapes', 1, '2026-04-02Z' from organizations o, generate_series(1, 200000)",
    )
    .await;
    let peak = peak_of(&test, &["sync", "--at", "2026-04-20T00:00:00Z"]).await;
    assert!(peak < MOST, "the sync held {peak} MiB");
    assert_eq!(test.rows("select used from usage_counters").await, ["200000"]);
}

/// Draws of closed months are read with those of an open year: a page that has no room for them is
/// taken apart, and forgets none.
#[tokio::test]
async fn a_page_without_room_for_draws_pays_nothing_twice() {
    let test = including(100).await;
    let [many, year] = [1, 2].map(|number| uuid::Uuid::from_u128(number).to_string());
    let flags = ["--zone", "UTC", "--id", &many];
    add(&test, "many", "2026-05-01T00:00:00Z", &flags);
    let flags = ["--zone", "UTC", "--cycle", "yearly", "--anchor-month", "6", "--id", &year];
    add(&test, "year", "2025-06-01T00:00:00Z", &flags);
    test.sql(&format!(
        "select grant_overage_pack('{year}', 'minutes_transcribed', 50, 'first',
                                   '2026-01-01Z', '2025-06-02Z'),
                grant_overage_pack('{year}', 'minutes_transcribed', 50, 'second', null,
                                   '2025-06-02Z');
         insert into overage_packs (id, org_id, feature, quantity, remaining, purchased_at, entries)
         values ('{many}', '{many}', 'scrapes', 20000, 7999, '2025-06-01Z', 12002);
         insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
         values ('{many}', '{many}', 1, 'granted', 20000, '2025-06-01Z', 20000);
         insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, period_start,
                                      remaining)
         select '{many}', '{many}', 1 + n, 'drawn', 1, '2026-02-01Z', '2026-01-01Z', 20000 - n
         from generate_series(1, 12000) n;
         insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, period_start,
                                      remaining)
         values ('{many}', '{many}', 12002, 'drawn', 1, '2026-05-02Z', '2026-05-01Z', 7999)"
    ))
    .await;
    used(&test, "year", "150", "2025-07-01T00:00:00Z").await;
    rollover(&test, "2026-01-02T00:00:00Z", &[]).exits(0);
    let left = "select remaining from overage_packs where feature = 'minutes_transcribed'
                order by reference";
    assert_eq!(test.rows(left).await, ["0", "50"]);
    rollover(&test, "2026-06-01T00:00:01Z", &[]).exits(0);
    assert_eq!(test.rows(left).await, ["0", "50"]);
}
