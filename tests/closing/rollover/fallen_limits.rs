//! A limit that falls within a period does not reach back: what had been used within it stays
//! included, whoever lowers it, and whoever sees it first.

use crate::story::{add, closed, granted, inserted, rollover, used};
use crate::support::TestDatabase;

const MAY: &str = "2026-05-01T00:00:00Z";
const USED: &str = "2026-05-10T00:00:00Z";
const JUNE: &str = "2026-06-02T00:00:00Z";

/// What happens to acme in May.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many minutes, through the function.
    Use(i32),
    /// So many, by a plain insert that nobody has counted yet.
    Insert(i32),
    /// What an application writes.
    Sql(&'static str),
    /// What a person runs.
    Run(&'static str),
}
use Step::{Insert, Run, Sql, Use};

const PRO: Step = Sql("update organizations set subscription_tier = 'pro'");
const STARTER: Step = Sql("update organizations set subscription_tier = 'starter'");
const FREE: Step = Sql("update organizations set subscription_tier = 'free'");
/// No row says what this one includes.
const WITHOUT: Step = Sql("update organizations set subscription_tier = 'without'");
const UNLIMITED: Step = Sql("update organizations set subscription_tier = 'unlimited'");
const OVERRIDE: &str = "insert into limit_overrides select id, 'minutes_transcribed', 1000
                        from organizations";
const LOWER_OVERRIDE: &str = "update limit_overrides set included = 200";

/// An org on pro, which includes 1,000 minutes, with a pack of 500.
async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into subscription_tiers (code) values ('unlimited'), ('without');
         insert into tier_limits
         values ('pro', 'minutes_transcribed', 1000), ('starter', 'minutes_transcribed', 500),
                ('free', 'minutes_transcribed', 100), ('unlimited', 'minutes_transcribed', null)",
    )
    .await;
    test.configure("[mail]\ntransport = \"none\"\n");
    add(&test, "acme", MAY, &["--zone", "UTC"]);
    granted(&test, "acme", "order-7", 500, MAY, "").await;
    test
}

async fn take(test: &TestDatabase, step: Step) {
    match step {
        Use(minutes) => used(test, "acme", &minutes.to_string(), USED).await,
        Insert(minutes) => {
            inserted(test, "acme", "minutes_transcribed", &minutes.to_string(), USED).await;
        }
        Sql(sql) => test.sql(sql).await,
        Run(line) => {
            let words = ["--at", USED].into_iter().chain(line.split(' ')).collect::<Vec<_>>();
            test.periodd(&words).exits(0);
        }
    }
}

#[tokio::test]
async fn what_was_used_within_a_limit_stays_included_when_it_falls() {
    // What happens; then used, included, drawn and uncovered at the close.
    let lives: &[(&[Step], &str)] = &[
        (&[Use(900), FREE, Use(50)], "950 900 50 0"),
        (&[Use(900), FREE], "900 900 0 0"),
        (&[Use(900), Run("orgs set acme --tier free"), Use(50)], "950 900 50 0"),
        // Only what was included is kept: packs go on paying for what was above it.
        (&[Use(1200), FREE, Use(50)], "1250 1000 250 0"),
        // Twice lowered, and raised in between.
        (&[Use(900), STARTER, Use(100), FREE, Use(50)], "1050 900 150 0"),
        (&[Use(900), STARTER, FREE, Use(50)], "950 900 50 0"),
        (&[Use(400), STARTER, Use(50), FREE, Use(50)], "500 450 50 0"),
        (&[Use(900), FREE, Use(50), PRO, Use(40)], "990 1000 0 0"),
        (&[Use(900), FREE, Use(50), PRO, Use(50), FREE, Use(10)], "1010 1000 10 0"),
        // Raised limits count at once.
        (&[FREE, Use(150), PRO, Use(750), FREE, Use(50)], "950 900 50 0"),
        // Without limit, and without anything.
        (&[UNLIMITED, Use(5000), FREE, Use(50)], "5050 5000 50 0"),
        (&[Use(900), UNLIMITED, Use(3000), FREE], "3900 3900 0 0"),
        (&[Use(900), WITHOUT, Use(50)], "950 900 50 0"),
        // Overrides, and what tiers include.
        (&[FREE, Sql(OVERRIDE), Use(900), Sql(LOWER_OVERRIDE), Use(50)], "950 900 50 0"),
        (
            &[FREE, Sql(OVERRIDE), Use(900), Sql("delete from limit_overrides"), Use(50)],
            "950 900 50 0",
        ),
        (
            &[
                FREE,
                Run("limits set --org acme --feature minutes_transcribed --included 1000"),
                Use(900),
                Run("limits set --org acme --feature minutes_transcribed --reset"),
                Use(50),
            ],
            "950 900 50 0",
        ),
        (
            &[Use(900), Sql("update tier_limits set included = 300 where tier = 'pro'"), Use(50)],
            "950 900 50 0",
        ),
        (&[Use(900), Sql("delete from tier_limits where tier = 'pro'"), Use(50)], "950 900 50 0"),
        // Nothing was used by then.
        (&[FREE, Use(150)], "150 100 50 0"),
        // A correction of before lowers what was used; one of after does not.
        (&[Use(900), Use(-300), FREE, Use(50)], "650 600 50 0"),
        (&[Use(900), FREE, Use(-300)], "600 900 0 0"),
        // Plain inserts: who counts them sees the limit, and so do alerts and people.
        (&[Insert(900), Run("sync"), FREE, Insert(60)], "960 960 0 0"),
        (&[Insert(900), Run("sync"), FREE, Run("alerts run"), Insert(60)], "960 900 60 0"),
        (&[Insert(900), Run("orgs set acme --tier free"), Insert(60)], "960 900 60 0"),
        (
            &[
                Insert(900),
                Run("sync"),
                Sql("update tier_limits set included = 300 where tier = 'pro'"),
                Run("alerts run"),
                Insert(60),
            ],
            "960 900 60 0",
        ),
        (&[Use(900), FREE, Run("sync --full"), Use(50)], "950 900 50 0"),
    ];
    for (life, end) in lives {
        let test = acme().await;
        for step in *life {
            take(&test, *step).await;
        }
        let plan = rollover(&test, JUNE, &["--dry-run"]).exits(3).json();
        rollover(&test, JUNE, &[]).exits(0);
        let closed = closed(&test, "acme").await;
        assert_eq!(closed, [format!("2026-06-01T00:00:00Z {end}")], "{life:?}");
        let line = &plan["plans"][0]["closes"][0]["features"][0];
        let numbers = ["used", "included", "drawn", "uncovered"].map(|name| line[name].to_string());
        assert_eq!(numbers.join(" "), *end, "{life:?}: {plan}");
        test.check_invariants().await;
    }
}

/// An application moves the end and lowers the tier in one statement: usage is counted again, and
/// what was used within the higher limit stays included all the same.
#[tokio::test]
async fn what_is_counted_again_stays_included() {
    const MOVED: &str = "update organizations set subscription_tier = 'free',
        current_period_end = '2026-05-25', next_period_ends = array['2026-06-25'::timestamptz]";
    for passes in [0, 1] {
        let test = acme().await;
        take(&test, Use(900)).await;
        take(&test, Sql(MOVED)).await;
        for _ in 0..passes {
            rollover(&test, "2026-05-12T00:00:00Z", &[]).exits(0);
        }
        take(&test, Use(50)).await;
        let plan = rollover(&test, JUNE, &["--dry-run"]).exits(3).json();
        assert_eq!(plan["plans"][0]["closes"][0]["features"][0]["included"], 900, "{plan}");
        rollover(&test, JUNE, &[]).exits(0);
        assert_eq!(closed(&test, "acme").await, ["2026-05-25T00:00:00Z 950 900 50 0"]);
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn the_next_period_includes_what_is_granted_in_it() {
    let test = acme().await;
    used(&test, "acme", "900", USED).await;
    take(&test, FREE).await;
    rollover(&test, JUNE, &[]).exits(0);
    used(&test, "acme", "150", JUNE).await;
    rollover(&test, "2026-07-02T00:00:00Z", &[]).exits(0);
    let books = ["2026-06-01T00:00:00Z 900 900 0 0", "2026-07-01T00:00:00Z 150 100 50 0"];
    assert_eq!(closed(&test, "acme").await, books);
    test.check_invariants().await;
}

/// The tier falls at a boundary, and not within a period: nothing is kept in the next one, also
/// where its usage was recorded before the late rollover.
#[tokio::test]
async fn a_subscription_that_ends_at_a_boundary_keeps_nothing_beyond_it() {
    let test = acme().await;
    test.sql("update organizations set subscription_ends_at = '2026-06-01T00:00:00Z'").await;
    used(&test, "acme", "900", USED).await;
    used(&test, "acme", "150", JUNE).await;
    inserted(&test, "acme", "minutes_transcribed", "20", JUNE).await;
    rollover(&test, JUNE, &[]).exits(0);
    used(&test, "acme", "30", JUNE).await;
    rollover(&test, "2026-07-02T00:00:00Z", &[]).exits(0);
    let books = ["2026-06-01T00:00:00Z 900 1000 0 0", "2026-07-01T00:00:00Z 200 100 100 0"];
    assert_eq!(closed(&test, "acme").await, books);
    test.check_invariants().await;
}

/// Webhooks write the new tier as the period ends, and the rollover comes a moment later.
#[tokio::test]
async fn a_tier_that_falls_before_a_late_rollover_is_not_the_ended_periods() {
    let test = acme().await;
    used(&test, "acme", "900", USED).await;
    used(&test, "acme", "80", JUNE).await;
    take(&test, FREE).await;
    used(&test, "acme", "70", JUNE).await;
    rollover(&test, "2026-07-02T00:00:00Z", &[]).exits(0);
    let books = ["2026-06-01T00:00:00Z 900 900 0 0", "2026-07-01T00:00:00Z 150 100 50 0"];
    assert_eq!(closed(&test, "acme").await, books);
    test.check_invariants().await;
}

/// 180,000 of 200,000 used, then a tier with 49,000: nothing is drawn, and the next period has
/// 49,000. Inserted plainly, and lowered by a person before anybody has counted it.
#[tokio::test]
async fn nothing_is_drawn_for_what_was_included_when_it_was_used() {
    let test = acme().await;
    test.sql(
        "update tier_limits set included = 200000 where tier = 'pro';
         update tier_limits set included = 49000 where tier = 'starter'",
    )
    .await;
    inserted(&test, "acme", "minutes_transcribed", "180000", USED).await;
    take(&test, Run("orgs set acme --tier starter")).await;
    rollover(&test, JUNE, &[]).exits(0);
    used(&test, "acme", "49100", JUNE).await;
    rollover(&test, "2026-07-02T00:00:00Z", &[]).exits(0);
    let books =
        ["2026-06-01T00:00:00Z 180000 180000 0 0", "2026-07-01T00:00:00Z 49100 49000 100 0"];
    assert_eq!(closed(&test, "acme").await, books);
    test.check_invariants().await;
}

/// Late usage of a closed period is above what was included there.
#[tokio::test]
async fn late_usage_is_above_what_stayed_included() {
    let test = acme().await;
    used(&test, "acme", "900", USED).await;
    take(&test, FREE).await;
    rollover(&test, JUNE, &[]).exits(0);
    used(&test, "acme", "40", USED).await;
    test.periodd(&["--at", JUNE, "sync"]).exits(0);
    let late = "select kind, used, drawn, uncovered from billing_adjustments";
    assert_eq!(test.rows(late).await, ["late 40 40 0"]);
    test.check_invariants().await;
}

/// A pack that expires within the period pays for what lies above what stays included.
#[tokio::test]
async fn an_expiry_draws_above_what_stayed_included() {
    let test = acme().await;
    granted(&test, "acme", "soon", 200, MAY, "2026-05-20T00:00:00Z").await;
    used(&test, "acme", "900", USED).await;
    take(&test, FREE).await;
    used(&test, "acme", "50", "2026-05-15T00:00:00Z").await;
    rollover(&test, "2026-05-21T00:00:00Z", &[]).exits(0);
    let drawn = "select p.reference, e.kind, e.quantity from overage_entries e
                 join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
                 where e.kind <> 'granted' order by e.seq, 1";
    assert_eq!(test.rows(drawn).await, ["soon drawn 50", "soon expired 150"]);
    rollover(&test, JUNE, &[]).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-06-01T00:00:00Z 950 900 50 0"]);
    test.check_invariants().await;
}
