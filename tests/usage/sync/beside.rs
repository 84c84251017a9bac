//! What happens beside a sync: a close, a wait, and rows that only one org has.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::story::{add, inserted, rollover, used};
use crate::support::TestDatabase;
use crate::sync::words::{adjustments, may, sync};

async fn execute(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.unwrap();
}

/// Runs a sync while somebody else holds what `hold` locks and then does `meanwhile`.
async fn sync_beside(test: &TestDatabase, hold: &str, meanwhile: &str) {
    let mut other = PgConnection::connect(&test.url()).await.unwrap();
    // Where the two wait for each other, the sync is the one that gives way, and tries again.
    execute(&mut other, &format!("set deadlock_timeout = '1min'; begin; {hold}")).await;
    let mut syncing =
        test.command(&["--at", "2026-05-31T12:00:00Z", "sync"]).spawn().expect("the binary runs");
    test.until_somebody_waits().await;
    execute(&mut other, meanwhile).await;
    execute(&mut other, "commit").await;
    let status = tokio::task::spawn_blocking(move || syncing.wait()).await.unwrap().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn usage_that_is_synced_beside_the_close_of_its_period_is_late_usage() {
    let test = may().await;
    used(&test, "acme", "10", "2026-05-10T00:00:00Z").await;
    sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
    // Read by a rollover that has not written yet; then 5 more, and a sync that has read them.
    used(&test, "acme", "5", "2026-05-31T00:00:00Z").await;
    sync_beside(
        &test,
        "select from usage_counters for update",
        "insert into billing_periods (org_id, period_start, period_end, time_zone, tier,
                                      tzdb_version, closed_at, features, used_each,
                                      included_each, drawn_each, uncovered_each)
             select id, current_period_start, current_period_end, time_zone, subscription_tier,
                    '2026a', '2026-06-01T00:00:05Z', '{minutes_transcribed}', '{10}', '{500}',
                    '{0}', '{0}' from organizations;
         update organizations set current_period_start = current_period_end,
                                  current_period_end = '2026-07-01',
                                  next_period_ends = '{2026-08-01, 2026-09-01}'",
    )
    .await;
    assert_eq!(adjustments(&test).await, ["late 5 0 0"]);
    assert_eq!(test.rows("select sync_status from usage_counters").await, ["synced"]);
}

#[tokio::test]
async fn an_audit_settles_what_is_in_no_book() {
    let test = may().await;
    used(&test, "acme", "10", "2026-05-10T00:00:00Z").await;
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    used(&test, "acme", "5", "2026-05-31T00:00:00Z").await;
    test.sql("update usage_counters set sync_status = 'synced'").await;
    sync(&test, "2026-06-01T06:00:00Z", &[]).exits(0);
    assert!(adjustments(&test).await.is_empty(), "nothing tells of it");
    sync(&test, "2026-06-01T06:00:00Z", &["--full"]).exits(0);
    assert_eq!(adjustments(&test).await, ["late 5 0 0"]);
    sync(&test, "2026-06-01T07:00:00Z", &["--full"]).exits(0);
    assert_eq!(adjustments(&test).await.len(), 1);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_counter_is_stamped_when_it_is_synced_and_not_when_the_run_began() {
    let test = may().await;
    used(&test, "acme", "10", "2026-05-10T00:00:00Z").await;
    let clock = "create table clock as select clock_timestamp() as read";
    sync_beside(&test, "select from organizations for update", clock).await;
    let later = "select last_synced_at > clock.read from usage_counters, clock";
    assert_eq!(test.rows(later).await, ["true"]);
}

#[tokio::test]
async fn an_instant_that_nobody_can_read_keeps_nobody_else_from_being_counted() {
    for odd in ["'infinity'", "'-infinity'", "to_timestamp(1764415200000)", "'4000-01-01 BC'"] {
        let test = may().await;
        add(&test, "other", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
        inserted(&test, "acme", "minutes_transcribed", "3", "2026-05-10T00:00:00Z").await;
        inserted(&test, "other", "minutes_transcribed", "7", "2026-05-10T00:00:00Z").await;
        // From before there was a rule about it.
        test.sql(&format!(
            "do $$ declare c record; begin
                 for c in select conname from pg_constraint
                          where contype = 'c' and conrelid = 'usage_metrics'::regclass loop
                     execute format('alter table usage_metrics drop constraint %I', c.conname);
                 end loop;
             end $$;
             insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             select id, 'minutes_transcribed', 100, {odd} from organizations where slug = 'acme'"
        ))
        .await;
        for flags in [&[][..], &["--full"]] {
            sync(&test, "2026-05-11T00:00:00Z", flags).exits(0);
            let counters = "select o.slug || ' ' || c.used from usage_counters c
                            join organizations o on o.id = c.org_id order by 1";
            assert_eq!(test.rows(counters).await, ["acme 3", "other 7"], "{odd}");
        }
    }
}

#[tokio::test]
async fn a_key_that_somebody_has_taken_keeps_no_late_usage_from_the_open_period() {
    let test = may().await;
    test.configure("[sync]\nlate_usage_policy = \"open_period\"\nlate_usage_grace = \"48h\"\n");
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at,
                                    idempotency_key)
         select id, 'minutes_transcribed', 1, '2026-06-01',
                'late-2026-05-01T00:00:00Z-minutes_transcribed-1' from organizations",
    )
    .await;
    inserted(&test, "acme", "minutes_transcribed", "50", "2026-05-20T00:00:00Z").await;
    sync(&test, "2026-06-04T00:00:00Z", &[]).exits(0);
    assert_eq!(adjustments(&test).await, ["set_aside 50 0 0"]);
    let counters = "select used from usage_counters order by period_start";
    assert_eq!(test.rows(counters).await, ["50", "51"]);
    // Whatever its key were, somebody could have it.
    let keyed = "select metric_value from usage_metrics where idempotency_key is not null";
    assert_eq!(test.rows(keyed).await, ["1"], "none of them is periodd's");
}

#[tokio::test]
async fn what_was_deleted_on_purpose_is_accepted_for_that_org_alone() {
    let test = may().await;
    add(&test, "other", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    for slug in ["acme", "other"] {
        used(&test, slug, "10", "2026-05-10T00:00:00Z").await;
    }
    sync(&test, "2026-05-11T00:00:00Z", &["--full"]).exits(0);
    test.sql(
        "delete from usage_metrics where organization_id =
             (select id from organizations where slug = 'acme');
         update usage_counters set used = 99 where org_id =
             (select id from organizations where slug = 'other')",
    )
    .await;
    let counters = "select o.slug || ' ' || c.used from usage_counters c
                    join organizations o on o.id = c.org_id order by 1";
    sync(&test, "2026-05-12T00:00:00Z", &["--full"]).exits(4);
    assert_eq!(test.rows(counters).await, ["acme 10", "other 10"]);
    let forced = ["--full", "--force", "--org", "acme", "--yes"];
    sync(&test, "2026-05-12T00:00:00Z", &forced).exits(0);
    assert_eq!(test.rows(counters).await, ["acme 0", "other 10"]);
    sync(&test, "2026-05-13T00:00:00Z", &["--full"]).exits(0);
}
