//! Usage resets, packs persist: missed periods are closed one by one, each with its own usage.

use crate::support::TestDatabase;

/// An org on tier pro with 600 minutes included.
async fn berlin(test: &TestDatabase) {
    test.sql("insert into tier_limits values ('pro', 'minutes_transcribed', 600)").await;
    test.periodd(&[
        "--at",
        "2025-02-20T00:00:00Z",
        "orgs",
        "add",
        "acme",
        "--name",
        "Acme",
        "--zone",
        "Europe/Berlin",
        "--anchor-day",
        "31",
        "--tier",
        "pro",
    ])
    .exits(0);
}

#[tokio::test]
async fn a_daemon_away_for_three_months_closes_three_periods_oldest_first() {
    let test = TestDatabase::new().await;
    berlin(&test).await;
    test.sql(
        "select grant_overage_pack(id, 'minutes_transcribed', 300, 'r', null,
                                   '2025-02-01T00:00:00Z') from organizations;
         select record_usage(id, 'minutes_transcribed', q, null, t)
         from organizations, (values (700, '2025-02-15T12:00:00Z'::timestamptz),
                                     (500, '2025-03-15T12:00:00Z'),
                                     (900, '2025-04-15T12:00:00Z'),
                                     (50, '2025-05-10T12:00:00Z')) as u (q, t)",
    )
    .await;

    let answer = test.periodd(&["--at", "2025-05-20T08:00:00Z", "--format", "json", "rollover"]);
    let report = answer.exits(0).json();
    assert_eq!(report["orgs"], 1);
    assert_eq!(report["periods_closed"], 3);

    let closed = test
        .rows(
            "select period_end, used, included, drawn, uncovered
             from billing_period_usage join billing_periods using (org_id, period_start)
             order by period_start",
        )
        .await;
    assert_eq!(
        closed,
        [
            "2025-02-27T23:00:00Z 700 600 100 0",
            "2025-03-30T22:00:00Z 500 600 0 0",
            "2025-04-29T22:00:00Z 900 600 200 100",
        ]
    );
    let pack = test.rows("select remaining from overage_entries order by seq").await;
    assert_eq!(pack, ["300", "200", "0"]);
    let org = "select current_period_start, current_period_end, used_minutes from organizations";
    assert_eq!(test.rows(org).await, ["2025-04-29T22:00:00Z 2025-05-30T22:00:00Z 50"]);
    test.check_invariants().await;

    let again = test.periodd(&["--at", "2025-05-20T08:00:00Z", "--format", "json", "rollover"]);
    assert_eq!(again.exits(0).json()["periods_closed"], 0);
}
