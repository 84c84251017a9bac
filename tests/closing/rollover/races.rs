//! Applications at work while a rollover looks: what they were told holds, and what they committed
//! is in the books. One of the two is stopped in its transaction, and the other one comes by.

use std::process::{Child, Stdio};

use sqlx::PgConnection;
use tokio::task::JoinHandle;

use crate::story::{add, closed, granted, including, packs, rollover, used};
use crate::support::{Answer, TestDatabase};

fn start(test: &TestDatabase, at: &str, flags: &[&str]) -> Child {
    let fixed = ["--at", at, "--format", "json", "rollover"];
    let mut command = test.command(&[&fixed[..], flags].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

fn end(child: Child) -> Answer {
    Answer::from(child.wait_with_output().expect("the binary ends"))
}

async fn execute(connection: &mut PgConnection, statement: &str) {
    let script = sqlx::AssertSqlSafe(statement.to_owned());
    if let Err(error) = sqlx::raw_sql(script).execute(connection).await {
        panic!("{error}\nin {statement}");
    }
}

/// Executes in a task of its own.
fn spawn(mut connection: PgConnection, statement: &'static str) -> JoinHandle<()> {
    tokio::spawn(async move { execute(&mut connection, statement).await })
}

/// Waits until a backend of periodd waits for a lock in a statement like that.
async fn until_it_waits(test: &TestDatabase, statement: &str) {
    let waiting = format!(
        "select count(*) > 0 from pg_stat_activity
         where datname = current_database() and application_name = 'periodd'
           and wait_event_type = 'Lock' and query ~ '{statement}'"
    );
    test.until(&waiting, "true").await;
}

/// All counters: feature, start, end, used.
async fn counters(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select feature, period_start, period_end, used from usage_counters
         order by feature, period_start",
    )
    .await
}

/// A use of so many minutes and of one scrape at an instant, by a statement.
fn uses(minutes: i64, at: &str) -> String {
    format!(
        "select record_usage(o.id, 'minutes_transcribed', {minutes}, u.id, '{at}'),
                record_usage(o.id, 'scrapes', 1, u.id, '{at}')
         from organizations o join users u on u.organization_id = o.id"
    )
}

/// An org on a daily calendar in UTC since May 1, with a user.
async fn daily() -> TestDatabase {
    let test = including(500).await;
    add(&test, "acme", "2026-05-01T00:00:00Z", &["--zone", "UTC", "--cycle", "daily"]);
    test.sql(
        "insert into users (organization_id, email, usage_this_month)
         select id, 'ada@example.org', 7 from organizations",
    )
    .await;
    test
}

/// The same for a calendar of months.
async fn monthly() -> TestDatabase {
    let test = daily().await;
    test.sql(
        "update organizations set cycle = 'monthly', current_period_end = '2026-06-01Z',
                                  current_period_end_date = '2026-06-01'",
    )
    .await;
    rollover(&test, "2026-05-01T00:00:00Z", &[]).exits(0);
    test
}

#[tokio::test]
async fn a_use_under_way_stays_in_its_period_when_the_open_one_is_closed_early() {
    let test = monthly().await;
    used(&test, "acme", "10", "2026-05-10T00:00:00Z").await;
    // After the cut; its scrape is the first, so that there is no counter of it to wait for.
    let mut other = test.connect().await;
    execute(&mut other, &format!("begin; {}", uses(5, "2026-05-20T00:00:00Z"))).await;
    let early = start(&test, "2026-05-15T12:00:00Z", &["--early"]);
    until_it_waits(&test, "usage_counters").await;
    execute(&mut other, "commit").await;
    end(early).exits(0);
    assert_eq!(
        counters(&test).await,
        [
            "minutes_transcribed 2026-05-01T00:00:00Z 2026-05-15T12:00:00Z 10",
            "minutes_transcribed 2026-05-15T12:00:00Z 2026-06-01T00:00:00Z 5",
            "scrapes 2026-05-15T12:00:00Z 2026-06-01T00:00:00Z 1",
        ]
    );
    assert_eq!(closed(&test, "acme").await, ["2026-05-15T12:00:00Z 10 500 0 0"]);
    test.check_invariants().await;
}

/// A rollover is stopped while it holds the counters; somebody comes by, and it goes on.
async fn while_it_holds_the_counters(test: &TestDatabase, at: &str, flags: &[&str]) {
    // Something to be reset, which it waits for.
    test.sql("update users set usage_this_month = 7").await;
    let mut holder = test.connect().await;
    execute(&mut holder, "begin; select from users for update").await;
    let child = start(test, at, flags);
    until_it_waits(test, "usage_this_month").await;
    let other = spawn(
        test.connect().await,
        "select record_usage(o.id, 'minutes_transcribed', 5, u.id, '2026-05-20T00:00:00Z'),
                record_usage(o.id, 'sms_sent', 2, u.id, '2026-05-20T00:00:00Z')
         from organizations o join users u on u.organization_id = o.id",
    );
    until_somebody_waits_for_it(test).await;
    execute(&mut holder, "rollback").await;
    end(child).exits(0);
    other.await.expect("recorded");
}

async fn until_somebody_waits_for_it(test: &TestDatabase) {
    let waiting = "select count(*) > 0 from pg_stat_activity
                   where datname = current_database() and application_name <> 'periodd'
                     and wait_event_type = 'Lock'";
    test.until(waiting, "true").await;
}

#[tokio::test]
async fn a_use_that_waits_for_an_early_close_is_counted_where_it_belongs() {
    let test = monthly().await;
    used(&test, "acme", "10", "2026-05-10T00:00:00Z").await;
    while_it_holds_the_counters(&test, "2026-05-15T12:00:00Z", &["--early"]).await;
    test.periodd(&["--at", "2026-05-15T12:01:00Z", "sync"]).exits(0);
    let held =
        "select period_start, feature, used from usage_counters where used <> 0 order by 1, 2";
    assert_eq!(
        test.rows(held).await,
        [
            "2026-05-01T00:00:00Z minutes_transcribed 10",
            "2026-05-15T12:00:00Z minutes_transcribed 5",
            "2026-05-15T12:00:00Z sms_sent 2",
        ]
    );
    test.check_invariants().await;
}

#[tokio::test]
async fn a_use_under_way_survives_a_collapse_and_a_late_change_of_the_calendar() {
    for change in [
        "",
        "update organizations set time_zone = 'Asia/Tokyo'",
        "update organizations set cycle = 'weekly'",
        "update organizations set cycle = 'monthly', anchor_day = 15",
    ] {
        let test = daily().await;
        if change.is_empty() {
            test.configure("[rollover]\ncatch_up = \"collapse\"\n");
        }
        test.sql(&uses(4, "2026-05-05T02:00:00Z")).await;
        test.sql(&format!("select; {change}")).await;
        let mut other = test.connect().await;
        execute(&mut other, &format!("begin; {}", uses(6, "2026-05-05T03:00:00Z"))).await;
        let child = start(&test, "2026-05-05T12:00:00Z", &[]);
        until_it_waits(&test, "usage_counters").await;
        execute(&mut other, "commit").await;
        end(child).exits(0);
        let held = "select feature, sum(used) as used from usage_counters group by 1 order by 1";
        assert_eq!(test.rows(held).await, ["minutes_transcribed 10", "scrapes 2"], "{change}");
        let users = "select sum(usage_count) as used from feature_usage where feature = 'scrapes'";
        assert_eq!(test.rows(users).await, ["2"], "{change}");
        let counters = test.rows("select count(*) from usage_counters where used = 0").await;
        assert_eq!(counters, ["0"], "counters that were made to be locked are left");
        test.check_invariants().await;
    }
}

/// Usage of an ended period that is committed and synced while a rollover that has read it waits.
#[tokio::test]
async fn usage_that_is_synced_between_a_rollovers_read_and_its_write_is_in_the_books() {
    for (feature, closed_with) in [("minutes_transcribed", "15"), ("scrapes", "5")] {
        let test = daily().await;
        used(&test, "acme", "10", "2026-05-01T10:00:00Z").await;
        test.periodd(&["--at", "2026-05-01T11:00:00Z", "sync"]).exits(0);
        let mut holder = test.connect().await;
        execute(&mut holder, "begin; update organizations set name = 'held'").await;
        let child = start(&test, "2026-05-02T06:00:00Z", &[]);
        until_it_waits(&test, "organizations").await;
        test.sql(&format!(
            "select record_usage(id, '{feature}', 5, null, '2026-05-01T12:00:00Z')
             from organizations"
        ))
        .await;
        test.periodd(&["--at", "2026-05-02T06:00:00Z", "sync"]).exits(0);
        execute(&mut holder, "rollback").await;
        end(child).exits(0);
        let books = format!(
            "select used from billing_period_usage where feature = '{feature}'
             union all select used from billing_adjustments"
        );
        assert_eq!(test.rows(&books).await, [closed_with]);
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn usage_of_a_period_that_nobody_has_closed_stays_pending_until_it_is() {
    let test = daily().await;
    used(&test, "acme", "10", "2026-05-01T10:00:00Z").await;
    // And some of the next one, which no copy can show yet.
    used(&test, "acme", "3", "2026-05-02T01:00:00Z").await;
    let sync = || test.periodd(&["--at", "2026-05-02T06:00:00Z", "sync"]).exits(0);
    sync();
    let status = "select period_start, sync_status from usage_counters order by 1";
    assert_eq!(
        test.rows(status).await,
        ["2026-05-01T00:00:00Z pending", "2026-05-02T00:00:00Z pending"]
    );
    rollover(&test, "2026-05-02T06:00:00Z", &[]).exits(0);
    sync();
    assert_eq!(
        test.rows(status).await,
        ["2026-05-01T00:00:00Z synced", "2026-05-02T00:00:00Z synced"]
    );
    test.check_invariants().await;
}

#[tokio::test]
async fn usage_of_the_next_period_that_is_synced_meanwhile_is_in_its_copy_in_the_end() {
    let test = daily().await;
    let mut holder = test.connect().await;
    execute(&mut holder, "begin; update organizations set name = 'held'").await;
    let child = start(&test, "2026-05-02T06:00:00Z", &[]);
    until_it_waits(&test, "organizations").await;
    used(&test, "acme", "5", "2026-05-02T01:00:00Z").await;
    test.periodd(&["--at", "2026-05-02T06:00:00Z", "sync"]).exits(0);
    execute(&mut holder, "rollback").await;
    end(child).exits(0);
    test.periodd(&["--at", "2026-05-02T06:00:00Z", "sync"]).exits(0);
    assert_eq!(test.rows("select used_minutes from organizations").await, ["5"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_pack_that_is_inserted_while_a_rollover_waits_is_drawn_on() {
    let test = daily().await;
    used(&test, "acme", "520", "2026-05-01T10:00:00Z").await;
    let mut holder = test.connect().await;
    execute(&mut holder, "begin; update organizations set name = 'held'").await;
    let child = start(&test, "2026-05-02T06:00:00Z", &[]);
    until_it_waits(&test, "organizations").await;
    test.sql(PLAIN_PACK).await;
    execute(&mut holder, "rollback").await;
    end(child).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-05-02T00:00:00Z 520 500 20 0"]);
    assert_eq!(packs(&test).await, ["plain 30 20 0"]);
    test.check_invariants().await;
}

const PLAIN_PACK: &str =
    "insert into overage_packs (org_id, feature, quantity, purchased_at, reference)
     select id, 'minutes_transcribed', 50, '2026-05-01T02:00:00Z', 'plain' from organizations
     where slug = 'acme'";

#[tokio::test]
async fn a_plain_pack_is_drawn_on_whatever_happens_to_other_orgs_packs() {
    let test = daily().await;
    add(&test, "aaa", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    used(&test, "acme", "520", "2026-05-01T10:00:00Z").await;
    test.sql(PLAIN_PACK).await;
    // More than are entered in the ledger at a time, some of which never are; and nobody gets at
    // them, for somebody does not let go of their org.
    test.sql(
        "update organizations set id = '00000000-0000-4000-8000-000000000000' where slug = 'aaa';
         insert into overage_packs (org_id, feature, quantity, remaining)
         select '00000000-0000-4000-8000-000000000000', 'sms_sent', 1,
                case when i % 2 = 0 then -1 end
         from generate_series(1, 20002) i",
    )
    .await;
    let mut holder = test.connect().await;
    execute(&mut holder, "begin; update organizations set name = 'held' where slug = 'aaa'").await;
    rollover(&test, "2026-05-02T06:00:00Z", &["--org", "acme"]).exits(0);
    execute(&mut holder, "rollback").await;
    assert_eq!(closed(&test, "acme").await, ["2026-05-02T00:00:00Z 520 500 20 0"]);
}

#[tokio::test]
async fn late_usage_draws_on_a_pack_that_nobody_has_entered_in_the_ledger() {
    let test = daily().await;
    used(&test, "acme", "500", "2026-05-01T10:00:00Z").await;
    rollover(&test, "2026-05-02T00:00:00Z", &[]).exits(0);
    used(&test, "acme", "20", "2026-05-01T11:00:00Z").await;
    // Packs are entered before counters are looked at, and this one comes in between.
    let mut holder = test.connect().await;
    execute(&mut holder, "begin; select from usage_counters for no key update").await;
    let mut command = test.command(&["--at", "2026-05-02T06:00:00Z", "sync", "--org", "acme"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until_it_waits(&test, "usage_counters").await;
    test.sql(PLAIN_PACK).await;
    execute(&mut holder, "rollback").await;
    end(child).exits(0);
    let late = "select used, drawn, uncovered from billing_adjustments";
    assert_eq!(test.rows(late).await, ["20 20 0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_use_under_way_is_covered_by_the_pack_that_ends_with_its_period() {
    let test = daily().await;
    granted(&test, "acme", "pack", 50, "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z").await;
    let mut other = test.connect().await;
    // The first use of the period: no counter yet.
    execute(&mut other, &format!("begin; {}", uses(530, "2026-05-01T23:59:59Z"))).await;
    let child = start(&test, "2026-05-02T00:00:01Z", &[]);
    until_it_waits(&test, "usage_counters").await;
    execute(&mut other, "commit").await;
    end(child).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-05-02T00:00:00Z 530 500 30 0"]);
    assert_eq!(packs(&test).await, ["pack 0 30 20"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_use_under_way_is_covered_by_the_pack_that_expires_in_its_period() {
    let test = monthly().await;
    granted(&test, "acme", "pack", 50, "2026-05-01T00:00:00Z", "2026-05-10T00:00:00Z").await;
    used(&test, "acme", "500", "2026-05-05T00:00:00Z").await;
    let mut other = test.connect().await;
    execute(&mut other, &format!("begin; {}", uses(30, "2026-05-09T23:59:59Z"))).await;
    let child = start(&test, "2026-05-10T00:00:01Z", &[]);
    until_it_waits(&test, "usage_counters").await;
    execute(&mut other, "commit").await;
    end(child).exits(0);
    assert_eq!(packs(&test).await, ["pack 0 30 20"]);
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-06-01T00:00:00Z 530 500 30 0"]);
    test.check_invariants().await;
}

/// An increment that has read its limit with the pack, and waits while the pack is settled.
#[tokio::test]
async fn a_use_that_waits_while_its_pack_expires_decides_anew() {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start,
                                    current_period_end)
         values ('acme', 'Acme', 'UTC', now() - interval '5 days', now() + interval '5 days');
         insert into users (organization_id, email) select id, 'a@example.org' from organizations;
         insert into limit_overrides select id, 'scrapes', 10 from organizations",
    )
    .await;
    test.periodd(&["rollover"]).exits(0);
    test.sql(
        "select increment_feature_usage(id, 'scrapes', 10) from users;
         select grant_overage_pack(id, 'scrapes', 50, 'pack', clock_timestamp() + interval '1 s')
         from organizations",
    )
    .await;
    let mut holder = test.connect().await;
    execute(&mut holder, "begin; select from usage_counters for update").await;
    let waiting = test.connect().await;
    let other = spawn(waiting, "select increment_feature_usage(id, 'scrapes', 30) from users");
    until_somebody_waits_for_it(&test).await;
    let expired = "select count(*) > 0 from overage_packs where expires_at < clock_timestamp()";
    test.until(expired, "true").await;
    let mut sweep = test.command(&["rollover"]);
    let sweep = sweep.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until_it_waits(&test, "usage_counters").await;
    execute(&mut holder, "rollback").await;
    end(sweep).exits(0);
    other.await.expect("answered");
    test.periodd(&["rollover", "--early", "--yes"]).exits(0);
    let books = "select uncovered from billing_period_usage";
    assert_eq!(test.rows(books).await, ["0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn an_end_that_an_application_moved_closes_with_the_usage_inside_of_it() {
    for next in ["", ", next_period_ends = null"] {
        let test = monthly().await;
        test.sql(&uses(3, "2026-05-10T10:00:00Z")).await;
        test.sql(&uses(4, "2026-05-10T12:00:00Z")).await;
        test.sql(&format!(
            "update organizations set current_period_end = '2026-05-10T11:00:00Z'{next}"
        ))
        .await;
        rollover(&test, "2026-05-10T13:00:00Z", &[]).exits(0);
        assert_eq!(closed(&test, "acme").await, ["2026-05-10T11:00:00Z 3 500 0 0"]);
        assert_eq!(test.rows("select used_minutes from organizations").await, ["4"]);
        let users = "select period_start, usage_count from feature_usage
                     where feature = 'minutes_transcribed' order by 1";
        assert_eq!(test.rows(users).await, ["2026-05-01T00:00:00Z 3", "2026-05-10T11:00:00Z 4"]);
        test.check_invariants().await;
    }
}

#[tokio::test]
async fn a_start_that_an_application_moved_opens_with_the_usage_inside_of_it() {
    let test = monthly().await;
    test.sql(&uses(3, "2026-05-10T10:00:00Z")).await;
    test.sql(&uses(4, "2026-05-10T12:00:00Z")).await;
    test.sql("update organizations set current_period_start = '2026-05-10T11:00:00Z'").await;
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    assert_eq!(closed(&test, "acme").await, ["2026-06-01T00:00:00Z 4 500 0 0"]);
}

#[tokio::test]
async fn an_early_close_that_does_not_get_through_says_so() {
    let test = monthly().await;
    let mut holder = test.connect().await;
    execute(&mut holder, "begin; update organizations set name = 'held'").await;
    let answer = rollover(&test, "2026-05-15T00:00:00Z", &["--early"]).exits(1);
    assert!(answer.stderr.contains("still due"), "{answer:?}");
    assert_eq!(answer.json()["error"]["exit"], 1, "{answer:?}");
    execute(&mut holder, "rollback").await;
    assert_eq!(rollover(&test, "2026-05-15T00:00:00Z", &["--early"]).exits(0).json()["orgs"], 1);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_second_early_close_within_a_minute_is_refused() {
    let test = monthly().await;
    add(&test, "globex", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    let early = |at: &str, org: &str| {
        test.periodd(&["--at", at, "rollover", "--early", "--yes", "--org", org])
    };
    early("2026-05-15T12:00:00Z", "acme").exits(0);
    let refused = early("2026-05-15T12:00:59Z", "acme").exits(5);
    assert!(refused.stdout.contains("less than a minute ago"), "{refused:?}");
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["1"]);
    // The others' are closed all the same.
    let both = ["--at", "2026-05-15T12:00:59Z", "rollover", "--early", "--yes"];
    test.periodd(&both).exits(4);
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["2"]);
    early("2026-05-15T12:01:00Z", "acme").exits(0);
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["3"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn a_period_that_a_boundary_has_just_opened_is_not_closed_early() {
    let test = daily().await;
    let at = "2026-05-02T00:00:30Z";
    test.periodd(&["--at", at, "rollover", "--early", "--org", "acme"]).exits(4);
    assert_eq!(test.rows("select count(*) from billing_periods").await, ["1"]);
}

#[tokio::test]
async fn a_dry_run_says_what_an_early_close_grants_and_what_a_collapse_costs() {
    let test = daily().await;
    let said = |flags: &[&str]| {
        let fixed = ["--at", "2026-05-04T12:00:00Z", "rollover", "--dry-run"];
        test.periodd(&[&fixed[..], flags].concat()).exits(3).stdout
    };
    let early = said(&["--early"]);
    assert!(early.contains("grants a full included quantity"), "{early}");
    for day in 1..=3 {
        used(&test, "acme", "400", &format!("2026-05-0{day}T10:00:00Z")).await;
    }
    test.configure("[rollover]\ncatch_up = \"collapse\"\n");
    let collapse = said(&[]);
    assert!(collapse.contains("2 missed periods closed as one"), "{collapse}");
    assert!(collapse.contains("300 minutes_transcribed are left uncovered"), "{collapse}");
}
