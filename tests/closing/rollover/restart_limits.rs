//! Which limits count for what a restart ends, and for what follows it: those that held while it
//! was used, whoever writes a tier when.

use crate::story::{closed, granted, including, rollover, used};
use crate::support::TestDatabase;

const RESTART: &str = "2026-05-12T14:32:10Z";

/// An org in New York, in a first period from May 4 until May 18 on free, which includes 100; pro
/// has 1,000, starter 500. It has a pack of 50.
async fn acme() -> TestDatabase {
    let test = including(1000).await;
    test.sql(
        "insert into tier_limits values ('free', 'minutes_transcribed', 100),
             ('starter', 'minutes_transcribed', 500)",
    )
    .await;
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "America/New_York"];
    let flags = ["--period-end", "+14d", "--at", "2026-05-04T13:00:00Z"];
    test.periodd(&[&add[..], &flags].concat()).exits(0);
    granted(&test, "acme", "pack", 50, "2026-05-04T13:00:00Z", "").await;
    test
}

/// What happens to it.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many minutes, on May 10.
    Use(i32),
    /// An application writes a tier.
    On(&'static str),
    /// And anything else.
    Sql(&'static str),
    /// It calls the function: the tier that it names, and when.
    Restart(&'static str, &'static str),
    /// Somebody looks at the limits.
    Alerts,
    /// And somebody counts what was inserted.
    Sync,
}
use Step::{Alerts, On, Restart, Sql, Sync, Use};

async fn take(test: &TestDatabase, step: Step) {
    match step {
        Use(minutes) => used(test, "acme", &minutes.to_string(), "2026-05-10T00:00:00Z").await,
        On(tier) => {
            test.sql(&format!("update organizations set subscription_tier = '{tier}'")).await;
        }
        Sql(sql) => test.sql(sql).await,
        Restart(tier, at) => {
            test.sql(&format!(
                "select restart_billing_cycle(id, nullif('{tier}', ''), 'evt_1', '{at}')
                 from organizations"
            ))
            .await;
        }
        Sync => {
            test.periodd(&["--at", "2026-05-12T14:40:00Z", "sync"]).exits(0);
        }
        Alerts => {
            test.periodd(&["--at", "2026-05-12T14:40:00Z", "alerts", "run"]).exits(0);
        }
    }
}

/// The tiers of the closed periods, and the org's.
async fn tiers(test: &TestDatabase) -> String {
    let tiers = "select string_agg(t.tier, ' ' order by t.at)
                 from (select b.tier, b.period_start as at from billing_periods b
                       union all select o.subscription_tier, 'infinity' from organizations o) t";
    test.rows(tiers).await.remove(0)
}

#[tokio::test]
async fn what_a_restart_ends_is_covered_by_what_was_granted_until_then() {
    const ENDS_IN_THE_EVENING: Step =
        Sql("update organizations set subscription_ends_at = '2026-05-12T20:00:00Z'");
    const ENDS_WITH_THE_TRIAL: Step =
        Sql("update organizations set subscription_ends_at = '2026-05-18T00:00:00Z'");
    let late = "2026-05-20T14:32:10Z";
    // What happens; then how the first period closes, and the tiers.
    let lives: &[(&[Step], &str, &str)] = &[
        // Whoever looks between the restart and the rollover sees what was granted before it.
        (&[Use(120), Restart("pro", RESTART), Alerts], "120 100 20 0", "free pro"),
        (&[Use(120), Restart("pro", RESTART), Use(1)], "121 100 21 0", "free pro"),
        // A tier that is written after the restart has allowed nothing before it.
        (&[Use(120), Restart("", RESTART), On("pro"), Alerts], "120 100 20 0", "free pro"),
        (&[Use(120), Restart("", RESTART), On("pro")], "120 100 20 0", "free pro"),
        (&[Use(90), On("pro"), Use(800), Restart("", RESTART)], "890 890 0 0", "free pro"),
        // One that is written before it, and named as well.
        (&[Use(120), On("pro"), Restart("pro", RESTART)], "120 120 0 0", "free pro"),
        // What is written last stays: a tier that was named gives way to one that is written since.
        (&[Use(120), Restart("pro", RESTART), On("starter")], "120 100 20 0", "free starter"),
        (&[Use(120), Restart("pro", RESTART), On("free")], "120 100 20 0", "free free"),
        (
            &[On("pro"), Use(120), ENDS_WITH_THE_TRIAL, Restart("", late), On("starter")],
            "120 120 0 0",
            "free free starter",
        ),
        // What stayed included after a fall.
        (
            &[On("pro"), Use(900), On("starter"), Use(20), Restart("", RESTART)],
            "920 900 20 0",
            "free starter",
        ),
        // The subscription ended at a boundary that nobody has closed, or ends on this day.
        (
            &[On("pro"), Use(120), ENDS_WITH_THE_TRIAL, Restart("", late)],
            "120 120 0 0",
            "free free free",
        ),
        (
            &[On("pro"), Use(120), ENDS_IN_THE_EVENING, Restart("", RESTART)],
            "120 120 0 0",
            "free free",
        ),
    ];
    for (life, end, booked) in lives {
        let test = acme().await;
        for step in *life {
            take(&test, *step).await;
        }
        let is_late = life.iter().any(|step| matches!(step, Restart(_, at) if *at == late));
        let (at, now) = if is_late {
            ("2026-05-18T13:00:00Z", "2026-05-20T15:00:00Z")
        } else {
            (RESTART, "2026-05-12T15:00:00Z")
        };
        // What is said of the new period before the rollover holds after it.
        let told = format!(
            "select a.tier, a.used, a.included, a.usable
             from organizations o,
                  periodd_allowances(o.id, '{now}', 'minutes_transcribed') a"
        );
        let before = test.rows(&told).await;
        rollover(&test, now, &[]).exits(0);
        assert_eq!(closed(&test, "acme").await[0], format!("{at} {end}"), "{life:?}");
        assert_eq!(tiers(&test).await, *booked, "{life:?}");
        assert_eq!(test.rows(&told).await, before, "{life:?}");
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn the_command_books_a_tier_that_was_written_first_and_named_alike() {
    let test = acme().await;
    take(&test, Use(120)).await;
    take(&test, On("pro")).await;
    rollover(&test, RESTART, &["--org", "acme", "--early", "--re-anchor", "--tier", "pro"])
        .exits(0);
    assert_eq!(closed(&test, "acme").await, [format!("{RESTART} 120 120 0 0")]);
    assert_eq!(tiers(&test).await, "free pro");
    test.check_invariants().await;
}

/// A change that is scheduled after a restart is one for the end of the period that it began.
#[tokio::test]
async fn a_tier_to_come_that_is_written_after_a_restart_waits_for_the_end_of_its_period() {
    let test = acme().await;
    take(&test, Restart("pro", RESTART)).await;
    take(&test, Sql("update organizations set next_subscription_tier = 'starter'")).await;
    let foreseen = "select a.tier from organizations o,
                           periodd_allowances(o.id, '2026-05-12T15:00:00Z',
                                              'minutes_transcribed') a";
    assert_eq!(test.rows(foreseen).await, ["pro"]);
    rollover(&test, "2026-05-12T15:00:00Z", &[]).exits(0);
    assert_eq!(tiers(&test).await, "free pro");
    assert_eq!(test.rows(foreseen).await, ["pro"]);
    rollover(&test, "2026-06-13T00:00:00Z", &[]).exits(0);
    assert_eq!(tiers(&test).await, "free pro starter");
    test.check_invariants().await;
}

/// A subscription that is canceled after a restart with a tier ends with the period that the
/// restart began, even if it is canceled for the same day.
#[tokio::test]
async fn a_subscription_that_is_canceled_after_a_restart_ends_with_its_period() {
    for ends in ["2026-05-12T20:00:00Z", "2026-05-12T14:00:00Z"] {
        let test = acme().await;
        take(&test, Restart("pro", RESTART)).await;
        let cancel = format!(
            "update organizations set subscription_ends_at = '{ends}',
                 next_subscription_tier = 'starter', next_subscription_tier_at = '{ends}'"
        );
        test.sql(&cancel).await;
        let foreseen = "select a.tier from organizations o,
                               periodd_allowances(o.id, '2026-05-12T15:00:00Z',
                                                  'minutes_transcribed') a";
        assert_eq!(test.rows(foreseen).await, ["pro"], "{ends}");
        rollover(&test, "2026-05-12T15:00:00Z", &[]).exits(0);
        assert_eq!(tiers(&test).await, "free pro", "{ends}");
        assert_eq!(test.rows(foreseen).await, ["pro"], "{ends}");
        rollover(&test, "2026-06-13T00:00:00Z", &[]).exits(0);
        assert_eq!(tiers(&test).await, "free pro free", "{ends}");
        test.check_invariants().await;
    }
}

/// Between the restart and its rollover the new period is as open as any: a limit that falls in it
/// leaves what was used by then, whoever counts that, and whoever sees the fall.
#[tokio::test]
async fn a_limit_that_falls_between_a_restart_and_its_rollover_does_not_reach_back() {
    const RECORD: &str = "select record_usage(id, 'minutes_transcribed', 700, null,
                                              '2026-05-12T14:35:00Z') from organizations";
    const SMALL: &str = "select record_usage(id, 'minutes_transcribed', 1, null,
                                             '2026-05-12T14:36:00Z') from organizations";
    const BATCH: &str = "select record_usage_batch(jsonb_build_array(jsonb_build_object(
            'org_id', id, 'feature', 'minutes_transcribed', 'amount', 700,
            'used_at', '2026-05-12T14:35:00Z'))) from organizations";
    const INSERT: &str = "insert into usage_metrics
            (organization_id, metric_type, metric_value, created_at)
        select id, 'minutes_transcribed', 700, '2026-05-12T14:35:00Z' from organizations";
    let seen: [&[Step]; 5] = [
        &[Sql(RECORD), On("free")],
        &[Sql(BATCH), On("free")],
        &[Sql(INSERT), Sync, On("free")],
        &[Sql(RECORD), On("free"), Alerts],
        // Seen by the rollover alone, with a use in between.
        &[Sql(RECORD), On("free"), Sql(SMALL)],
    ];
    for steps in seen {
        let test = acme().await;
        take(&test, Restart("pro", RESTART)).await;
        for step in steps {
            take(&test, *step).await;
        }
        let told = "select a.included from organizations o,
                           periodd_allowances(o.id, '2026-05-12T14:50:00Z',
                                              'minutes_transcribed') a";
        assert_eq!(test.rows(told).await, ["700"], "{steps:?}");
        rollover(&test, "2026-05-12T15:00:00Z", &[]).exits(0);
        assert_eq!(test.rows(told).await, ["700"], "{steps:?}");
        rollover(&test, "2026-06-13T00:00:00Z", &[]).exits(0);
        let line = closed(&test, "acme").await.remove(1);
        assert!(line.contains(" 700 ") && line.ends_with(" 0"), "{steps:?}: {line}");
        test.check_invariants().await;
    }
}

/// A restart that no rollover can find any more, for somebody has moved the period beyond it.
#[tokio::test]
async fn a_restart_that_lies_before_the_open_period_blocks_no_other() {
    let test = acme().await;
    test.sql(
        "update organizations set restarted_at = '2026-05-03T00:00:00Z', restarted_from = 'free'",
    )
    .await;
    take(&test, Restart("pro", RESTART)).await;
    rollover(&test, "2026-05-12T15:00:00Z", &[]).exits(0);
    assert_eq!(tiers(&test).await, "free pro");
    test.check_invariants().await;
}

/// The SQLSTATE of a call for the org.
async fn refusal(test: &TestDatabase, call: &str) -> String {
    let mut connection = test.connect().await;
    let call = format!("select ({call})::text from organizations");
    let answer = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(call));
    let error = answer.fetch_one(&mut connection).await.expect_err("a refusal");
    error.as_database_error().expect("the database's").code().expect("a code").into_owned()
}

#[tokio::test]
async fn nothing_happens_to_an_org_that_was_removed() {
    let test = acme().await;
    test.sql(
        "insert into features (feature, unit, kind) values ('seats', 'seats', 'level');
         update organizations set removed_at = '2026-05-11T00:00:00Z',
             parked_at = '2026-05-11T00:00:00Z', parked_code = 'removed', parked_reason = ''",
    )
    .await;
    for call in [
        "restart_billing_cycle(id, 'pro')",
        "set_usage_level(id, 'seats', 3)",
        "refund_overage_pack(id, 'pack')",
    ] {
        assert_eq!(refusal(&test, call).await, "PB002", "{call}");
    }
}

/// A date that a change of calendar passes over belongs to the calendar before the restart.
#[tokio::test]
async fn a_restart_passes_over_no_end() {
    let test = including(1000).await;
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC", "--cycle", "quarterly"];
    test.periodd(&[&add[..], &["--at", "2026-01-01T00:00:00Z"]].concat()).exits(0);
    let set = "--at 2026-01-04T00:00:00Z orgs set acme --cycle monthly --anchor-day 10 --at-next";
    test.periodd(&set.split(' ').collect::<Vec<_>>()).exits(0);
    assert_ne!(test.rows("select skipped_end_date from organizations").await, ["-"]);
    take(&test, Restart("", "2026-01-05T00:00:00Z")).await;
    rollover(&test, "2026-01-05T01:00:00Z", &[]).exits(0);
    rollover(&test, "2026-02-05T01:00:00Z", &[]).exits(0);
    let open = "select current_period_start, current_period_end from organizations";
    assert_eq!(test.rows(open).await, ["2026-02-05T00:00:00Z 2026-03-05T00:00:00Z"]);
    test.check_invariants().await;
}
