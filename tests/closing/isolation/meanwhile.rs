//! Somebody else is done before the plan is applied.

use periodd::store::rollover::snapshot::Window;
use periodd::store::{LockTimeout, StoreError, begin_within, usage};

use crate::isolation::page::{self, closed, due_org, execute, now, plan, roll_over};
use crate::support::TestDatabase;

/// What becomes of a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// The org does not stand as the plan expects, and is left alone.
    LeftAlone,
    /// The whole page is undone.
    Undone,
    /// It is carried out.
    Applied,
}
use Outcome::{Applied, LeftAlone, Undone};

/// Reads and plans; somebody executes statements; applies. Whatever the plan does not do, it must
/// not do at all.
async fn apply_after(statements: &str) -> (Outcome, TestDatabase) {
    let test = due_org().await;
    let outcome = apply_after_on(&test, statements).await;
    (outcome, test)
}

async fn apply_after_on(test: &TestDatabase, statements: &str) -> Outcome {
    let (mut ours, mut theirs) = (test.connect().await, test.connect().await);
    let mut transaction = begin_within(&mut ours, LockTimeout::Long).await.expect("a transaction");
    let planned = plan(&mut transaction).await;
    execute(&mut theirs, statements).await;
    let before = test.contents().await;
    let outcome = match page::apply(&mut transaction, &planned).await {
        Ok(moved) if moved.is_empty() => LeftAlone,
        Ok(moved) => {
            assert_eq!(moved, [planned.plan.org].into());
            Applied
        }
        Err(StoreError::Conflict(_)) => Undone,
        Err(other) => panic!("{other}"),
    };
    if outcome == Undone {
        transaction.rollback().await.expect("rolled back");
    } else {
        transaction.commit().await.expect("committed");
    }
    if outcome != Applied {
        assert_eq!(test.contents().await, before, "half a plan was written");
    }
    outcome
}

/// Reads again, and ends as expected: May's usage, then the packs.
async fn read_again(test: &TestDatabase, expected: &[&str]) {
    roll_over(&mut test.connect().await).await;
    assert_eq!(closed(test).await, expected);
    test.check_invariants().await;
}

#[tokio::test]
async fn nobody_does_anything() {
    let (outcome, test) = apply_after("select 1").await;
    assert_eq!(outcome, Applied);
    assert_eq!(closed(&test).await, ["540 40 0", "pack 60"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn somebody_grants_a_pack() {
    let (outcome, test) = apply_after(
        "select grant_overage_pack(id, 'minutes_transcribed', 30, 'soon', '2026-06-30',
                                   '2026-05-20') from organizations",
    )
    .await;
    assert_eq!(outcome, LeftAlone);
    read_again(&test, &["540 40 0", "pack 90", "soon 0"]).await;
}

#[tokio::test]
async fn somebody_refunds_what_is_left_of_a_pack() {
    let (outcome, test) = apply_after(
        "update organizations set revision = revision + 1;
         update overage_packs set remaining = 25, entries = 2;
         insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
         select org_id, id, 2, 'refunded', 75, '2026-06-01', 25 from overage_packs",
    )
    .await;
    assert_eq!(outcome, LeftAlone);
    read_again(&test, &["540 25 15", "pack 0"]).await;
}

#[tokio::test]
async fn somebody_draws_on_the_pack_without_touching_the_org() {
    let (outcome, test) = apply_after(
        "update overage_packs set remaining = 99, entries = 2;
         insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
         select org_id, id, 2, 'drawn', 1, '2026-06-01', 99 from overage_packs",
    )
    .await;
    assert_eq!(outcome, Undone);
    read_again(&test, &["540 40 0", "pack 59"]).await;
}

#[tokio::test]
async fn somebody_rolls_the_org_over() {
    let test = due_org().await;
    let (mut ours, mut theirs) = (test.connect().await, test.connect().await);
    let mut transaction = begin_within(&mut ours, LockTimeout::Long).await.expect("a transaction");
    let planned = plan(&mut transaction).await;
    roll_over(&mut theirs).await;
    let before = test.contents().await;
    let moved = page::apply(&mut transaction, &planned).await.expect("no conflict");
    assert!(moved.is_empty());
    transaction.commit().await.expect("committed");
    assert_eq!(test.contents().await, before);
    assert_eq!(closed(&test).await, ["540 40 0", "pack 60"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn somebody_writes_a_metric_plainly() {
    let (outcome, test) = apply_after(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'minutes_transcribed', 5, '2026-05-31T23:59:59Z' from organizations",
    )
    .await;
    assert_eq!(outcome, Undone);
    read_again(&test, &["545 45 0", "pack 55"]).await;
}

#[tokio::test]
async fn somebody_takes_a_metric_away_that_was_to_be_counted() {
    let (outcome, test) = apply_after("delete from usage_metrics where counted_at is null").await;
    assert_eq!(outcome, Undone);
    read_again(&test, &["480 0 0", "pack 100"]).await;
}

#[tokio::test]
async fn somebody_counts_the_metrics() {
    let test = due_org().await;
    let (mut ours, mut theirs) = (test.connect().await, test.connect().await);
    let mut transaction = begin_within(&mut ours, LockTimeout::Long).await.expect("a transaction");
    let planned = plan(&mut transaction).await;
    let windows: &[Window] = &planned.counting;
    let counted = usage::count(&mut theirs, windows, now()).await.expect("counted");
    assert_eq!(counted.usage, planned.expects_to_count);
    let before = test.contents().await;
    let applied = page::apply(&mut transaction, &planned).await;
    assert!(matches!(applied, Err(StoreError::Conflict(_))), "{applied:?}");
    transaction.rollback().await.expect("rolled back");
    assert_eq!(test.contents().await, before);
    read_again(&test, &["540 40 0", "pack 60"]).await;
}

#[tokio::test]
async fn somebody_counts_and_somebody_else_writes_as_much_again() {
    // What is left to count adds up to what was expected, but it is something else.
    let (outcome, test) = apply_after(
        "update usage_metrics set counted_at = now() where counted_at is null;
         update usage_counters set used = used + 60;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'minutes_transcribed', 60, '2026-05-16' from organizations",
    )
    .await;
    // The counter tells: it holds more than was read.
    assert_eq!(outcome, Undone);
    read_again(&test, &["600 100 0", "pack 0"]).await;
    assert_eq!(test.rows("select used from usage_counters").await, ["600"]);
}

#[tokio::test]
async fn somebody_records_usage_that_counts_at_once() {
    // It commits after the plan was read, and before the books are written: it is in them.
    let (outcome, test) = apply_after(
        "select record_usage(id, 'minutes_transcribed', 3, null, '2026-05-31')
         from organizations",
    )
    .await;
    assert_eq!(outcome, Undone);
    read_again(&test, &["543 43 0", "pack 57"]).await;
    let counters = "select period_start, used from usage_counters";
    assert_eq!(test.rows(counters).await, ["2026-05-01T00:00:00Z 543"]);
    let uncounted = "select count(*) from usage_metrics where counted_at is null";
    assert_eq!(test.rows(uncounted).await, ["0"]);
}

#[tokio::test]
async fn somebody_moves_the_org_or_its_anchor() {
    for change in [
        "time_zone = 'Asia/Tokyo'",
        "anchor_day = 15",
        "anchor_month = 7",
        "cycle = 'weekly'",
        "current_period_end = '2026-06-01T01:00:00Z'",
    ] {
        let (outcome, _) = apply_after(&format!("update organizations set {change}")).await;
        assert_eq!(outcome, LeftAlone, "{change}");
    }
}

#[tokio::test]
async fn somebody_changes_the_subscription_that_the_plan_would_change() {
    for change in [
        "next_subscription_tier = 'business'",
        "next_subscription_tier_at = '2026-08-01'",
        "subscription_tier = 'free'",
        "subscription_status = 'past_due'",
        "subscription_ends_at = '2026-05-31'",
    ] {
        let (outcome, _) = apply_after(&format!("update organizations set {change}")).await;
        assert_eq!(outcome, Undone, "{change}");
    }
}

#[tokio::test]
async fn somebody_sets_the_org_aside_or_sells_minutes_by_hand() {
    for change in ["parked_at = now(), parked_reason = 'by hand'", "overage_minutes = 500"] {
        let (outcome, _) = apply_after(&format!("update organizations set {change}")).await;
        assert_eq!(outcome, LeftAlone, "{change}");
    }
}
