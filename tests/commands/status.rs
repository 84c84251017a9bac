//! `status`: whatever is wrong is said first, with the command that mends it.

use serde_json::Value;

use crate::support::{Answer, TestDatabase};

fn run(test: &TestDatabase, line: &str) -> Answer {
    test.periodd(&line.split_whitespace().collect::<Vec<_>>())
}

const NOW: &str = "2026-05-16T12:00:00Z";

async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    // How full the disk of this machine is has nothing to do with it.
    test.configure("[daemon]\nstate_dir = \"/nowhere/periodd\"\n");
    run(&test, &format!("orgs add acme --name Acme --zone Europe/Berlin --at {NOW}")).exits(0);
    run(&test, &format!("orgs add nippon --name Nippon --zone Asia/Tokyo --at {NOW}")).exits(0);
    test
}

/// The checks that found something, with how bad it is and what mends it.
fn found(status: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let findings = status["findings"].as_array().expect("findings").iter();
    findings.map(|f| (text(&f["check"]), text(&f["severity"]), text(&f["mend"]))).collect()
}

#[tokio::test]
async fn where_all_is_well_nothing_is_wrong_and_the_next_ends_are_told() {
    let test = acme().await;
    let status = run(&test, &format!("status --at {NOW} --format json")).exits(0).json();
    let notes = found(&status);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert_eq!((notes[0].0.as_str(), notes[0].1.as_str()), ("no_daemon", "note"));
    let next = &status["boundaries"];
    assert_eq!(next[0]["time_zone"], "Asia/Tokyo");
    assert_eq!(next[0]["at"], "2026-05-31T15:00:00Z");
    assert_eq!(next[1]["at"], "2026-05-31T22:00:00Z");
    let page = run(&test, &format!("status --at {NOW}")).exits(0).stdout;
    assert!(page.contains("Jun 01 00:00 CEST"), "{page}");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a list of faults")]
async fn each_fault_is_found_and_mended_by_what_is_said() {
    for (fault, check, severity, mend) in [
        (
            "update organizations set current_period_start = '2026-04-15Z',
                    current_period_end = '2026-05-16T11:00Z' where slug = 'acme'",
            "overdue",
            "problem",
            "periodd rollover",
        ),
        (
            "update organizations set current_period_end = null, created_at = '2026-05-01Z'
             where slug = 'acme'",
            "no_period",
            "problem",
            "periodd rollover",
        ),
        (
            "update organizations set parked_at = '2026-05-15Z', parked_reason = 'odd'
             where slug = 'acme'",
            "parked",
            "problem",
            "periodd explain acme; periodd orgs unpark acme",
        ),
        (
            "insert into usage_metrics
                 (organization_id, metric_type, metric_value, created_at, recorded_at)
             select id, 'scrapes', 1, '2026-05-16Z', '2026-05-16Z' from organizations limit 1",
            "uncounted",
            "warning",
            "periodd sync",
        ),
        (
            "insert into periodd_drift (org_id, feature, period_start, place, before, after,
                                        difference, reason, found_at)
             select id, 'scrapes', '2026-05-01Z', 'usage_counters', 1, 2, 1, 'odd', '2026-05-16Z'
             from organizations limit 1",
            "drift",
            "warning",
            "periodd sync --full --check",
        ),
        (
            "insert into periodd_outbox (org_id, feature, period_start, period_end, threshold,
                                         recipient, state, settled_at)
             select id, 'scrapes', '2026-05-01Z', '2026-06-01Z', 90, 'a@b.example', 'given_up',
                    '2026-05-16Z' from organizations limit 1",
            "emails_given_up",
            "problem",
            "periodd alerts list --state given_up",
        ),
        (
            "insert into periodd_outbox (org_id, feature, period_start, period_end, threshold,
                                         recipient, next_attempt_at)
             select id, 'scrapes', '2026-05-01Z', '2026-06-01Z', 90, 'a@b.example', '2026-05-16Z'
             from organizations limit 1",
            "emails_late",
            "problem",
            "periodd alerts run",
        ),
        (
            "insert into periodd_alerts
                 (org_id, feature, period_start, period_end, threshold, state)
             select id, 'scrapes', '2026-05-01Z', '2026-06-01Z', 90, 'waiting'
             from organizations limit 1",
            "no_recipient",
            "warning",
            "periodd alerts list",
        ),
        (
            "insert into periodd_schedules (job, trigger, seed, settled, paused_at, pause_reason)
             values ('rollover', 'schedule', 1, '2026-05-16T11:59Z', '2026-05-16Z', 'moving')",
            "paused",
            "problem",
            "periodd schedule resume rollover",
        ),
        (
            "insert into periodd_schedules (job, trigger, seed, settled)
             values ('rollover', 'schedule', 1, '2026-05-16T09:00Z')",
            "late",
            "problem",
            "systemctl start periodd",
        ),
        (
            "insert into periodd_schedules (job, trigger, seed, settled, running, run_token,
                                            replica, lease_until)
             values ('rollover', 'schedule', 1, '2026-05-16T11:59Z', '2026-05-16T11:59Z', 1,
                     'web-1', '2020-01-01Z')",
            "replica_vanished",
            "problem",
            "systemctl start periodd",
        ),
        (
            "insert into periodd_runs
                 (job, trigger, outcome, replica, started_at, finished_at, error)
             values ('rollover', 'command', 'failed', 'web-1', '2026-05-16Z', '2026-05-16Z', 'oh')",
            "failed",
            "problem",
            "periodd runs show 1",
        ),
        (
            "insert into periodd_facts values ('tzdb_release', '2999z')
             on conflict (name) do update set value = excluded.value",
            "stale_tz",
            "problem",
            "apt-get install --only-upgrade tzdata",
        ),
        (
            "update periodd_zone_months set starts = starts[1:3] where time_zone = 'UTC'",
            "zone_months",
            "problem",
            "periodd db migrate",
        ),
    ] {
        let test = acme().await;
        test.sql(fault).await;
        let at = if check == "zone_months" { "2026-12-16T12:00:00Z" } else { NOW };
        let answer = run(&test, &format!("status --at {at} --format json"));
        let all = found(&answer.json());
        let expected = (check.to_owned(), severity.to_owned(), mend.to_owned());
        assert!(all.contains(&expected), "{check}: {all:#?}");
        assert_eq!(answer.code, 3, "{check}");
    }
}

#[tokio::test]
async fn the_worst_comes_first_and_the_mending_command_mends() {
    let test = acme().await;
    test.sql(
        "update organizations set current_period_start = '2026-04-15Z',
                current_period_end = '2026-05-16T11:00Z'",
    )
    .await;
    let page = run(&test, &format!("status --at {NOW}")).exits(3).stdout;
    let first = page.lines().find(|line| !line.is_empty()).expect("a line");
    assert_eq!(first, "problem: 2 orgs due, the first since 2026-05-16T11:00:00Z");
    run(&test, &format!("rollover --at {NOW}")).exits(0);
    run(&test, &format!("status --at {NOW}")).exits(0);
}
