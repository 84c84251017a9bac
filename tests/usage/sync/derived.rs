//! Derived columns in tables of the application's own.

use crate::story::{add, granted, rollover, used};
use crate::sync::words::{log, may, sync};

const ACCOUNTS: &str = "
    create schema app;
    create table app.accounts (org uuid primary key, \"Minutes\" integer, \"left\" numeric(12, 2),
                               share numeric not null default 0, note text);
    insert into app.accounts (org) select id from organizations;
    create table seats (person uuid primary key, used bigint not null default 0);
    insert into users (organization_id, email) select id, 'a@b' from organizations;
    insert into seats (person) select id from users";

fn derived(table: &str, column: &str, key: &str, scope: &str, quantity: &str) -> String {
    format!(
        "[[sync.derived]]\ntable = \"{table}\"\ncolumn = \"{column}\"\nkey = \"{key}\"\n\
         feature = \"Minutes_Transcribed\"\nscope = \"{scope}\"\nquantity = \"{quantity}\"\n"
    )
}

fn all() -> String {
    [
        derived("organizations", "used_minutes", "id", "org", "used"),
        derived("app.accounts", "Minutes", "org", "org", "used"),
        derived("app.accounts", "left", "org", "org", "purchased_remaining"),
        derived("app.accounts", "share", "org", "org", "percent"),
        derived("seats", "used", "person", "user", "used"),
    ]
    .concat()
}

const SHOWN: &str = "select \"Minutes\", \"left\", share, used from app.accounts, seats";

#[tokio::test]
async fn columns_of_other_tables_follow_counters_packs_and_rollovers() {
    let test = may().await;
    test.sql(ACCOUNTS).await;
    test.configure(&all());
    granted(&test, "acme", "A", 100, "2026-05-01T00:00:00Z", "").await;
    test.sql(
        "select record_usage(organization_id, 'minutes_transcribed', 120.5, id, '2026-05-10')
         from users",
    )
    .await;
    sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(SHOWN).await, ["121 100.00 20.08 121"]);
    sync(&test, "2026-05-11T00:00:00Z", &["--full"]).exits(0);
    let report = sync(&test, "2026-05-11T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!((&report["drift_found"], &report["columns_written"]), (&0.into(), &0.into()));

    // What nothing explains is drift; what follows a limit or a pack is not.
    test.sql("update app.accounts set \"Minutes\" = 7, share = 99; update seats set used = 1")
        .await;
    sync(&test, "2026-05-12T00:00:00Z", &["--full"]).exits(0);
    let mut lines = log(&test).await;
    lines.sort();
    assert_eq!(
        lines,
        [
            "app.accounts.Minutes 7 121 114",
            "app.accounts.share 99 20.08 -78.92",
            "seats.used 1 121 120"
        ]
    );
    test.sql(
        "insert into limit_overrides select id, 'minutes_transcribed', 1000 from organizations",
    )
    .await;
    let report = sync(&test, "2026-05-13T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(report["drift_found"], 0);
    assert_eq!(test.rows(SHOWN).await, ["121 100.00 10.95 121"]);

    // Sold without a pack: kept, also when the packs move.
    test.sql("update app.accounts set \"left\" = \"left\" + 30").await;
    let report = sync(&test, "2026-05-14T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(report["purchases_without_pack"][0]["column"], "app.accounts.left");
    used(&test, "acme", "939.5", "2026-05-15T00:00:00Z").await;
    sync(&test, "2026-05-16T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(SHOWN).await, ["1060 70.00 96.36 121"]);
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(SHOWN).await, ["0 70.00 0 0"]);
    granted(&test, "acme", "B", 30, "2026-06-02T00:00:00Z", "").await;
    let report = sync(&test, "2026-06-03T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(test.rows(SHOWN).await, ["0 70.00 0 0"]);
    assert_eq!(report["purchases_without_pack"].as_array().unwrap().len(), 0);
    assert_eq!(report["drift_found"], 0);
    test.check_invariants().await;
}

#[tokio::test]
async fn users_rows_show_their_share_of_what_their_org_may_use() {
    let test = may().await;
    test.sql(ACCOUNTS).await;
    test.sql("alter table seats add share numeric").await;
    test.configure(&derived("seats", "share", "person", "user", "percent"));
    granted(&test, "acme", "A", 100, "2026-05-01T00:00:00Z", "").await;
    test.sql(
        "select record_usage(organization_id, 'minutes_transcribed', 120, id, '2026-05-10'),
                record_usage(organization_id, 'minutes_transcribed', 60, null, '2026-05-10')
         from users",
    )
    .await;
    sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
    let shown = "select share from seats";
    assert_eq!(test.rows(shown).await, ["20"]);
    test.sql("update seats set share = 50").await;
    let report = sync(&test, "2026-05-12T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!((&report["drift_found"], test.rows(shown).await), (&1.into(), vec!["20".into()]));
}

/// Accounts whose writes may fail, with something wrong in their column and in a counter.
async fn wrong(trigger: &str) -> crate::support::TestDatabase {
    let test = may().await;
    add(&test, "zeta", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    for slug in ["acme", "zeta"] {
        used(&test, slug, "10", "2026-05-10T00:00:00Z").await;
    }
    test.sql(&format!(
        "create table accounts (org uuid primary key, minutes integer not null default 0);
         insert into accounts select id, 10 from organizations;
         create sequence tries;
         create function fails() returns trigger language plpgsql as $$ begin
             {trigger}
             return new; end $$;
         create trigger fails before update on accounts for each row execute function fails();"
    ))
    .await;
    test.configure(&derived("accounts", "minutes", "org", "org", "used"));
    sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
    test.sql(
        "update usage_counters set used = 9; alter table accounts disable trigger fails;
              update accounts set minutes = 7; alter table accounts enable trigger fails",
    )
    .await;
    test
}

#[tokio::test]
async fn a_conflict_in_a_table_of_others_breaks_nothing_off() {
    // A sequence counts what is rolled back, too.
    let test = wrong("if nextval('tries') <= 3 then raise 'busy' using errcode = '40001'; end if;");
    let test = test.await;
    let report = sync(&test, "2026-05-12T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(report["drift_found"], 4, "{report}");
    assert_eq!(test.rows("select distinct minutes from accounts").await, ["10"]);
    assert_eq!(test.rows("select distinct used from usage_counters").await, ["10"]);
}

#[tokio::test]
async fn a_row_that_refuses_its_value_parks_its_org_and_no_other() {
    let test = wrong(
        "if new.org = (select id from organizations where slug = 'zeta') then
             raise 'no' using errcode = '23514'; end if;",
    )
    .await;
    let report = sync(&test, "2026-05-12T00:00:00Z", &["--full"]).exits(4).json();
    assert_eq!(report["parked"][0]["slug"], "zeta", "{report}");
    let acme = "select c.used, a.minutes from usage_counters c
                join organizations o on o.id = c.org_id join accounts a on a.org = o.id
                where o.slug = 'acme'";
    assert_eq!(test.rows(acme).await, ["10 10"]);
}

#[tokio::test]
async fn a_column_that_is_too_small_parks_its_org_wherever_it_is_written() {
    for full in [false, true] {
        let test = may().await;
        add(&test, "zeta", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
        test.sql(
            "create table accounts (org uuid primary key, minutes integer not null default 0,
                                    share numeric(4, 1));
             insert into accounts select id from organizations",
        )
        .await;
        let columns = ["minutes", "share"].map(|column| {
            let quantity = if column == "minutes" { "used" } else { "percent" };
            derived("accounts", column, "org", "org", quantity)
        });
        if full {
            // Counters that are synced already, as for a column that is named later.
            sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
        }
        used(&test, "acme", "20", "2026-05-10T00:00:00Z").await;
        used(&test, "zeta", "2147483648", "2026-05-10T00:00:00Z").await;
        let flags: &[&str] = if full {
            sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
            &["--full"]
        } else {
            &[]
        };
        test.configure(&columns.concat());
        let report = sync(&test, "2026-05-12T00:00:00Z", flags).exits(4).json();
        let why = "accounts.minutes is integer and can store at most 2147483647, not 2147483648";
        assert_eq!(report["parked"][0]["slug"], "zeta", "{report}");
        assert!(report["parked"][0]["reason"].as_str().unwrap().contains(why), "{report}");
        let minutes = "select a.minutes, a.share from accounts a
                       join organizations o on o.id = a.org order by o.slug limit 1";
        assert_eq!(test.rows(minutes).await, ["20 4.0"]);
    }
}

#[tokio::test]
async fn a_column_that_is_too_small_keeps_nobody_else_from_being_closed() {
    let test = may().await;
    add(&test, "zeta", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    test.sql(
        "create table accounts (org uuid primary key, minutes smallint not null default 0);
         insert into accounts select id from organizations",
    )
    .await;
    test.configure(&derived("accounts", "minutes", "org", "org", "used"));
    // Used in the period that the rollover opens, so that the rollover has to write it.
    used(&test, "acme", "20", "2026-06-01T10:00:00Z").await;
    used(&test, "zeta", "40000", "2026-06-01T10:00:00Z").await;
    let report = rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(4).json();
    assert_eq!(report["parked"][0]["slug"], "zeta", "{report}");
    let reason = report["parked"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("accounts.minutes is smallint and can store at most 32767"),
        "{reason}"
    );
    let closed = "select o.slug from billing_periods b join organizations o on o.id = b.org_id";
    assert_eq!(test.rows(closed).await, ["acme"]);
}

#[tokio::test]
async fn names_that_do_not_exist_are_refused_with_their_place_and_a_suggestion() {
    let test = may().await;
    test.sql(ACCOUNTS).await;
    let plain = std::fs::read_to_string(test.config()).unwrap();
    let lines = plain.lines().count();
    for (wrong, line, said) in [
        (
            derived("organisatons", "used_minutes", "id", "org", "used"),
            2,
            "unknown table `organisatons`; did you mean `organi",
        ),
        (derived("app.acounts", "share", "org", "org", "used"), 2, "did you mean `app.accounts`?"),
        (
            derived("organizations", "used_minute", "id", "org", "used"),
            3,
            "did you mean `used_minutes`?",
        ),
        (derived("organizations", "used_minutes", "uid", "org", "used"), 4, "no column `uid`"),
        (
            derived("organizations", "used_minutes", "slug", "org", "used"),
            4,
            "`slug` is text; the key",
        ),
        (
            derived("app.accounts", "note", "org", "org", "used"),
            3,
            "`note` is text; a derived column is",
        ),
        (derived("app.accounts", "minutes", "org", "org", "used"), 3, "did you mean `Minutes`?"),
    ] {
        std::fs::write(test.config(), format!("{plain}{wrong}")).unwrap();
        for command in [&["sync"][..], &["sync", "--check"], &["rollover"]] {
            let stderr = test.periodd(command).exits(78).stderr;
            assert!(stderr.contains(said), "{stderr}");
            assert!(stderr.contains(&format!("periodd.toml:{}:", lines + line)), "{stderr}");
        }
    }
}

#[tokio::test]
async fn names_are_quoted_whatever_they_are_called() {
    let test = may().await;
    test.sql(
        "create table \"order\" (\"user\" uuid primary key, \"group\" numeric not null default 0);
         insert into \"order\" select id from organizations",
    )
    .await;
    test.configure(&derived("order", "group", "user", "org", "used"));
    used(&test, "acme", "12", "2026-05-10T00:00:00Z").await;
    sync(&test, "2026-05-11T00:00:00Z", &["--full"]).exits(0);
    assert_eq!(test.rows("select \"group\" from \"order\"").await, ["12"]);
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows("select \"group\" from \"order\"").await, ["0"]);
}

#[tokio::test]
async fn users_rows_show_what_their_org_may_use() {
    let test = may().await;
    test.sql(
        "insert into tier_limits values ('pro', 'scrapes', 40), ('starter', 'scrapes', 10);
         insert into users (organization_id, email)
             select id, n || '@acme.example' from organizations, generate_series(1, 2) n",
    )
    .await;
    let shown = "select plan_limits_scrapes from users order by email";
    let at = "2026-05-12T00:00:00Z";
    sync(&test, at, &["--check"]).exits(0);
    assert_eq!(test.rows(shown).await, ["-", "-"], "a check writes nothing");
    let report = sync(&test, at, &["--full"]).exits(0).json();
    assert_eq!(test.rows(shown).await, ["40", "40"]);
    assert_eq!((&report["drift_found"], &report["columns_written"]), (&0.into(), &2.into()));
    let report = sync(&test, at, &["--full"]).exits(0).json();
    assert_eq!(report["columns_written"], 0);

    // A limit that moves shows with the next audit: one of the org's own, without a bound, none.
    for (change, is) in [
        ("insert into limit_overrides select id, 'scrapes', 25 from organizations", "25"),
        ("update limit_overrides set included = null", "-"),
        ("delete from limit_overrides; delete from tier_limits where tier = 'pro'", "0"),
    ] {
        test.sql(change).await;
        sync(&test, at, &["--org", "acme"]).exits(0);
        assert_eq!(test.rows(shown).await, [is, is], "{change}");
    }

    // A rollover shows the limit that holds from then on, also to users who used nothing.
    test.sql(
        "select record_usage(organization_id, 'scrapes', 3, id, '2026-05-13') from users
         where email like '1@%';
         update organizations set next_subscription_tier = 'starter'",
    )
    .await;
    sync(&test, "2026-05-14T00:00:00Z", &[]).exits(0);
    rollover(&test, "2026-06-01T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows(shown).await, ["10", "10"]);
    let report = sync(&test, "2026-06-01T00:00:00Z", &["--full"]).exits(0).json();
    assert_eq!(report["columns_written"], 0);
    assert_eq!(test.rows(shown).await, ["10", "10"]);
}

#[tokio::test]
async fn a_table_of_a_lesser_role_is_left_out_while_code_of_its_own_would_run_as_periodd() {
    let test = may().await;
    let shop = format!("shop_{}", uuid::Uuid::new_v4().simple());
    test.sql(&format!(
        "create role {shop}; create schema shop authorization {shop};
         create table shop.accounts (org uuid primary key, minutes numeric check (minutes >= 0));
         insert into shop.accounts (org) select id from organizations;
         create function shop.t() returns trigger language plpgsql as 'begin return new; end';
         create function shop.f(numeric) returns boolean language sql immutable as 'select true';
         create domain shop.plain as numeric;
         create domain shop.checked as numeric check (shop.f(value));
         alter table shop.accounts owner to {shop}"
    ))
    .await;
    // Columns before and after it, for everybody else is served.
    test.sql(
        "create table seats (org uuid primary key, minutes numeric);
         insert into seats (org) select id from organizations",
    )
    .await;
    test.configure(&derived("shop.accounts", "minutes", "org", "org", "used"));
    test.configure(&derived("seats", "minutes", "org", "org", "used"));
    used(&test, "acme", "7", "2026-05-10T00:00:00Z").await;
    sync(&test, "2026-05-11T00:00:00Z", &[]).exits(0);
    assert_eq!(test.rows("select minutes from shop.accounts").await, ["7"]);
    let trigger = "create trigger t before update on shop.accounts for each row
                   execute function shop.t()";
    for (code, named, gone) in [
        (trigger, "the trigger t", "drop trigger t on shop.accounts"),
        (
            "create rule r as on update to shop.accounts do also select 1",
            "the rule r",
            "drop rule r on shop.accounts",
        ),
        (
            "alter table shop.accounts add constraint k check (shop.f(minutes))",
            "constraint k on table shop.accounts that calls function shop.f(numeric)",
            "alter table shop.accounts drop constraint k",
        ),
        (
            "create index i on shop.accounts (shop.f(minutes))",
            "that calls function shop.f(numeric)",
            "drop index shop.i",
        ),
        (
            "alter table shop.accounts add g boolean generated always as (shop.f(minutes)) stored",
            "that calls function shop.f(numeric)",
            "alter table shop.accounts drop g",
        ),
        (
            "alter table shop.accounts add d shop.checked",
            "a column of the domain checked",
            "alter table shop.accounts drop d",
        ),
    ] {
        test.sql(code).await;
        let before = test.rows("select minutes from shop.accounts").await;
        let all = test.rows("select sum(used) from usage_counters").await;
        used(&test, "acme", "1", "2026-05-10T00:00:00Z").await;
        for command in [&["sync"][..], &["sync", "--full"], &["rollover"]] {
            let line = [&["--at", "2026-05-12T00:00:00Z", "--format", "json"], command].concat();
            let report = test.periodd(&line);
            let left_out = &report.json()["columns_left_out"][0];
            assert_eq!(left_out["column"], "shop.accounts.minutes", "{command:?}: {report:?}");
            let reason = left_out["reason"].as_str().expect("a sentence");
            assert!(reason.contains(&format!("`shop.accounts` belongs to {shop} and has ")));
            assert!(reason.contains(named), "{reason}");
            let repair = "alter table \"shop\".\"accounts\" owner to postgres";
            assert!(reason.contains(repair), "{reason}");
            report.exits(4);
        }
        assert_eq!(test.rows("select minutes from shop.accounts").await, before, "{named}");
        let seats = test.rows("select minutes from seats").await;
        assert_ne!(seats, all, "counted meanwhile");
        assert_eq!(seats, test.rows("select sum(used) from usage_counters").await, "{named}");
        for command in ["status", "doctor"] {
            let found = test.periodd(&[command, "--at", "2026-05-12T00:00:00Z"]).stdout;
            assert!(found.contains("sync.derived[0].table: nothing is written to"), "{found}");
        }
        test.sql(gone).await;
        // What it missed, the next audit writes.
        sync(&test, "2026-05-12T00:00:00Z", &["--full"]).exits(0);
        assert_eq!(test.rows("select minutes from shop.accounts").await, seats, "{named}");
    }
    // What is harmless, and code of somebody who is trusted, stay as welcome as ever.
    test.sql("alter table shop.accounts add p shop.plain").await;
    sync(&test, "2026-05-12T00:00:00Z", &[]).exits(0);
    test.sql(trigger).await;
    test.sql("alter table \"shop\".\"accounts\" owner to postgres").await;
    used(&test, "acme", "2", "2026-05-12T00:00:00Z").await;
    sync(&test, "2026-05-12T01:00:00Z", &[]).exits(0);
    assert_eq!(test.rows("select minutes from shop.accounts").await, ["15"]);
}
