//! Packs persist: who pays at a close and at an expiry, in which order, and what comes back.

use crate::story::{add, closed, granted, including, packs, rollover, used};
use crate::support::TestDatabase;

/// An org in UTC whose open period is May 2026, with 500 minutes included.
async fn may() -> TestDatabase {
    let test = including(500).await;
    add(&test, "acme", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    test
}

/// Tells a story several times: settled by a rollover at each of the instants, by the last one
/// alone, and by the last one after one of the others. All must leave the same closes and the
/// same packs, which are returned.
async fn on_the_day_or_late<T: Future<Output = TestDatabase>>(
    story: impl Fn() -> T,
    instants: &[&str],
) -> (Vec<String>, Vec<String>) {
    let (last, others) = instants.split_last().expect("an instant");
    let mut tellings = vec![instants.to_vec(), vec![*last]];
    tellings.extend(others.iter().map(|other| vec![*other, *last]));
    let mut endings = Vec::new();
    for telling in tellings {
        let test = story().await;
        for at in &telling {
            rollover(&test, at, &[]).exits(0);
        }
        test.check_invariants().await;
        endings.push((closed(&test, "acme").await, packs(&test).await));
        assert_eq!(endings.first(), endings.last(), "settled at all instants, and at {telling:?}");
    }
    endings.swap_remove(0)
}

#[tokio::test]
async fn a_pack_bought_after_the_end_is_untouched_by_a_late_close() {
    let test = may().await;
    used(&test, "acme", "600", "2026-05-10T00:00:00Z").await;
    granted(&test, "acme", "june", 300, "2026-06-02T09:00:00Z", "").await;
    rollover(&test, "2026-06-03T00:00:00Z", &[]).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-06-01T00:00:00Z 600 500 0 100"]);
    assert_eq!(packs(&test).await, ["june 300 0 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_pack_bought_at_the_very_end_is_not_of_the_period_even_where_another_expires_then() {
    let test = may().await;
    used(&test, "acme", "600", "2026-05-10T00:00:00Z").await;
    granted(&test, "acme", "a", 30, "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z").await;
    granted(&test, "acme", "b", 300, "2026-06-01T00:00:00Z", "").await;
    rollover(&test, "2026-06-03T00:00:00Z", &[]).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-06-01T00:00:00Z 600 500 30 70"]);
    assert_eq!(packs(&test).await, ["a 0 30 0", "b 300 0 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn equal_packs_are_used_in_the_order_of_their_ids_on_every_replay() {
    for order in [[3, 1, 2], [2, 3, 1]] {
        let test = may().await;
        for id in order {
            test.sql(&format!(
                "insert into overage_packs
                     (id, org_id, feature, quantity, purchased_at, expires_at, reference)
                 select '{id}0000000-0000-0000-0000-000000000000', id, 'minutes_transcribed', 100,
                        '2026-05-02T00:00:00Z', '2026-12-01T00:00:00Z', 'id {id}'
                 from organizations"
            ))
            .await;
        }
        used(&test, "acme", "650", "2026-05-10T00:00:00Z").await;
        for _ in 0..3 {
            rollover(&test, "2026-06-03T00:00:00Z", &[]).exits(0);
            let left = packs(&test).await;
            assert_eq!(left, ["id 1 0 100 0", "id 2 50 50 0", "id 3 100 0 0"], "{order:?}");
        }
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn soonest_expiry_goes_before_oldest_purchase() {
    let test = may().await;
    granted(&test, "acme", "never, oldest", 50, "2026-04-01T00:00:00Z", "").await;
    granted(&test, "acme", "july, older", 50, "2026-04-02T00:00:00Z", "2026-07-01T00:00:00Z").await;
    granted(&test, "acme", "july, newer", 50, "2026-04-03T00:00:00Z", "2026-07-01T00:00:00Z").await;
    granted(&test, "acme", "june", 50, "2026-05-03T00:00:00Z", "2026-06-20T00:00:00Z").await;
    used(&test, "acme", "610", "2026-05-10T00:00:00Z").await;
    rollover(&test, "2026-06-03T00:00:00Z", &[]).exits(0);
    let left = packs(&test).await;
    assert_eq!(
        left,
        ["july, newer 40 10 0", "july, older 0 50 0", "june 0 50 0", "never, oldest 50 0 0"]
    );
    test.check_invariants().await;
}

#[tokio::test]
async fn an_unused_pack_is_the_same_after_any_number_of_rollovers() {
    let test = may().await;
    granted(&test, "acme", "unused", 300, "2026-05-02T00:00:00Z", "").await;
    let before = test.rows("select * from overage_packs").await;
    for month in 6..=12 {
        used(&test, "acme", "500", &format!("2026-{:02}-15T00:00:00Z", month - 1)).await;
        rollover(&test, &format!("2026-{month:02}-01T00:00:00Z"), &[]).exits(0);
    }
    rollover(&test, "2028-01-01T00:00:00Z", &[]).exits(0);
    assert_eq!(closed(&test, "acme").await.len(), 20);
    assert_eq!(test.rows("select * from overage_packs").await, before);
    assert_eq!(test.rows("select kind from overage_entries").await, ["granted"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn packs_that_expire_inside_a_period_pay_for_the_usage_before_their_expiry() {
    let story = async || {
        let test = may().await;
        used(&test, "acme", "530", "2026-05-19T23:59:59.999999Z").await;
        used(&test, "acme", "250", "2026-05-20T00:00:00Z").await;
        granted(&test, "acme", "C", 50, "2026-05-01T00:00:00Z", "2026-05-20T00:00:00Z").await;
        granted(&test, "acme", "A", 100, "2026-05-01T00:00:00Z", "2026-06-30T00:00:00Z").await;
        granted(&test, "acme", "B", 200, "2026-05-01T00:00:00Z", "").await;
        test
    };
    let days = ["2026-05-20T00:05:00Z", "2026-06-01T00:00:00Z", "2026-06-03T00:00:00Z"];
    let (closes, packs) = on_the_day_or_late(story, &days).await;
    assert_eq!(closes, ["2026-06-01T00:00:00Z 780 500 280 0"]);
    assert_eq!(packs, ["A 0 100 0", "B 50 150 0", "C 0 30 20"]);
}

#[tokio::test]
async fn a_pack_that_expires_at_the_very_end_pays_for_the_whole_period() {
    let story = async || {
        let test = may().await;
        used(&test, "acme", "520", "2026-05-31T23:59:59.999999Z").await;
        used(&test, "acme", "700", "2026-06-01T00:00:00Z").await;
        granted(&test, "acme", "C", 50, "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z").await;
        test
    };
    let days = ["2026-06-01T00:00:00Z", "2026-07-02T00:00:00Z"];
    let (closes, packs) = on_the_day_or_late(story, &days).await;
    assert_eq!(closes, ["2026-06-01T00:00:00Z 520 500 20 0", "2026-07-01T00:00:00Z 700 500 0 200"]);
    assert_eq!(packs, ["C 0 20 30"]);
}

#[tokio::test]
async fn a_pack_granted_after_its_expiry_before_the_open_period_is_written_off() {
    let test = may().await;
    used(&test, "acme", "600", "2026-05-10T00:00:00Z").await;
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    used(&test, "acme", "600", "2026-06-02T00:00:00Z").await;
    granted(&test, "acme", "late", 80, "2026-05-01T00:00:00Z", "2026-05-25T00:00:00Z").await;
    rollover(&test, "2026-07-01T00:00:00Z", &[]).exits(0);
    assert_eq!(packs(&test).await, ["late 0 0 80"]);
    assert_eq!(
        closed(&test, "acme").await,
        ["2026-06-01T00:00:00Z 600 500 0 100", "2026-07-01T00:00:00Z 600 500 0 100"]
    );
    test.check_invariants().await;
}

/// By May 20 C (50) and A (100) have paid 50 + 70; then a correction.
async fn corrected(minutes: &'static str) -> TestDatabase {
    let test = may().await;
    used(&test, "acme", "620", "2026-05-10T00:00:00Z").await;
    used(&test, "acme", minutes, "2026-05-21T00:00:00Z").await;
    granted(&test, "acme", "A", 100, "2026-05-01T00:00:00Z", "").await;
    granted(&test, "acme", "C", 50, "2026-05-01T00:00:00Z", "2026-05-20T00:00:00Z").await;
    test
}

const CORRECTED: [&str; 3] =
    ["2026-05-20T01:00:00Z", "2026-05-22T00:00:00Z", "2026-06-01T00:00:00Z"];

#[tokio::test]
async fn a_correction_gives_back_what_was_drawn_last() {
    let (closes, packs) = on_the_day_or_late(|| corrected("-40"), &CORRECTED).await;
    assert_eq!(closes, ["2026-06-01T00:00:00Z 580 500 80 0"]);
    assert_eq!(packs, ["A 70 30 0", "C 0 50 0"]);
}

#[tokio::test]
async fn what_returns_to_an_expired_pack_expires_at_once() {
    let (closes, packs) = on_the_day_or_late(|| corrected("-100"), &CORRECTED).await;
    assert_eq!(closes, ["2026-06-01T00:00:00Z 520 500 20 0"]);
    assert_eq!(packs, ["A 100 0 0", "C 0 20 30"]);
}

#[tokio::test]
async fn two_corrections_in_a_row_give_back_twice() {
    let story = async || {
        let test = may().await;
        used(&test, "acme", "560", "2026-05-09T00:00:00Z").await;
        used(&test, "acme", "-5", "2026-05-12T00:00:00Z").await;
        used(&test, "acme", "-10", "2026-05-22T00:00:00Z").await;
        granted(&test, "acme", "C", 20, "2026-05-01T00:00:00Z", "2026-05-10T00:00:00Z").await;
        granted(&test, "acme", "D", 30, "2026-05-01T00:00:00Z", "2026-05-20T00:00:00Z").await;
        granted(&test, "acme", "E", 100, "2026-05-01T00:00:00Z", "").await;
        granted(&test, "acme", "F", 1, "2026-05-11T00:00:00Z", "2026-05-15T00:00:00Z").await;
        test
    };
    let days = ["2026-05-10T00:00:00Z", "2026-05-15T00:00:00Z", "2026-06-01T00:00:00Z"];
    let (closes, packs) = on_the_day_or_late(story, &days).await;
    assert_eq!(closes, ["2026-06-01T00:00:00Z 545 500 45 0"]);
    assert_eq!(packs, ["C 0 20 0", "D 0 25 5", "E 100 0 0", "F 0 0 1"]);
}

#[tokio::test]
async fn what_expired_when_it_came_back_is_not_given_back_again() {
    let story = async || {
        let test = may().await;
        used(&test, "acme", "520", "2026-05-09T00:00:00Z").await;
        used(&test, "acme", "-5", "2026-05-12T00:00:00Z").await;
        used(&test, "acme", "-10", "2026-05-22T00:00:00Z").await;
        granted(&test, "acme", "C", 20, "2026-05-01T00:00:00Z", "2026-05-10T00:00:00Z").await;
        granted(&test, "acme", "F", 1, "2026-05-11T00:00:00Z", "2026-05-15T00:00:00Z").await;
        test
    };
    let days = ["2026-05-10T00:00:00Z", "2026-05-15T00:00:00Z", "2026-06-01T00:00:00Z"];
    let (closes, packs) = on_the_day_or_late(story, &days).await;
    assert_eq!(closes, ["2026-06-01T00:00:00Z 505 500 5 0"]);
    assert_eq!(packs, ["C 0 5 15", "F 0 0 1"]);
}

#[tokio::test]
async fn a_pack_that_got_something_back_expires_at_its_own_expiry() {
    // D is empty on May 10, holds 25 again from May 15 on, and must not pay for May 26.
    let story = async || {
        let test = may().await;
        used(&test, "acme", "550", "2026-05-09T00:00:00Z").await;
        used(&test, "acme", "-25", "2026-05-12T00:00:00Z").await;
        used(&test, "acme", "28", "2026-05-26T00:00:00Z").await;
        granted(&test, "acme", "B", 100, "2026-05-11T00:00:00Z", "").await;
        granted(&test, "acme", "C", 20, "2026-05-01T00:00:00Z", "2026-05-10T00:00:00Z").await;
        granted(&test, "acme", "D", 30, "2026-05-01T00:00:00Z", "2026-05-25T00:00:00Z").await;
        granted(&test, "acme", "F", 5, "2026-05-12T00:00:00Z", "2026-05-15T00:00:00Z").await;
        test
    };
    let days = [
        "2026-05-10T00:05:00Z",
        "2026-05-15T00:05:00Z",
        "2026-05-25T00:05:00Z",
        "2026-06-01T00:00:00Z",
    ];
    let (closes, packs) = on_the_day_or_late(story, &days).await;
    assert_eq!(closes, ["2026-06-01T00:00:00Z 553 500 53 0"]);
    assert_eq!(packs, ["B 72 28 0", "C 0 20 0", "D 0 5 25", "F 0 0 5"]);
}

#[tokio::test]
async fn a_pack_that_got_something_back_at_a_close_pays_in_the_next_period() {
    let story = async || {
        let test = may().await;
        used(&test, "acme", "560", "2026-05-09T00:00:00Z").await;
        used(&test, "acme", "-30", "2026-05-15T00:00:00Z").await;
        used(&test, "acme", "540", "2026-06-09T00:00:00Z").await;
        granted(&test, "acme", "C", 50, "2026-05-01T00:00:00Z", "2026-06-10T00:00:00Z").await;
        granted(&test, "acme", "P", 10, "2026-05-01T00:00:00Z", "2026-05-10T00:00:00Z").await;
        test
    };
    let days = ["2026-05-10T00:05:00Z", "2026-06-15T00:00:00Z", "2026-07-01T00:00:00Z"];
    let (closes, packs) = on_the_day_or_late(story, &days).await;
    assert_eq!(closes, ["2026-06-01T00:00:00Z 530 500 30 0", "2026-07-01T00:00:00Z 540 500 30 10"]);
    assert_eq!(packs, ["C 0 50 0", "P 0 10 0"]);
}

#[tokio::test]
async fn a_pack_that_comes_to_light_late_does_not_undo_later_draws() {
    let test = may().await;
    used(&test, "acme", "530", "2026-05-15T00:00:00Z").await;
    granted(&test, "acme", "C", 50, "2026-05-01T00:00:00Z", "2026-05-20T00:00:00Z").await;
    rollover(&test, "2026-05-20T00:00:00Z", &[]).exits(0);
    granted(&test, "acme", "late", 40, "2026-05-01T00:00:00Z", "2026-05-10T00:00:00Z").await;
    rollover(&test, "2026-05-21T00:00:00Z", &[]).exits(0);
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    assert_eq!(packs(&test).await, ["C 0 30 20", "late 0 0 40"]);
    assert_eq!(closed(&test, "acme").await, ["2026-06-01T00:00:00Z 530 500 30 0"]);
    test.check_invariants().await;
}
