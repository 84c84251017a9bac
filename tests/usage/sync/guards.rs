//! What cannot be believed is not mended: a read that failed is never zero usage.

use crate::story::{add, granted, inserted, rollover, used};
use crate::support::TestDatabase;
use crate::sync::words::{log, may, sync};

const AT: &str = "2026-05-12T00:00:00Z";

/// Several orgs with usage, synced; some of it still waits to be counted.
async fn orgs(number: usize) -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(&format!(
        "insert into organizations (slug, name, time_zone)
         select 'org-' || to_char(i, 'FM9000'), 'Org', 'UTC' from generate_series(1, {number}) i"
    ))
    .await;
    rollover(&test, "2026-05-02T00:00:00Z", &[]).exits(0);
    test.sql(
        "select record_usage(id, 'minutes_transcribed', 30, null, '2026-05-10') from organizations",
    )
    .await;
    sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
    test
}

async fn counters(test: &TestDatabase) -> Vec<String> {
    test.rows("select c::text as row from usage_counters c order by 1").await
}

#[tokio::test]
async fn metrics_that_were_renamed_away_are_no_zero() {
    let test = orgs(3).await;
    let before = counters(&test).await;
    test.sql("alter table usage_metrics rename to usage_metrics_old").await;
    for flags in [&[][..], &["--full"], &["--check"], &["--full", "--force", "--yes"]] {
        let stderr = sync(&test, AT, flags).exits(1).stderr;
        assert!(
            stderr.contains("usage_metrics") && stderr.contains("no counter was changed"),
            "{stderr}"
        );
        assert!(!stderr.contains("db migrate"), "{stderr}");
    }
    assert_eq!(counters(&test).await, before);
}

#[tokio::test]
async fn metrics_that_are_all_gone_are_no_zero_even_for_a_few_orgs() {
    let test = orgs(3).await;
    let before = counters(&test).await;
    test.sql("truncate usage_metrics").await;
    let stderr = sync(&test, AT, &["--full"]).exits(5).stderr;
    assert!(stderr.contains("usage_metrics is empty but counters are not"), "{stderr}");
    assert_eq!(counters(&test).await, before);
    assert!(test.rows("select 1 from periodd_audited").await.is_empty());
    // A person may know better, and has to mean it.
    let stderr = sync(&test, AT, &["--full", "--force"]).exits(5).stderr;
    assert!(stderr.contains("of 3 orgs") && stderr.contains("confirm with --yes"), "{stderr}");
    sync(&test, AT, &["--force"]).exits(2);
    sync(&test, AT, &["--full", "--force", "--yes"]).exits(0);
    assert_eq!(test.rows("select sum(used) from usage_counters").await, ["0"]);
    assert_eq!(log(&test).await.len(), 3);
}

#[tokio::test]
async fn metrics_that_cannot_be_read_half_way_change_nothing() {
    // Two pages of orgs; one with a wrong counter is in the first, and can be read.
    let test = orgs(1_100).await;
    test.sql(
        "update usage_counters set used = 1
         where org_id = (select id from organizations order by id limit 1)",
    )
    .await;
    let before = counters(&test).await;
    // A damaged page: the row that lies on it cannot be read any more.
    test.sql(
        "alter table usage_metrics rename to stored;
         create function damaged(numeric) returns numeric language plpgsql as $$
             begin raise 'invalid page in block 7 of relation' using errcode = 'XX001'; end $$;
         create view usage_metrics as
             select id, organization_id, user_id, metric_type,
                    case when organization_id = (select id from organizations
                                                 order by id desc limit 1)
                         then damaged(metric_value) else metric_value end as metric_value,
                    created_at, recorded_at, counted_at, idempotency_key
             from stored",
    )
    .await;
    let stderr = sync(&test, AT, &["--full"]).exits(1).stderr;
    assert!(stderr.contains("invalid page in block 7"), "{stderr}");
    assert_eq!(counters(&test).await, before);
    assert!(log(&test).await.is_empty());
    let notes = "select count(*) from periodd_audited";
    assert_eq!(test.rows(notes).await, ["0"], "what was noted of the first page is gone again");
    // Once everything can be read, the same is found and mended.
    test.sql("drop view usage_metrics; alter table stored rename to usage_metrics").await;
    sync(&test, AT, &["--full"]).exits(0);
    assert_eq!(log(&test).await, ["usage_counters.used 1 30 29"]);
}

#[tokio::test]
async fn fewer_metrics_than_at_the_last_audit_are_a_loss() {
    let test = orgs(3).await;
    // Named in the order of their ids.
    test.sql(
        "update organizations set slug = 'new-' || slug;
         update organizations o set slug = 'org-' || to_char(n.place, 'FM9000')
         from (select id, row_number() over (order by id) as place from organizations) n
         where n.id = o.id",
    )
    .await;
    sync(&test, AT, &["--full"]).exits(0);
    let before = counters(&test).await;
    test.sql(
        "delete from usage_metrics where organization_id = (
             select id from organizations where slug = 'org-002')",
    )
    .await;
    // Asked for alone, it is all there is.
    let stderr = sync(&test, AT, &["--org", "org-002"]).exits(5).stderr;
    assert!(stderr.contains("metrics are missing: 1 period(s) of"), "{stderr}");
    assert!(stderr.contains("(0 of 1)") && stderr.contains("no counter was changed"), "{stderr}");
    // Beside others it is left out, and told of, each time again.
    for _ in 0..2 {
        let left_out = &sync(&test, AT, &["--full"]).exits(4).json()["left_out"];
        assert_eq!(left_out[0]["org"], "org-002", "{left_out}");
        assert_eq!((&left_out[0]["then"], &left_out[0]["now"]), (&1.into(), &0.into()));
    }
    assert_eq!(counters(&test).await, before);
    sync(&test, AT, &["--org", "org-001"]).exits(0);
    // Who lies between the orgs that were asked for has nothing to do with it.
    sync(&test, AT, &["--org", "org-001", "--org", "org-003"]).exits(0);
    // An early close moves metrics into another period, and loses none.
    let half = orgs(1).await;
    sync(&half, AT, &["--full"]).exits(0);
    rollover(&half, "2026-05-05T00:00:00Z", &["--early"]).exits(0);
    sync(&half, "2026-05-06T00:00:00Z", &["--full"]).exits(0);
    half.check_invariants().await;
    // A period that was closed loses metrics, too, as long as late usage may still come for it.
    let closed = orgs(1).await;
    sync(&closed, AT, &["--full"]).exits(0);
    rollover(&closed, "2026-06-01T00:00:01Z", &[]).exits(0);
    sync(&closed, "2026-06-02T00:00:00Z", &["--full"]).exits(0);
    closed.sql("delete from usage_metrics").await;
    closed
        .sql("select record_usage(id, 'sms_sent', 1, null, '2026-06-02') from organizations")
        .await;
    let stderr = sync(&closed, "2026-06-02T01:00:00Z", &["--full"]).exits(5).stderr;
    assert!(stderr.contains("metrics are missing: 1 period(s) of"), "{stderr}");
    // What a person means becomes what is remembered.
    sync(&test, AT, &["--full", "--force", "--yes"]).exits(0);
    sync(&test, AT, &["--full"]).exits(0);
    test.check_invariants().await;
}

#[tokio::test]
async fn too_many_orgs_at_once_are_suspicious() {
    let test = orgs(55).await;
    let spoil = |orgs: usize| {
        format!(
            "update usage_counters set used = used + 1 where org_id in (
                 select id from organizations order by slug limit {orgs})"
        )
    };
    test.sql(&spoil(11)).await;
    sync(&test, AT, &["--full"]).exits(0);
    assert_eq!(log(&test).await.len(), 11);
    test.sql(&spoil(12)).await;
    let before = counters(&test).await;
    let stderr = sync(&test, AT, &["--full"]).exits(5).stderr;
    assert!(stderr.contains("12 of 55 orgs with counters would change"), "{stderr}");
    assert_eq!(counters(&test).await, before);
    sync(&test, AT, &["--check"]).exits(3);
    test.configure("[sync]\nmax_fix_ratio = 0.5\n");
    sync(&test, AT, &["--full"]).exits(0);
    assert_eq!(log(&test).await.len(), 23);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_run_that_was_refused_or_broke_off_leaves_nothing_in_the_way() {
    let test = may().await;
    add(&test, "zeta", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    used(&test, "acme", "10", "2026-05-10T00:00:00Z").await;
    granted(&test, "acme", "A", 100, "2026-05-01T00:00:00Z", "").await;
    inserted(&test, "zeta", "minutes_transcribed", "5", "2026-05-10T00:00:00Z").await;
    // Notes of an audit that was killed.
    test.sql(
        "insert into periodd_audited
         select gen_random_uuid(), id, id, array[id], array['2026-05-01Z'::timestamptz],
                array['2026-06-01Z'::timestamptz], array[99] from organizations",
    )
    .await;
    sync(&test, AT, &["--full"]).exits(0);
    assert_eq!(
        test.rows("select count(*) as pages, count(distinct audit) as runs from periodd_audited")
            .await,
        ["1 1"]
    );
    test.check_invariants().await;
}
