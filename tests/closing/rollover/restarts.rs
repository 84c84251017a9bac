//! A restart ends the open period at an instant and begins a full one there, anchored on its local
//! day and time of day: by the command, and by the function that applications call.

use serde_json::Value;
use sqlx::PgConnection;

use crate::story::{boundaries, closed, counters, dump, granted, including, rollover, used};
use crate::support::{Answer, TestDatabase};

const CONVERTED: &str = "2026-05-12T14:32:10Z";

/// A trial of two weeks in New York from May 4 on: free includes 100, pro 1000.
async fn trial() -> TestDatabase {
    let test = including(1000).await;
    test.sql("insert into tier_limits values ('free', 'minutes_transcribed', 100)").await;
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "America/New_York"];
    let flags = ["--period-end", "+14d", "--at", "2026-05-04T13:00:00Z"];
    test.periodd(&[&add[..], &flags].concat()).exits(0);
    test
}

fn restart(test: &TestDatabase, at: &str, flags: &[&str]) -> Answer {
    rollover(test, at, &[&["--org", "acme", "--early", "--re-anchor"], flags].concat())
}

/// Calls the function as of an instant.
async fn restarted(test: &TestDatabase, tier: &str, reference: &str, at: &str) {
    test.sql(&format!(
        "select restart_billing_cycle(id, nullif('{tier}', ''), '{reference}', '{at}')
         from organizations where slug = 'acme'"
    ))
    .await;
}

/// The tier that each closed period is booked on.
async fn booked(test: &TestDatabase) -> Vec<String> {
    test.rows("select tier from billing_periods order by period_start").await
}

/// What is set of the org, and what of a restart waits.
async fn org(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select subscription_tier, anchor_day, anchor_month, anchor_time, has_stale_ends,
                restarted_at, period_tier from organizations",
    )
    .await
}

#[tokio::test]
async fn a_restart_closes_now_and_opens_a_full_period_anchored_here() {
    let test = trial().await;
    used(&test, "acme", "80", "2026-05-10T00:00:00Z").await;
    used(&test, "acme", "3", "2026-05-12T14:32:10Z").await;
    let before = dump(&test).await;
    let plan = restart(&test, CONVERTED, &["--tier", "pro", "--dry-run"]).exits(3).json();
    assert_eq!(dump(&test).await, before);
    let plan = &plan["plans"][0];
    assert_eq!(plan["closes"][0]["tier"], "free");
    assert_eq!(plan["open"]["end"], "2026-06-12T14:32:10Z");
    assert_eq!(plan["anchored"].to_string(), r#"{"day":12,"month":5,"time":"10:32:10"}"#);
    assert_eq!(plan["standing"]["after"]["tier"], "pro");

    restart(&test, CONVERTED, &["--tier", "pro"]).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-05-12T14:32:10Z 80 100 0 0"]);
    assert_eq!(booked(&test).await, ["free"]);
    assert_eq!(org(&test).await, ["pro 12 5 10:32:10 false - pro"]);
    assert_eq!(
        counters(&test, "acme").await,
        [
            "2026-05-04T13:00:00Z 2026-05-12T14:32:10Z 80",
            "2026-05-12T14:32:10Z 2026-06-12T14:32:10Z 3",
        ]
    );
    test.check_invariants().await;
    // The calendar goes on from there, on the wall clock of New York.
    rollover(&test, "2026-11-20T00:00:00Z", &[]).exits(0);
    let boundaries = boundaries(&test, "acme").await;
    assert_eq!(boundaries[7..], ["2026-11-12T15:32:10Z", "2026-12-12T15:32:10Z"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_restart_needs_early_and_an_org_and_a_tier_that_there_is() {
    let test = trial().await;
    let cases: [&[&str]; 4] = [
        &["--re-anchor", "--org", "acme"],
        &["--early", "--re-anchor"],
        &["--early", "--tier", "pro", "--org", "acme"],
        &["--early", "--re-anchor", "--org", "acme", "--tier", "gold"],
    ];
    for flags in cases {
        rollover(&test, CONVERTED, flags).exits(2);
    }
    restart(&test, CONVERTED, &[]).exits(0);
    // Twice at once includes nothing twice.
    restart(&test, "2026-05-12T14:32:40Z", &[]).exits(5);
    assert_eq!(closed(&test, "acme").await.len(), 1);
}

#[tokio::test]
async fn what_was_closed_is_booked_on_the_tier_that_held_in_it_in_either_order() {
    let mut met = Vec::new();
    for is_by_function in [false, true] {
        for names_tier in [false, true] {
            let test = trial().await;
            granted(&test, "acme", "pack", 50, "2026-05-04T13:00:00Z", "").await;
            used(&test, "acme", "120", "2026-05-10T00:00:00Z").await;
            if !names_tier {
                test.sql("update organizations set subscription_tier = 'pro'").await;
            }
            let tier = if names_tier { "pro" } else { "" };
            if is_by_function {
                restarted(&test, tier, "evt_1", CONVERTED).await;
                rollover(&test, "2026-05-12T14:33:00Z", &[]).exits(0);
            } else {
                let flags: &[&str] = if names_tier { &["--tier", "pro"] } else { &[] };
                restart(&test, CONVERTED, flags).exits(0);
            }
            test.check_invariants().await;
            let closed = closed(&test, "acme").await;
            met.push((names_tier, booked(&test).await, closed, org(&test).await));
        }
    }
    for (names_tier, tiers, closed, org) in met {
        // What the new tier, once set, had allowed before the restart stays covered.
        let line = if names_tier { "120 100 20 0" } else { "120 120 0 0" };
        assert_eq!(closed, [format!("{CONVERTED} {line}")]);
        assert_eq!(
            (tiers, org),
            (vec!["free".to_owned()], vec!["pro 12 5 10:32:10 false - pro".to_owned()])
        );
    }
}

#[tokio::test]
async fn a_lower_tier_that_is_set_first_takes_nothing_from_what_was_closed() {
    let test = trial().await;
    restart(&test, CONVERTED, &["--tier", "pro"]).exits(0);
    used(&test, "acme", "900", "2026-05-20T00:00:00Z").await;
    test.sql("update organizations set subscription_tier = 'free'").await;
    restarted(&test, "", "evt_2", "2026-05-25T00:00:00Z").await;
    rollover(&test, "2026-05-25T00:01:00Z", &[]).exits(0);
    assert_eq!(closed(&test, "acme").await[1], "2026-05-25T00:00:00Z 900 1000 0 0");
    assert_eq!(booked(&test).await, ["free", "pro"]);
    assert_eq!(org(&test).await, ["free 24 5 20:00:00 false - free"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn uses_after_the_function_are_in_the_new_period_before_any_rollover() {
    let test = trial().await;
    used(&test, "acme", "100", "2026-05-10T00:00:00Z").await;
    // Used between the instant and the call.
    used(&test, "acme", "30", "2026-05-12T15:00:00Z").await;
    test.sql(
        "insert into users (organization_id, email)
         select id, 'ada@example.org' from organizations;
         select record_usage(o.id, 'minutes_transcribed', 7, u.id, '2026-05-13T00:00:00Z')
         from organizations o join users u on u.organization_id = o.id",
    )
    .await;
    restarted(&test, "pro", "evt_1", CONVERTED).await;
    restarted(&test, "pro", "evt_1", CONVERTED).await;
    used(&test, "acme", "5", "2026-05-12T15:10:00Z").await;
    let began: Vec<String> = counters(&test, "acme").await;
    assert_eq!(began[0], "2026-05-04T13:00:00Z 2026-05-12T14:32:10Z 100");
    assert!(began[1].starts_with("2026-05-12T14:32:10Z") && began[1].ends_with(" 42"), "{began:?}");
    let allowed = "select used, included, allowance, tier from organizations o
                   cross join lateral periodd_allowances(o.id, '2026-05-12T15:20:00Z',
                                                         'minutes_transcribed')";
    assert_eq!(test.rows(allowed).await, ["42 1000 1000 pro"]);
    let users = "select period_start, usage_count from feature_usage where usage_count <> 0";
    assert_eq!(test.rows(users).await, ["2026-05-12T14:32:10Z 7"]);

    rollover(&test, "2026-05-12T15:30:00Z", &[]).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-05-12T14:32:10Z 100 100 0 0"]);
    assert_eq!(
        counters(&test, "acme").await,
        [
            "2026-05-04T13:00:00Z 2026-05-12T14:32:10Z 100",
            "2026-05-12T14:32:10Z 2026-06-12T14:32:10Z 42",
        ]
    );
    assert_eq!(test.rows(users).await, ["2026-05-12T14:32:10Z 7"]);
    // Again, after the close: nothing.
    restarted(&test, "pro", "evt_1", CONVERTED).await;
    assert_eq!(boundaries(&test, "acme").await.len(), 3);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_use_in_the_transaction_of_the_restart_counts_in_the_new_period() {
    let test = including(1000).await;
    test.sql("insert into tier_limits values ('free', 'minutes_transcribed', 100)").await;
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"];
    test.periodd(&[&add[..], &["--period-start", "2h ago", "--period-end", "+14d"]].concat())
        .exits(0);
    let used = "increment_org_usage(o.id, 'minutes_transcribed', ";
    test.sql(&format!(
        "select from organizations o, {used} 100);
         begin;
         select restart_billing_cycle(id, 'pro', 'evt_1') from organizations;
         do $$ begin
             if not (select i.allowed from organizations o, {used} 400) i) then
                 raise 'it is refused';
             end if;
         end $$;
         commit"
    ))
    .await;
    rollover_now(&test);
    let counted = "select used from usage_counters order by period_start";
    assert_eq!(test.rows(counted).await, ["100", "400"]);
    assert_eq!(test.rows("select used, included from billing_period_usage").await, ["100 100"]);
    test.check_invariants().await;
}

/// The SQLSTATE of a call.
async fn refusal(test: &TestDatabase, arguments: &str) -> String {
    let call = format!("select restart_billing_cycle({arguments})::text from organizations");
    let mut connection = test.connect().await;
    let answer = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(call));
    let error = answer.fetch_one(&mut connection).await.expect_err("a refusal");
    error.as_database_error().expect("the database's").code().expect("a code").into_owned()
}

#[tokio::test]
async fn the_function_refuses_what_would_include_something_twice_or_says_nothing() {
    let test = trial().await;
    restarted(&test, "pro", "evt_1", CONVERTED).await;
    let before = dump(&test).await;
    for (arguments, code) in [
        ("id, 'free', 'evt_1'", "PB004"),
        ("id, null, 'evt_1'", "PB004"),
        ("id, 'pro', 'evt_2', '2026-05-12T14:33:00Z'", "PB005"),
        ("id, 'pro', 'evt_2', '2026-05-12T16:00:00Z'", "PB003"),
        ("id, 'pro', 'evt_2', '2026-05-01T00:00:00Z'", "22023"),
        ("id, 'pro', 'evt_2', now() + interval '1 hour'", "22023"),
        ("id, 'gold', 'evt_2'", "PB002"),
        ("id, 'pro', ''", "22023"),
        ("gen_random_uuid(), 'pro'", "PB002"),
    ] {
        assert_eq!(refusal(&test, arguments).await, code, "{arguments}");
    }
    assert_eq!(dump(&test).await, before);
    test.sql("update organizations set current_period_start = null, current_period_end = null")
        .await;
    assert_eq!(refusal(&test, "id").await, "PB001");
}

#[tokio::test]
async fn a_restart_of_an_org_whose_boundary_has_passed_closes_both() {
    let test = trial().await;
    used(&test, "acme", "90", "2026-05-10T00:00:00Z").await;
    used(&test, "acme", "40", "2026-05-19T00:00:00Z").await;
    used(&test, "acme", "2", "2026-05-21T00:00:00Z").await;
    // The trial ended on May 18, and nobody has closed it.
    restarted(&test, "pro", "evt_1", "2026-05-20T08:00:00Z").await;
    rollover(&test, "2026-05-22T00:00:00Z", &[]).exits(0);
    assert_eq!(
        closed(&test, "acme").await,
        ["2026-05-18T13:00:00Z 90 100 0 0", "2026-05-20T08:00:00Z 40 100 0 0"]
    );
    assert_eq!(booked(&test).await, ["free", "free"]);
    assert_eq!(org(&test).await, ["pro 20 5 04:00:00 false - pro"]);
    assert_eq!(test.rows("select used_minutes from organizations").await, ["2"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_subscription_that_ends_is_carried_on_by_a_restart_with_a_tier() {
    let test = trial().await;
    test.sql(
        "update organizations set subscription_ends_at = '2026-05-12T20:00:00Z',
             next_subscription_tier = 'starter', subscription_status = 'active'",
    )
    .await;
    let standing = "select subscription_tier, next_subscription_tier, subscription_status,
                           subscription_ends_at from organizations";
    let ended = test.copy().await;
    restart(&ended, CONVERTED, &[]).exits(0);
    assert_eq!(ended.rows(standing).await, ["free - canceled -"]);
    let called = ended.copy().await;
    drop(ended);
    called.sql("update organizations set subscription_tier = 'pro'").await;
    restart(&called, "2026-05-13T00:00:00Z", &[]).exits(0);
    assert_eq!(called.rows(standing).await, ["pro - canceled -"]);
}

/// Uses one minute after another until it is asked to end; says how many were allowed.
async fn use_up(test: &TestDatabase, calls: usize) -> usize {
    let mut connection: PgConnection = test.connect().await;
    let mut allowed = 0;
    for _ in 0..calls {
        let call = "select allowed from organizations o
                    cross join lateral increment_org_usage(o.id, 'minutes_transcribed')";
        let one: bool =
            sqlx::query_scalar(call).fetch_one(&mut connection).await.expect("an answer");
        allowed += usize::from(one);
    }
    allowed
}

/// Clients that use something beside a restart: what was allowed is in one of the two periods, and
/// covered.
async fn beside_uses(restart: impl AsyncFn(&TestDatabase), tier: &str) {
    let test = including(1000).await;
    test.sql("insert into tier_limits values ('free', 'minutes_transcribed', 40)").await;
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "Asia/Tokyo", "--tier", tier];
    test.periodd(&[&add[..], &["--period-start", "2h ago", "--period-end", "+14d"]].concat())
        .exits(0);
    granted(&test, "acme", "pack", 30, "2026-05-04T13:00:00Z", "").await;
    let together = async {
        let [one, two, three] = [60, 60, 60].map(|calls| use_up(&test, calls));
        let (one, two, three, ()) = tokio::join!(one, two, three, restart(&test));
        one + two + three
    };
    let allowed = together.await;
    rollover_now(&test);
    test.check_invariants().await;
    let counted = test.rows("select coalesce(sum(used), 0) from usage_counters").await;
    assert_eq!(counted, [allowed.to_string()]);
    let metrics = "select count(*) from usage_metrics where counted_at is not null";
    assert_eq!(test.rows(metrics).await, [allowed.to_string()]);
    assert_eq!(boundaries(&test, "acme").await.len(), 3);
    let uncovered = "select sum(uncovered) from billing_period_usage";
    assert!(["0", "-"].contains(&test.rows(uncovered).await[0].as_str()), "{uncovered}");
    // What is open is covered, too: by what is included, or by what the packs hold still.
    let open = "select used <= allowance from organizations o
                cross join lateral periodd_allowances(o.id, now(), 'minutes_transcribed')";
    assert_eq!(test.rows(open).await, ["true"]);
}

fn rollover_now(test: &TestDatabase) -> Value {
    test.periodd(&["--format", "json", "rollover"]).exits(0).json()
}

async fn called(test: &TestDatabase, tier: &str) {
    let call = format!("select restart_billing_cycle(id, {tier}, 'evt_1') from organizations");
    // Twice at once: a webhook that is delivered twice.
    tokio::join!(test.sql(&call), test.sql(&call));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_beside_uses_and_a_rollover_loses_nothing() {
    let raised = async |test: &TestDatabase| {
        called(test, "'pro'").await;
        rollover_now(test);
    };
    Box::pin(beside_uses(raised, "free")).await;
    let lowered = async |test: &TestDatabase| called(test, "'free'").await;
    Box::pin(beside_uses(lowered, "pro")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_beside_uses_loses_nothing() {
    for (tier, next) in [("free", "pro"), ("pro", "free")] {
        let restart = async |test: &TestDatabase| {
            let flags = ["--early", "--re-anchor", "--org", "acme", "--tier", next, "--yes"];
            let mut command = test.command(&[&["rollover"][..], &flags].concat());
            let run = tokio::task::spawn_blocking(move || command.output());
            Answer::from(run.await.expect("a task").expect("the binary runs")).exits(0);
        };
        Box::pin(beside_uses(restart, tier)).await;
    }
}
