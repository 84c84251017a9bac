//! A month of faulty writers: every fault that is planted is found by the next audit, and nothing
//! that is none. The table that comes of it is what the test compares.

use crate::story::{add, rollover};
use crate::support::TestDatabase;
use crate::sync::words::sync;

const ORGS: usize = 12;

/// What somebody does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A metric is written as if it had been counted.
    Uncounted,
    /// A counter is raised without a metric.
    Inflated,
    /// A counter is set to what it was before.
    Reset,
    /// The copy in the org's row is overwritten.
    Copy,
    /// A user's counter is lowered.
    User,
    /// A counter is deleted.
    Deleted,
}

const FAULTS: [Fault; 6] =
    [Fault::Uncounted, Fault::Inflated, Fault::Reset, Fault::Copy, Fault::User, Fault::Deleted];

impl Fault {
    fn plant(self, org: usize, day: usize) -> String {
        let id = format!("(select id from organizations where slug = 'org-{org:02}')");
        let open = format!(
            "org_id = {id} and feature = 'minutes_transcribed'
             and period_start = (select current_period_start from organizations where id = {id})"
        );
        match self {
            Self::Uncounted => format!(
                "insert into usage_metrics
                     (organization_id, metric_type, metric_value, created_at, counted_at)
                 values ({id}, 'minutes_transcribed', 3, '2026-05-{day:02}T11:00:00Z', now())"
            ),
            Self::Inflated => format!("update usage_counters set used = used + 5 where {open}"),
            Self::Reset => format!("update usage_counters set used = 0 where {open}"),
            Self::Copy => {
                format!("update organizations set used_minutes = used_minutes + 9 where id = {id}")
            }
            Self::User => format!(
                "update feature_usage set usage_count = usage_count - 1
                 where organization_id = {id} and feature = 'scrapes'"
            ),
            Self::Deleted => format!("delete from usage_counters where {open}"),
        }
    }

    /// Where it is found, and by how much it was wrong.
    fn found(self, org: usize, used: i64) -> String {
        let (place, difference) = match self {
            Self::Uncounted => ("usage_counters.used", 3),
            Self::Inflated => ("usage_counters.used", -5),
            Self::Reset | Self::Deleted => ("usage_counters.used", used),
            Self::Copy => ("organizations.used_minutes", -9),
            Self::User => ("feature_usage.usage_count", 1),
        };
        format!("org-{org:02} {place} {difference}")
    }
}

/// What a day's writers do right: functions, plain inserts, a correction.
async fn a_day(test: &TestDatabase, day: usize) {
    test.sql(&format!(
        "select record_usage(organization_id, 'scrapes', 2, id, '2026-05-{day:02}T08:00:00Z')
         from users;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'Minutes_Transcribed', 4, '2026-05-{day:02}T09:00:00Z' from organizations;
         select record_usage(id, 'minutes_transcribed', -1, null, '2026-05-{day:02}T10:00:00Z')
         from organizations",
    ))
    .await;
}

#[tokio::test]
async fn every_planted_fault_is_found_by_the_next_audit_and_no_false_one() {
    let test = TestDatabase::new().await;
    for org in 0..ORGS {
        add(&test, &format!("org-{org:02}"), "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    }
    test.sql("insert into users (organization_id, email) select id, slug from organizations").await;
    let mut random = fastrand::Rng::with_seed(4);
    let mut planted: Vec<String> = Vec::new();
    let mut extra = [0_i64; ORGS];
    for day in 1..=30 {
        a_day(&test, day).await;
        sync(&test, &format!("2026-05-{day:02}T12:00:00Z"), &[]).exits(0);
        // A few orgs, each with one fault: the guard lets ten of twelve change, and not more.
        let mut orgs: Vec<usize> = (0..ORGS).collect();
        random.shuffle(&mut orgs);
        let faults = random.usize(0..=4);
        let mut today = Vec::new();
        for org in orgs.into_iter().take(faults) {
            let fault = FAULTS[random.usize(..FAULTS.len())];
            test.sql(&fault.plant(org, day)).await;
            let used = i64::try_from(day).unwrap() * 3 + extra[org];
            extra[org] += i64::from(fault == Fault::Uncounted) * 3;
            today.push(format!("{day} {}", fault.found(org, used)));
        }
        let at = format!("2026-05-{day:02}T23:00:00Z");
        let report = sync(&test, &at, &["--full"]).exits(0).json();
        assert_eq!(report["drift_found"], today.len(), "day {day}: {today:?}\n{report:#}");
        planted.extend(today);
    }
    let mut found = test
        .rows(
            "select extract(day from d.found_at), o.slug, d.place, d.difference
             from periodd_drift d join organizations o on o.id = d.org_id",
        )
        .await;
    found.sort();
    planted.sort();
    assert_eq!(found, planted);
    assert!(planted.len() > 40);
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    let report = sync(&test, "2026-06-01T12:00:00Z", &["--full"]).exits(0).json();
    assert_eq!((&report["drift_found"], report["late"].as_array().unwrap().len()), (&0.into(), 0));
    test.check_invariants().await;
}
