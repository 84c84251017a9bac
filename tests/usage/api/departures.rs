//! Orgs and people that go while somebody else is at work on them: whoever comes second waits, and
//! finds what the first has left. Nothing is lost, and nothing stays half done.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::api::{Customer, customer};
use crate::support::TestDatabase;

async fn run(connection: &mut PgConnection, statements: &str) {
    let statements = sqlx::AssertSqlSafe(statements.to_owned());
    sqlx::raw_sql(statements).execute(connection).await.expect("a statement of the test");
}

/// Two orgs that have used 3 of 5, the first with a pack of 4.
async fn two(test: &TestDatabase) -> (Customer, Customer) {
    test.sql("insert into tier_limits values ('pro', 'sms_sent', 5), ('pro', 'scrapes', 5)").await;
    let (acme, bolt) = (customer(test, "acme").await, customer(test, "bolt").await);
    for Customer { user, .. } in [acme, bolt] {
        let use_it = format!("select increment_feature_usage('{user}', 'sms_sent', 3)");
        test.sql(&format!("{use_it}; select increment_usage_if_allowed('{user}')")).await;
    }
    test.sql(&format!("select grant_overage_pack('{}', 'sms_sent', 4, 'bought')", acme.org)).await;
    (acme, bolt)
}

/// What a statement answers that waits for somebody else's transaction, which `end` ends: its row
/// as text, or the code that it is refused with.
async fn answer_during(
    test: &TestDatabase,
    statement: &str,
    theirs: &mut PgConnection,
    end: &str,
) -> String {
    let mut ours = test.connect().await;
    let statement = format!("select f::text from {statement} f");
    let asking = async {
        let asked = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(statement));
        match asked.fetch_optional(&mut ours).await {
            Ok(row) => row.unwrap_or_else(|| "nothing".to_owned()),
            Err(error) => {
                let error = error.into_database_error().expect("the database's own refusal");
                error.code().expect("an SQLSTATE").into_owned()
            }
        }
    };
    let ending = async {
        test.until_somebody_waits().await;
        run(theirs, end).await;
    };
    tokio::join!(asking, ending).0
}

async fn begun(test: &TestDatabase, act: &str) -> PgConnection {
    let mut theirs = test.connect().await;
    run(&mut theirs, &format!("begin; select * from {act}")).await;
    theirs
}

#[tokio::test]
async fn a_use_that_waits_for_a_merge_counts_where_its_user_is_then() {
    for (end, used) in
        [("rollback", ["acme 4", "bolt 3"]), ("commit", ["acme-removed 0", "bolt 7"])]
    {
        let test = TestDatabase::new().await;
        let (acme, bolt) = two(&test).await;
        let merge = format!("merge_orgs('{}', '{}')", acme.org, bolt.org);
        let mut theirs = begun(&test, &merge).await;
        let call = format!("increment_feature_usage('{}', 'sms_sent')", acme.user);
        let answer = answer_during(&test, &call, &mut theirs, end).await;
        assert!(answer.starts_with("(t,"), "after {end}: {answer}");
        let sums = "select left(o.slug, 12) as slug, coalesce((
                        select sum(c.used) from usage_counters c
                        where c.org_id = o.id and c.feature = 'sms_sent'), 0)
                    from organizations o order by 1";
        assert_eq!(test.rows(sums).await, used, "after {end}");
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn a_use_under_way_is_waited_for_and_goes_along() {
    let test = TestDatabase::new().await;
    let (acme, bolt) = two(&test).await;
    // Neither has a counter of it yet, so that nobody but the org's row is held.
    for (feature, act) in [
        ("sms_sent", format!("move_overage_pack('{}', 'bought', '{}')", acme.org, bolt.org)),
        ("emails_sent", format!("merge_orgs('{}', '{}')", acme.org, bolt.org)),
    ] {
        let mut theirs =
            begun(&test, &format!("record_usage('{}', '{feature}', 3)", acme.org)).await;
        let answer = answer_during(&test, &act, &mut theirs, "commit").await;
        assert!(answer.starts_with('('), "{act}: {answer}");
        test.check_invariants().await;
    }
    // 6 of 5 were used when the pack moved: one of 4 is claimed, and went with the usage.
    let packs = "select o.slug, p.quantity, p.remaining from overage_packs p
                 join organizations o on o.id = p.org_id where p.remaining > 0 order by 2";
    assert_eq!(test.rows(packs).await, ["bolt 1 1", "bolt 3 3"]);
    let used = format!(
        "select feature, used from usage_counters where org_id = '{}' and used <> 0 order by 1",
        bolt.org
    );
    assert_eq!(test.rows(&used).await, ["emails_sent 3", "scrapes 2", "sms_sent 9"]);
}

/// A plain insert asks for no counter, so nothing but the org's key tells that it is under way.
#[tokio::test]
async fn a_plain_insert_under_way_is_waited_for_and_goes_along() {
    let test = TestDatabase::new().await;
    let (acme, bolt) = two(&test).await;
    let mut theirs = test.connect().await;
    let insert = format!(
        "begin; insert into usage_metrics (organization_id, metric_type, metric_value)
                values ('{}', 'SMS_sent', 2)",
        acme.org
    );
    run(&mut theirs, &insert).await;
    let merge = format!("merge_orgs('{}', '{}')", acme.org, bolt.org);
    let answer = answer_during(&test, &merge, &mut theirs, "commit").await;
    assert!(answer.starts_with('('), "{answer}");
    let used = format!(
        "select used from usage_counters where org_id = '{}' and feature = 'sms_sent'",
        bolt.org
    );
    assert_eq!(test.rows(&used).await, ["8"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn what_waits_for_a_removal_finds_nobody() {
    let test = TestDatabase::new().await;
    test.sql("insert into tier_limits values ('pro', 'sms_sent', 5)").await;
    for with_history in [false, true] {
        let Customer { org, user } = customer(&test, &format!("acme-{with_history}")).await;
        test.sql(&format!(
            "insert into billing_periods (org_id, period_start, period_end)
             select id, current_period_start - interval '1 month', current_period_start
             from organizations where id = '{org}'"
        ))
        .await;
        for call in [
            format!("increment_feature_usage('{user}', 'sms_sent')"),
            format!("increment_org_usage('{org}', 'sms_sent')"),
            format!("record_usage('{org}', 'sms_sent', 1)"),
            format!("grant_overage_pack('{org}', 'sms_sent', 1, 'r')"),
        ] {
            let mut theirs = begun(&test, &format!("remove_org('{org}', {with_history})")).await;
            let answer = answer_during(&test, &call, &mut theirs, "rollback").await;
            // An SQLSTATE has five characters, and no answer does.
            assert_ne!(answer.len(), 5, "{call}: {answer}");
            test.sql(
                "delete from usage_metrics; delete from feature_usage; delete from usage_counters;
                 delete from overage_entries; delete from overage_packs",
            )
            .await;
        }
        let mut theirs = begun(&test, &format!("remove_org('{org}', {with_history})")).await;
        let call = format!("increment_feature_usage('{user}', 'sms_sent')");
        let answer = answer_during(&test, &call, &mut theirs, "commit").await;
        // Its counter is new, and waits until there is no org that it could belong to.
        let refused = if with_history { "23503" } else { "PB002" };
        assert_eq!(answer, refused, "with history: {with_history}");
        let left = format!("select count(*) from usage_metrics where organization_id = '{org}'");
        assert_eq!(test.rows(&left).await, ["0"]);
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn usage_that_is_recorded_during_a_merge_is_refused_or_merged() {
    let test = TestDatabase::new().await;
    let (acme, bolt) = two(&test).await;
    let merge = format!("merge_orgs('{}', '{}')", acme.org, bolt.org);
    let mut theirs = begun(&test, &merge).await;
    let record = format!("record_usage('{}', 'sms_sent', 1, '{}')", acme.org, acme.user);
    assert_eq!(answer_during(&test, &record, &mut theirs, "commit").await, "40001");
    let left = format!("select count(*) from usage_metrics where organization_id = '{}'", acme.org);
    assert_eq!(test.rows(&left).await, ["0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn of_two_merges_that_cross_the_second_finds_one_org() {
    let test = TestDatabase::new().await;
    let (acme, bolt) = two(&test).await;
    let merge = |from: Uuid, into: Uuid| format!("merge_orgs('{from}', '{into}')");
    let mut theirs = begun(&test, &merge(acme.org, bolt.org)).await;
    let answer = answer_during(&test, &merge(bolt.org, acme.org), &mut theirs, "commit").await;
    assert_eq!(answer, "PB002");
    let mut theirs = begun(&test, &format!("remove_org('{}', true)", bolt.org)).await;
    let again = answer_during(&test, &merge(acme.org, bolt.org), &mut theirs, "commit").await;
    assert_eq!(again, "nothing");
}

#[tokio::test]
async fn a_use_beside_an_erasure_has_no_user_left() {
    let test = TestDatabase::new().await;
    let (acme, _) = two(&test).await;
    let erase = format!("erase_user('{}')", acme.user);
    for (call, code) in [
        (format!("increment_feature_usage('{}', 'sms_sent')", acme.user), "PB002"),
        (format!("record_usage('{}', 'sms_sent', 1, '{}')", acme.org, acme.user), "40001"),
    ] {
        let mut theirs = begun(&test, &erase).await;
        assert_eq!(answer_during(&test, &call, &mut theirs, "commit").await, code, "{call}");
        test.sql(&format!(
            "insert into users (id, organization_id, email)
             values ('{}', '{}', 'ann@acme.example')",
            acme.user, acme.org
        ))
        .await;
    }
    // A use that came first is waited for, and loses its user with the others.
    let call = format!("increment_feature_usage('{}', 'sms_sent')", acme.user);
    let mut theirs = begun(&test, &call).await;
    let erased = answer_during(&test, &erase, &mut theirs, "commit").await;
    assert!(erased.contains("users"), "{erased}");
    let named = format!(
        "select (select count(*) from usage_metrics where user_id = '{0}'),
                (select count(*) from feature_usage where user_id = '{0}') as counters,
                (select sum(metric_value) from usage_metrics
                 where metric_type = 'sms_sent' and organization_id = '{1}') as used",
        acme.user, acme.org
    );
    assert_eq!(test.rows(&named).await, ["0 0 4"]);
    test.check_invariants().await;
}

/// Every act is stopped before its commit while each job runs: the job waits, skips the org or
/// tries again, and the books are right whoever was first.
#[tokio::test]
async fn jobs_and_departures_do_not_get_into_each_others_way() {
    for job in [
        &["sync", "--full"][..],
        &["rollover", "--early", "--org", "acme"],
        &["rollover", "--early", "--org", "bolt"],
        &["alerts", "run"],
    ] {
        for act in 0..4 {
            let test = TestDatabase::new().await;
            test.configure("[mail]\ntransport = \"none\"\n");
            let (acme, bolt) = two(&test).await;
            test.sql(
                "insert into usage_metrics (organization_id, metric_type, metric_value)
                 select id, 'SMS_sent', 2 from organizations",
            )
            .await;
            let act = match act {
                0 => format!("merge_orgs('{}', '{}')", acme.org, bolt.org),
                1 => format!("remove_org('{}', true)", acme.org),
                2 => format!("erase_user('{}')", acme.user),
                _ => format!("move_overage_pack('{}', 'bought', '{}')", acme.org, bolt.org),
            };
            let mut theirs = begun(&test, &act).await;
            let mut command = test.command(job);
            let mut job = command.stdout(std::process::Stdio::null()).spawn().expect("it runs");
            let waits = "select exists (select from pg_stat_activity
                                        where datname = current_database()
                                          and wait_event_type = 'Lock') as waits";
            while job.try_wait().expect("a state").is_none() && test.rows(waits).await == ["false"]
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            run(&mut theirs, "commit").await;
            let done = tokio::task::spawn_blocking(move || job.wait()).await.expect("it ends");
            let code = done.expect("a state").code();
            // An org that is gone by then is unknown.
            assert!(matches!(code, Some(0 | 2 | 4)), "{act}: {code:?}");
            test.periodd(&["sync", "--full"]).exits(0);
            test.check_invariants().await;
        }
    }
}
