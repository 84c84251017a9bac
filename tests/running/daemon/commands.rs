//! What people ask and say: runs, schedules, pauses; and commands in the ledger.

use crate::daemon::process::{Daemon, until};
use crate::support::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_leaves_its_occurrences_out_and_says_why() {
    let test = TestDatabase::new().await;
    test.configure("[schedule.rollover]\ncron = \"* * * * * *\"\n");
    test.periodd(&["schedule", "pause", "rollover"]).exits(2);
    test.periodd(&["schedule", "pause", "rollout", "--reason", "x"]).exits(2);
    test.periodd(&["schedule", "pause", "rollover", "--reason", "moving house"]).exits(0);
    let daemon = Daemon::start(&test);
    let paused = "select count(*) >= 2 from periodd_runs
                  where reason = 'paused' and error = 'moving house'";
    until(&test, paused, "true").await;
    let list = test.periodd(&["schedule", "list"]).exits(0);
    let says = |words: &str| list.stdout.contains(words);
    assert!(says("paused ") && says(" ago: moving house"), "{list:?}");
    test.periodd(&["schedule", "resume", "rollover"]).exits(0);
    until(
        &test,
        "select count(*) > 0 from periodd_runs where outcome = 'done' and job = 'rollover'",
        "true",
    )
    .await;
    let again = test.periodd(&["schedule", "resume", "rollover"]).exits(0);
    assert!(again.stderr.contains("not paused"), "{again:?}");
    assert_eq!(daemon.stop().await.code(), Some(0));

    let runs = test
        .periodd(&["--format", "json", "runs", "list", "--job", "rollover", "--limit", "1000"])
        .exits(0);
    let runs = runs.json();
    let runs = runs.as_array().expect("a list");
    assert!(runs.iter().any(|run| run["reason"] == "paused" && run["started_at"].is_null()));
    let done = runs.iter().find(|run| run["outcome"] == "done").expect("one ran");
    assert!(done["lateness_ms"].is_number() && done["counts"]["orgs"] == 0, "{done}");
    let shown = test.periodd(&["runs", "show", &done["id"].to_string()]).exits(0);
    assert!(shown.stdout.contains("nothing to do"), "{shown:?}");
    test.periodd(&["runs", "show", "999999"]).exits(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_a_run_of_its_own_that_waits_for_nobody_and_a_dry_run_is_none() {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start,
                                    current_period_end)
         values ('acme', 'Acme', 'UTC', now() - interval '1 month', now() - interval '1 hour');
         insert into periodd_schedules
             (job, trigger, seed, settled, running, run_token, replica, lease_until)
         values ('rollover', 'schedule', 1, now(), now(), 1, 'elsewhere:1',
                 now() + interval '1 hour')",
    )
    .await;
    test.periodd(&["rollover", "--dry-run"]).exits(3);
    assert_eq!(test.rows("select count(*) from periodd_runs").await, ["0"]);
    test.periodd(&["rollover"]).exits(0);
    let run = "select job, trigger, occurrence, outcome, counts ->> 'periods_closed' as closed,
                      attempts, error from periodd_runs";
    assert_eq!(test.rows(run).await, ["rollover command - done 1 1 -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_recorded_does_its_work_answers_and_says_so() {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start,
                                    current_period_end)
         values ('acme', 'Acme', 'UTC', now() - interval '1 month', now() - interval '1 hour');
         alter table periodd_runs add check (job <> 'rollover')",
    )
    .await;
    let answer = test.periodd(&["rollover"]).exits(1);
    assert!(answer.stdout.contains("closed 1 period of 1 org"), "{answer:?}");
    assert!(answer.stderr.contains("could not be recorded"), "{answer:?}");
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_next_is_shown_per_zone_and_per_job() {
    let test = TestDatabase::new().await;
    test.configure("[schedule.rollover]\ncron = \"0 30 3 * * *\"\ntime_zone = \"Asia/Tokyo\"\n");
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start,
                                    current_period_end)
         select 'tokyo-' || i, 'Org', 'Asia/Tokyo', timestamptz '2026-01-01Z',
                timestamptz '2099-05-31 15:00Z'
         from generate_series(1, 3) i
         union all
         select 'berlin', 'Org', 'Europe/Berlin', timestamptz '2026-01-01Z',
                timestamptz '2099-05-31 22:00Z'",
    )
    .await;
    let next = test.periodd(&["--format", "json", "schedule", "next"]).exits(0).json();
    let boundary = &next["boundaries"][0];
    assert_eq!(boundary["time_zone"], "Asia/Tokyo");
    assert_eq!(boundary["local"], "2099-06-01T00:00:00+09:00");
    assert_eq!((&boundary["at"], &boundary["orgs"]), (&"2099-05-31T15:00:00Z".into(), &3.into()));
    assert_eq!(next["boundaries"][1]["time_zone"], "Europe/Berlin");
    let rollover = &next["jobs"][0];
    assert_eq!((&rollover["job"], &rollover["words"]), (&"rollover".into(), &"At 03:30.".into()));
    let five = rollover["next"].as_array().expect("a list");
    assert_eq!(five.len(), 5);
    assert!(five.iter().all(|next| next["local"].as_str().unwrap().ends_with("T03:30:00+09:00")));
    let page = test.periodd(&["schedule", "next"]).exits(0).stdout;
    assert!(page.contains("2099-06-01 00:00 JST") && page.contains("At 03:30."), "{page}");
}
