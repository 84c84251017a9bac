//! Applications' own rules on tables that periodd writes: whatever a trigger raises for one org,
//! that org alone is stopped; what is refused for everybody parks nobody.

use crate::support::{TestDatabase, server, times};

const ORGS: usize = 6;
const AT: &str = "2026-11-01T00:00:05Z";
/// SQLSTATEs that a trigger may choose, those included by which the server tells of itself.
const CODES: [&str; 25] = [
    "P0001", "P0002", "22023", "22012", "23514", "23505", "23503", "23502", "23P01", "42501",
    "XX000", "0A000", "55000", "44000", "42883", "42P01", "25006", "57014", "57P03", "53100",
    "08006", "40001", "40P01", "55P03", "ZZ999",
];

/// The application's table as a derived column.
const DERIVED: &str = "[[sync.derived]]\ntable = \"accounts\"\ncolumn = \"minutes\"\n\
                       key = \"org_id\"\nfeature = \"scrapes\"\nscope = \"org\"\n\
                       quantity = \"used\"\n";

/// Six due orgs with usage that waits to be counted, and a copy of their counter in a table of the
/// application's.
async fn orgs_with_accounts() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(&format!(
        "create table accounts (org_id uuid primary key, minutes numeric default 0);
         insert into organizations (id, slug, name, time_zone, current_period_start,
                                    current_period_end)
         select ('00000000-0000-0000-0000-00000000000' || i)::uuid, 'org-' || i, 'Org', 'UTC',
                '2026-10-01T00:00Z', '2026-11-01T00:00Z'
         from generate_series(1, {ORGS}) i;
         insert into accounts select id, 7 from organizations;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'scrapes', 5, '2026-10-10T00:00Z' from organizations;
         create table refusal (code text not null, only_for text);
         create function refuse() returns trigger language plpgsql as $$
         declare r record;
         begin
             for r in select * from refusal loop
                 if r.only_for is null or new.org_id::text = r.only_for then
                     raise exception 'the shop says no' using errcode = r.code;
                 end if;
             end loop;
             return new;
         end $$;
         create trigger refuse before update on accounts for each row execute function refuse()"
    ))
    .await;
    test
}

/// `count` of a query, as a number.
async fn number(test: &TestDatabase, query: &str) -> usize {
    test.rows(query).await[0].parse().unwrap()
}

#[tokio::test]
async fn whatever_a_trigger_raises_it_stops_one_org_at_most() {
    let base = orgs_with_accounts().await;
    for code in CODES {
        let test = base.copy().await;
        test.configure(DERIVED);
        test.sql(&format!(
            "insert into refusal values ('{code}', '00000000-0000-0000-0000-000000000003')"
        ))
        .await;
        let sync = test.periodd(&["--at", "2026-10-12T00:00:00Z", "sync"]);
        let copied = number(&test, "select count(*) from accounts where minutes = 5").await;
        assert_eq!(copied, ORGS - 1, "{code}: {}", sync.stderr);
        test.sql("update organizations set parked_at = null, parked_reason = null").await;
        let rollover = test.periodd(&["--at", AT, "rollover"]);
        let closed = number(&test, "select count(*) from billing_periods").await;
        assert_eq!(closed, ORGS - 1, "{code}: {}", rollover.stderr);
        let parked = "select parked_code, parked_reason from organizations
                      where parked_at is not null";
        // It waits for a person, with the server's words. What is raised as a conflict is tried
        // again first, and is no conflict when it never ends.
        assert_eq!(
            test.rows(parked).await,
            ["refused_by_database the shop says no"],
            "{code}: {}",
            rollover.stderr
        );
    }
}

#[tokio::test]
async fn what_is_refused_for_everybody_parks_nobody() {
    let base = orgs_with_accounts().await;
    for code in ["P0001", "42501", "23514", "40001", "ZZ999"] {
        let test = base.copy().await;
        test.configure(DERIVED);
        test.sql(&format!("insert into refusal values ('{code}', null)")).await;
        let at = ["--at", "2026-10-12T00:00:00Z"];
        let sync = test.periodd(&[at[0], at[1], "sync"]).exits(1);
        assert!(sync.stderr.contains("the shop says no"), "{code}: {}", sync.stderr);
        test.periodd(&["--at", AT, "rollover"]).exits(1);
        let parked = "select count(*) from organizations where parked_at is not null";
        assert_eq!(number(&test, parked).await, 0, "{code}");
    }
}

#[tokio::test]
async fn a_unique_index_of_an_application_stops_one_org_at_most() {
    let test = orgs_with_accounts().await;
    test.configure(DERIVED);
    // Nothing but the third org's copy has the value that is taken.
    test.sql(
        "insert into accounts values ('00000000-0000-0000-0000-0000000000ff', 5);
         create unique index one_of_each on accounts (minutes)
         where org_id in ('00000000-0000-0000-0000-000000000003',
                          '00000000-0000-0000-0000-0000000000ff')",
    )
    .await;
    let parked = "select slug, parked_code from organizations where parked_at is not null";
    test.periodd(&["--at", "2026-10-12T00:00:00Z", "sync"]).exits(4);
    assert_eq!(number(&test, "select count(*) from accounts where minutes = 5").await, ORGS);
    assert_eq!(test.rows(parked).await, ["org-3 refused_by_database"]);
    // The next period begins with nothing used.
    test.sql(
        "update organizations set parked_at = null;
         update accounts set minutes = 0 where org_id = '00000000-0000-0000-0000-0000000000ff'",
    )
    .await;
    test.periodd(&["--at", AT, "rollover"]).exits(4);
    assert_eq!(number(&test, "select count(*) from billing_periods").await, ORGS - 1);
    assert_eq!(test.rows(parked).await, ["org-3 refused_by_database"]);
}

#[tokio::test]
async fn what_the_server_lacks_for_one_org_stops_nobody_else() {
    let test = orgs_with_accounts().await;
    test.configure(DERIVED);
    // More temporary space than this function may take: the server says so itself, with 53400.
    test.sql(
        "create function sort() returns trigger language plpgsql
         set work_mem = '64kB' set temp_file_limit = '64kB' as $$
         begin
             if new.org_id = '00000000-0000-0000-0000-000000000003' then
                 perform count(*) from (select i from generate_series(1, 200000) i
                                        order by i desc) s;
             end if;
             return new;
         end $$;
         create trigger sort before update on accounts for each row execute function sort()",
    )
    .await;
    let rollover = test.periodd(&["--at", AT, "rollover"]);
    assert_eq!(number(&test, "select count(*) from billing_periods").await, ORGS - 1);
    // Room can be made: it is left to the next run, with the server's words.
    assert_eq!(rollover.code, 1, "{}", rollover.stderr);
    assert!(rollover.stderr.contains("temp_file_limit"), "{}", rollover.stderr);
    let parked = "select count(*) from organizations where parked_at is not null";
    assert_eq!(number(&test, parked).await, 0);
}

/// What the third org's row needs of another server, and what that says of itself.
const ELSEWHERE: [(&str, &str); 4] = [
    ("perform dblink_exec('host=/nowhere dbname=shop', 'select 1')", "could not establish"),
    ("insert into away values (new.org_id)", "could not connect"),
    // It goes amid the call.
    (
        "perform pg_terminate_backend(pid, 10000) from far_session; perform from far_session",
        "terminating connection",
    ),
    ("insert into written_far values (new.org_id)", "read-only transaction"),
];

/// Tables on other servers: one that is away, and the test's own, read-only.
async fn tables_elsewhere(test: &TestDatabase) {
    test.sql(&format!(
        "create extension dblink;
         create extension postgres_fdw;
         create server away foreign data wrapper postgres_fdw
             options (host '/nowhere', dbname 'shop');
         create server far foreign data wrapper postgres_fdw
             options (host '{}', dbname '{}', options '-c default_transaction_read_only=on');
         create user mapping for current_user server away;
         create user mapping for current_user server far options (user 'postgres');
         create foreign table away (org_id uuid, minutes numeric) server away;
         create table written (org_id uuid);
         create foreign table written_far (org_id uuid) server far options (table_name 'written');
         create view session as select pg_backend_pid() as pid;
         create foreign table far_session (pid int) server far options (table_name 'session')",
        server(),
        test.name
    ))
    .await;
}

#[tokio::test]
async fn another_server_that_one_org_needs_and_that_is_away_stops_nobody_else() {
    let base = orgs_with_accounts().await;
    for (needs, said) in ELSEWHERE {
        let test = base.copy().await;
        test.configure(DERIVED);
        tables_elsewhere(&test).await;
        test.sql(&format!(
            "create function ask_elsewhere() returns trigger language plpgsql as $$
             begin
                 if new.org_id = '00000000-0000-0000-0000-000000000003' then {needs}; end if;
                 return new;
             end $$;
             create trigger ask_elsewhere before update on accounts for each row
             execute function ask_elsewhere()"
        ))
        .await;
        let parked = "select slug, parked_code from organizations where parked_at is not null";
        let sync = test.periodd(&["--at", "2026-10-12T00:00:00Z", "sync"]).exits(4);
        let copied = "select count(*) from accounts where minutes = 5";
        assert_eq!(number(&test, copied).await, ORGS - 1, "{needs}: {}", sync.stderr);
        assert_eq!(test.rows(parked).await, ["org-3 refused_by_database"], "{needs}");
        test.sql("update organizations set parked_at = null, parked_reason = null").await;
        let rollover = test.periodd(&["--at", AT, "rollover"]).exits(4);
        let closed = number(&test, "select count(*) from billing_periods").await;
        assert_eq!(closed, ORGS - 1, "{needs}: {}", rollover.stderr);
        assert_eq!(test.rows(parked).await, ["org-3 refused_by_database"], "{needs}");
        let reason = "select parked_reason from organizations where parked_at is not null";
        let reason = test.rows(reason).await.concat();
        assert!(reason.contains(said), "{needs}: {reason}");
    }
}

#[tokio::test]
async fn another_server_that_every_org_needs_is_no_outage_of_this_one() {
    let test = orgs_with_accounts().await;
    tables_elsewhere(&test).await;
    test.configure(&DERIVED.replace("accounts", "away"));
    for (at, command) in [("2026-10-12T00:00:00Z", "sync"), (AT, "rollover")] {
        let answer = test.periodd(&["--at", at, command]).exits(1);
        let said = "could not connect to server \"away\"";
        assert!(answer.stderr.contains(said), "{command}: {}", answer.stderr);
    }
    let parked = "select count(*) from organizations where parked_at is not null";
    assert_eq!(number(&test, parked).await, 0);
}

/// Codes of each kind that a table's trigger may raise.
const KINDS: [&str; 8] = ["P0001", "23505", "40001", "55P03", "57014", "53100", "08006", "25006"];

#[tokio::test]
async fn whatever_a_table_of_ours_is_made_to_raise_it_stops_one_org_at_most() {
    let base = orgs_with_accounts().await;
    base.sql(
        "drop trigger refuse on accounts;
         insert into overage_packs (org_id, feature, quantity, purchased_at)
         select id, 'scrapes', 10, '2026-10-02T00:00Z' from organizations;
         create function refuse_one() returns trigger language plpgsql as $$
         begin
             if to_jsonb(new) ->> tg_argv[0] = '00000000-0000-0000-0000-000000000003' then
                 raise exception 'the shop says no' using errcode = tg_argv[1];
             end if;
             return new;
         end $$",
    )
    .await;
    // An org whose own row refuses every change cannot be parked either.
    let tables = [
        ("organizations", "id", 0),
        ("overage_packs", "org_id", 1),
        ("usage_counters", "org_id", 1),
    ];
    // Each code somewhere; everywhere in a long run.
    for (place, (table, key, parked)) in tables.into_iter().enumerate() {
        for code in KINDS.into_iter().skip(place % times(3, 1)).step_by(times(3, 1)) {
            let test = base.copy().await;
            test.sql(&format!(
                "create trigger refuse before insert or update on {table} for each row
                 execute function refuse_one('{key}', '{code}')"
            ))
            .await;
            let sync = test.periodd(&["--at", "2026-10-12T00:00:00Z", "sync"]).exits(4);
            let counted = "select count(*) from usage_counters where used = 5 and org_id
                           <> '00000000-0000-0000-0000-000000000003'";
            assert_eq!(number(&test, counted).await, ORGS - 1, "{table} {code}: {}", sync.stderr);
            let set_aside = "select count(*) from organizations where parked_at is not null
                             and parked_code = 'refused_by_database'";
            assert_eq!(number(&test, set_aside).await, parked, "{table} {code}: {}", sync.stderr);
            test.sql(&format!(
                "alter table {table} disable trigger refuse;
                 update organizations set parked_at = null, parked_reason = null;
                 alter table {table} enable trigger refuse"
            ))
            .await;
            let rollover = test.periodd(&["--at", AT, "rollover"]).exits(4);
            let closed = number(&test, "select count(*) from billing_periods").await;
            assert_eq!(closed, ORGS - 1, "{table} {code}: {}", rollover.stderr);
            assert_eq!(number(&test, set_aside).await, parked, "{table} {code}");
            let said = format!("{}{}", rollover.stdout, rollover.stderr);
            assert!(said.contains("the shop says no"), "{table} {code}: {said}");
        }
    }
}
