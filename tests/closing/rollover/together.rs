//! Many orgs, twice and by two processes at once: each period is closed exactly once.

use std::process::Stdio;

use crate::story::rollover;
use crate::support::{Answer, TestDatabase};

const AT: &str = "2026-06-02T15:00:00Z";

/// 10,000 orgs in random zones whose May has ended; a fifth has used more than is included, and
/// half of these hold a pack.
async fn ten_thousand() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into tier_limits values ('pro', 'minutes_transcribed', 500);
         insert into organizations
             (slug, name, time_zone, subscription_tier, current_period_start, current_period_end)
         select 'org-' || i, 'Org', z.zones[1 + floor(random() * cardinality(z.zones))], 'pro',
                '2026-05-01', '2026-06-01'
         from generate_series(1, 10000) i,
              (select array_agg(time_zone) as zones from periodd_zone_months) z;
         select count(record_usage(id, 'minutes_transcribed', 600, null, '2026-05-10'))
         from organizations where right(slug, 1) in ('1', '2');
         select count(grant_overage_pack(id, 'minutes_transcribed', 60, 'r', null, '2026-05-02'))
         from organizations where right(slug, 1) = '2'",
    )
    .await;
    test
}

async fn each_period_is_closed_once(test: &TestDatabase) {
    let closed = "select count(*) as periods, count(distinct org_id) as orgs from billing_periods";
    assert_eq!(test.rows(closed).await, ["10000 10000"]);
    let usage = "select count(*) as lines, sum(drawn) as drawn, sum(uncovered) as uncovered
                 from billing_period_usage";
    assert_eq!(test.rows(usage).await, ["2000 60000 140000"]);
    let entries = "select kind, count(*) as lines, sum(quantity) as quantity from overage_entries
                   group by 1 order by 1";
    assert_eq!(test.rows(entries).await, ["drawn 1000 60000", "granted 1000 60000"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn ten_thousand_orgs_rolled_over_twice() {
    let test = ten_thousand().await;
    let report = rollover(&test, AT, &[]).exits(0).json();
    assert_eq!(report["orgs"], 10_000);
    assert_eq!(report["periods_closed"], 10_000);
    let report = rollover(&test, AT, &[]).exits(0).json();
    assert_eq!((&report["orgs"], &report["periods_closed"]), (&0.into(), &0.into()));
    each_period_is_closed_once(&test).await;
}

#[tokio::test]
async fn ten_thousand_orgs_shared_by_two_processes() {
    let test = ten_thousand().await;
    let start = || {
        let mut command = test.command(&["--at", AT, "--format", "json", "rollover"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
    };
    let processes = [start(), start()];
    let reports = processes.map(|process| {
        let output = process.wait_with_output().expect("the binary ends");
        Answer::from(output).exits(0).json()
    });
    let sum = |field: &str| reports.iter().map(|report| report[field].as_u64().unwrap()).sum();
    let (orgs, periods): (u64, u64) = (sum("orgs"), sum("periods_closed"));
    assert_eq!((orgs, periods), (10_000, 10_000), "{reports:?}");
    each_period_is_closed_once(&test).await;
}
