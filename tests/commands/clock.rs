//! Commands beside a database whose clock moved otherwise than time has passed.
//!
//! What was believed last is stored; it is set back here, as if the database's clock had jumped
//! ahead since.

use serde_json::Value;

use crate::support::{Answer, TestDatabase};

fn run(test: &TestDatabase, line: &str) -> Answer {
    test.periodd(&line.split_whitespace().collect::<Vec<_>>())
}

/// An org whose period has ended, with a pack that has expired and usage that nobody counted.
async fn due() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.configure("[daemon]\nstate_dir = \"/nowhere/periodd\"\n");
    run(&test, "orgs add acme --name Acme --zone UTC --period-start 2026-01-01T00:00:00Z").exits(0);
    test.sql(
        "update organizations set current_period_start = now() - interval '31 days',
                current_period_end = now() - interval '1 hour',
                -- No other boundary is near.
                anchor_day = extract(day from now() + interval '14 days');
         select grant_overage_pack(id, 'scrapes', 5, 'r', now() - interval '1 minute',
                                   now() - interval '2 days') from organizations;
         insert into usage_metrics (organization_id, metric_type, metric_value)
         select id, 'scrapes', 1 from organizations",
    )
    .await;
    test
}

/// As if the database's clock had been set ahead by so much since it was believed last.
async fn jump(test: &TestDatabase, by: &str) {
    run(test, "alerts run").exits(0);
    test.sql(&format!("update periodd_clocks set database_at = database_at - interval '{by}'"))
        .await;
}

fn findings(answer: &Answer) -> Vec<String> {
    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Array(all) => all.iter().for_each(|value| collect(value, into)),
            Value::Object(all) => {
                if let Some(check) = all.get("check").and_then(Value::as_str) {
                    into.push(check.to_owned());
                }
                all.values().for_each(|value| collect(value, into));
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    collect(&answer.json(), &mut all);
    all
}

const IRREVOCABLE: [&str; 9] = [
    "rollover",
    "rollover --org acme --early",
    "rollover --at 2026-11-01T00:00:00Z",
    "sync",
    "sync --full",
    "alerts run",
    "packs grant --org acme --feature scrapes --quantity 1 --reference s",
    "packs refund --org acme --reference r",
    "orgs add bolt --name Bolt --zone UTC",
];

#[tokio::test]
async fn what_cannot_be_undone_is_held_while_the_clock_is_not_believed() {
    for by in ["3 hours", "5 years"] {
        let test = due().await;
        jump(&test, by).await;
        let before = test.contents().await;
        for line in IRREVOCABLE {
            let answer = run(&test, line).exits(5);
            assert!(answer.stderr.contains("the database's clock says"), "{line}: {answer:?}");
            assert!(answer.stderr.contains("rollover --force"), "{line}: {answer:?}");
        }
        assert_eq!(test.contents().await, before, "{by}: nothing was written");
        // Whoever only looks is not held up.
        run(&test, "rollover --dry-run").exits(3);
        run(&test, "sync --check").exits(0);
        run(&test, "orgs list").exits(0);
        run(&test, "schedule next").exits(0);
        for look in ["status --format json", "doctor --format json"] {
            let answer = run(&test, look).exits(3);
            assert!(findings(&answer).contains(&"clock_held".to_owned()), "{look}: {answer:?}");
        }
        assert_eq!(test.contents().await, before, "{by}: nor by looking");

        // A person says that it is the database's clock that is right.
        let forced = run(&test, "rollover --force").exits(0);
        assert!(forced.stderr.contains("trusts it from now on"), "{forced:?}");
        assert_eq!(test.rows("select count(*) from billing_periods").await, ["1"]);
        run(&test, "sync").exits(0);
        run(&test, "rollover --force").exits(0);
        assert!(!findings(&run(&test, "status --format json")).contains(&"clock_held".to_owned()));
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn a_clock_that_lags_with_this_machines_is_late_and_holds_nobody_up() {
    let test = due().await;
    // It was believed three hours ahead, as of a machine that started with a wrong clock.
    jump(&test, "-3 hours").await;
    run(&test, "rollover").exits(0);
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["1"]);
}

#[tokio::test]
async fn who_holds_what_is_believed_keeps_nobody_waiting() {
    let test = due().await;
    run(&test, "alerts run").exits(0);
    let mut holder = test.connect().await;
    sqlx::raw_sql("begin; select from periodd_clocks for update")
        .execute(&mut holder)
        .await
        .unwrap();
    run(&test, "rollover").exits(0);
    run(&test, "rollover --force").exits(0);
}

#[tokio::test]
async fn what_a_clock_that_ran_ahead_left_behind_is_found() {
    let future = "now() + interval '40 days'";
    let schedule = format!(
        "insert into periodd_schedules (job, trigger, seed, settled)
         values ('rollover', 'schedule', 1, {future})"
    );
    let ended = format!(
        "insert into periodd_runs (job, trigger, outcome, replica, started_at, finished_at)
         values ('rollover', 'command', 'done', 'web-1', now(), {future})"
    );
    let open = format!(
        "update organizations set current_period_start = {future},
                current_period_end = {future} + interval '30 days'"
    );
    let expired = format!(
        "insert into overage_entries (org_id, pack_id, seq, kind, quantity, at)
         select org_id, id, 99, 'expired', 5, {future} from overage_packs"
    );
    let closed = format!("update billing_periods set closed_at = {future}");
    for (fault, check, looks) in [
        (schedule, "settled_ahead", &["status", "doctor"][..]),
        (ended, "runs_ahead", &["status", "doctor"]),
        (open, "future_period", &["doctor"]),
        (expired, "expired_ahead", &["doctor"]),
        (closed, "closed_ahead", &["doctor"]),
    ] {
        let test = due().await;
        run(&test, "rollover").exits(0);
        for look in ["status", "doctor"] {
            let answer = run(&test, &format!("{look} --format json"));
            assert!(!findings(&answer).contains(&check.to_owned()), "{check}: {answer:?}");
        }
        test.sql(&fault).await;
        for look in looks {
            let answer = run(&test, &format!("{look} --format json"));
            assert!(findings(&answer).contains(&check.to_owned()), "{check}: {answer:?}");
            // Of itself a run that ended ahead is good to know, no more.
            assert_eq!(answer.code, if check == "runs_ahead" { 0 } else { 3 }, "{answer:?}");
        }
    }
}
