//! Somebody moves what an increment depends on while it is under way: it waits, and decides anew.

use sqlx::PgConnection;

use crate::api::{Customer, customer};
use crate::support::TestDatabase;

/// What an increment answers that somebody else's transaction holds up. It has read its limit by
/// then; `end` ends that transaction.
async fn answer_during(
    test: &TestDatabase,
    acme: Customer,
    call: &str,
    theirs: &mut PgConnection,
    end: &str,
) -> String {
    let call = format!(
        "select concat_ws(' ', allowed, new_usage, effective_limit)
         from increment_feature_usage('{}', {call})",
        acme.user
    );
    let mut ours = test.connect().await;
    let asking = sqlx::query_scalar(sqlx::AssertSqlSafe(call)).fetch_one(&mut ours);
    let ending = async {
        test.until_somebody_waits().await;
        run(theirs, end).await;
    };
    let (answer, ()): (Result<String, sqlx::Error>, ()) = tokio::join!(asking, ending);
    answer.expect("an answer")
}

async fn run(connection: &mut PgConnection, statements: &str) {
    let statements = sqlx::AssertSqlSafe(statements.to_owned());
    sqlx::raw_sql(statements).execute(connection).await.expect("a statement of the test");
}

/// An org that has used 4 of 5 included, and holds a pack of 3.
async fn nearly_through(test: &TestDatabase) -> Customer {
    let acme = customer(test, "acme").await;
    test.sql(&format!(
        "insert into tier_limits values ('pro', 'sms_sent', 5);
         select grant_overage_pack('{}', 'sms_sent', 3, 'bought');
         select increment_feature_usage('{}', 'sms_sent', 4)",
        acme.org, acme.user
    ))
    .await;
    acme
}

/// An org that has used 2 of 5 scrapes.
async fn with_two_scrapes(test: &TestDatabase) -> Customer {
    let acme = customer(test, "acme").await;
    test.sql(&format!(
        "insert into tier_limits values ('pro', 'scrapes', 5);
         select increment_feature_usage('{}', 'scrapes', 2)",
        acme.user
    ))
    .await;
    acme
}

/// Scrapes by period; is it the open one, and what does the user's column say?
const SCRAPES: &str = "select c.used, c.period_start = o.current_period_start, u.usage_this_month
                       from usage_counters c, organizations o, users u order by 1";

/// Takes back what is unclaimed of the pack, and leaves the transaction open.
async fn refund(test: &TestDatabase, acme: Customer) -> PgConnection {
    let mut theirs = test.connect().await;
    run(&mut theirs, "begin").await;
    let refund = format!("select refund_overage_pack('{}', 'bought')", acme.org);
    run(&mut theirs, &refund).await;
    theirs
}

#[tokio::test]
async fn a_refund_that_an_increment_waits_for_lowers_its_limit() {
    let test = TestDatabase::new().await;
    let acme = nearly_through(&test).await;
    for (end, answer) in [("rollback", "t 6 8"), ("commit", "f 6 6")] {
        let mut theirs = refund(&test, acme).await;
        let given = answer_during(&test, acme, "'sms_sent', 2", &mut theirs, end).await;
        assert_eq!(given, answer, "after {end}");
    }
    let holds = "select c.used, (select sum(metric_value) from usage_metrics), f.usage_count
                 from usage_counters c, feature_usage f";
    assert_eq!(test.rows(holds).await, ["6 6 6"]);
}

#[tokio::test]
async fn the_first_use_of_a_feature_waits_for_a_refund_of_its_pack_too() {
    let test = TestDatabase::new().await;
    let acme = customer(&test, "acme").await;
    test.sql(&format!(
        "select grant_overage_pack('{}', 'sms_sent', 3, 'bought');
         delete from usage_counters",
        acme.org
    ))
    .await;
    let mut theirs = refund(&test, acme).await;
    let given = answer_during(&test, acme, "'sms_sent'", &mut theirs, "commit").await;
    assert_eq!(given, "f 0 0");
}

#[tokio::test]
async fn of_two_with_the_same_key_the_second_moves_nothing() {
    let test = TestDatabase::new().await;
    let acme = nearly_through(&test).await;
    for (end, answer) in [("rollback", "t 5 8"), ("commit", "t 6 8")] {
        let mut theirs = test.connect().await;
        run(&mut theirs, "begin").await;
        let key = format!("'sms_sent', 1, 'until {end}'");
        let first = format!("select increment_feature_usage('{}', {key})", acme.user);
        run(&mut theirs, &first).await;
        let given = answer_during(&test, acme, &key, &mut theirs, end).await;
        assert_eq!(given, answer, "after {end}");
    }
    test.check_invariants().await;
}

#[tokio::test]
async fn a_close_that_an_increment_waits_for_moves_it_to_the_next_period() {
    let test = TestDatabase::new().await;
    let acme = with_two_scrapes(&test).await;
    // Its transaction begins in a period that ends before it has waited enough.
    test.sql(
        "update organizations
         set current_period_end = clock_timestamp() + interval '300 ms',
             next_period_ends = array[clock_timestamp() + interval '40 days']",
    )
    .await;
    let mut theirs = test.connect().await;
    run(
        &mut theirs,
        "begin;
         update organizations
         set current_period_start = current_period_end, current_period_end = next_period_ends[1],
             next_period_ends = array[current_period_end + interval '80 days'];
         update users set usage_this_month = 0",
    )
    .await;
    let wait = "do $$ begin
                    while clock_timestamp() < (select current_period_start from organizations) loop
                        perform pg_sleep(0.01);
                    end loop;
                end $$;
                commit";
    let given = answer_during(&test, acme, "'scrapes'", &mut theirs, wait).await;
    assert_eq!(given, "t 1 5");
    assert_eq!(test.rows(SCRAPES).await, ["1 true 1", "2 false 1"]);
}

#[tokio::test]
async fn a_period_that_is_closed_before_its_end_takes_no_more_uses() {
    let test = TestDatabase::new().await;
    let acme = with_two_scrapes(&test).await;
    let mut theirs = test.connect().await;
    // What `rollover --early` does to the rows that an increment looks at.
    run(
        &mut theirs,
        "begin;
         update organizations set current_period_start = clock_timestamp();
         update usage_counters c set period_end = o.current_period_start from organizations o;
         update users set usage_this_month = 0",
    )
    .await;
    let given = answer_during(&test, acme, "'scrapes'", &mut theirs, "commit").await;
    assert_eq!(given, "t 1 5");
    assert_eq!(test.rows(SCRAPES).await, ["1 true 1", "2 false 1"]);
}

#[tokio::test]
async fn a_grant_that_an_increment_waits_for_raises_its_limit() {
    let test = TestDatabase::new().await;
    let acme = nearly_through(&test).await;
    let mut theirs = test.connect().await;
    run(
        &mut theirs,
        &format!(
            "begin;
             select grant_overage_pack('{}', 'sms_sent', 10, 'more');
             select increment_feature_usage('{}', 'sms_sent', 5)",
            acme.org, acme.user
        ),
    )
    .await;
    let given = answer_during(&test, acme, "'sms_sent', 2", &mut theirs, "commit").await;
    assert_eq!(given, "t 11 18");
}
