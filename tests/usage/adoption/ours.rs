//! What the importer takes for periodd's own is what the migrations make.

use std::path::Path;

use crate::support::TestDatabase;

/// One line for each object whose name others could have: with the columns of tables and views.
/// Names that PostgreSQL chooses by itself (indexes of constraints) are left out.
const OBJECTS: &str = "
    select case relkind when 'v' then 'view' when 'i' then 'index' else 'table' end
           || ' ' || relname
           || coalesce(' ' || case when relkind <> 'i' then (
                  select string_agg(attname, ' ' order by attnum) from pg_attribute
                  where attrelid = c.oid and attnum > 0 and not attisdropped) end, '') as line
    from pg_class c
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'i')
      and not exists (select from pg_constraint k where k.conindid = c.oid and c.relkind = 'i')
    union
    select 'function ' || proname from pg_proc where pronamespace = 'public'::regnamespace
    order by 1";

/// `UPDATE_SCHEMA=1` writes the file anew instead of comparing.
#[tokio::test]
async fn the_list_of_our_objects_is_the_schemas() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/db/schema.txt");
    let test = TestDatabase::new().await;
    let mut found = test.rows(OBJECTS).await.join("\n");
    found.push('\n');
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&file, &found).expect("the file is written");
    }
    let known = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(
        known, found,
        "write it anew: UPDATE_SCHEMA=1 scripts/with-postgresql cargo test --test usage ours"
    );
}

/// What applications call the columns that are read, and so are no columns beside ours.
const READ: [&str; 19] = [
    "id",
    "slug",
    "name",
    "time_zone",
    "cycle",
    "anchor_day",
    "anchor_month",
    "subscription_tier",
    "subscription_status",
    "current_period_start",
    "current_period_end",
    "used_minutes",
    "overage_minutes",
    "locale",
    "created_at",
    "email",
    "plan",
    "usage_this_month",
    "plan_limits_scrapes",
];

/// Tables of an application's with a column named like every one of ours, in whichever table that
/// is; and with reserved, quoted and very long names.
#[tokio::test]
async fn columns_named_like_ours_are_kept_or_told() {
    let test = TestDatabase::new().await;
    let ours = test
        .rows(
            "select distinct attname from pg_attribute a join pg_class c on c.oid = a.attrelid
             where c.relnamespace = 'public'::regnamespace and relkind in ('r', 'v')
               and attnum > 0 and not attisdropped order by 1",
        )
        .await;
    assert!(ours.len() > 100, "{ours:?}");
    let odd = ["select", "a\"b", "Ünïcode", "periodd_slug", "periodd_place", "x", "n", "o", "p"];
    let odd = odd.map(str::to_owned).into_iter();
    let long = ["l".repeat(63), "ü".repeat(31)].into_iter();
    let all: Vec<String> = ours.into_iter().chain(odd).chain(long).collect();
    let (own, metric) = (
        ["id", "organization_id", "organisation_id", "org_id", "user_id"],
        [
            "metric_type",
            "feature",
            "event_type",
            "metric_value",
            "quantity",
            "amount",
            "value",
            "created_at",
            "occurred_at",
            "used_at",
            "recorded_at",
            "idempotency_key",
        ],
    );
    let columns = |taken: &[&str]| {
        let free = all.iter().filter(|name| !taken.contains(&name.as_str()));
        let quoted =
            free.map(|name| format!(", \"{}\" text default 'mine'", name.replace('"', "\"\"")));
        quoted.collect::<String>()
    };
    let orgs = columns(&[&READ[..], &own].concat());
    let users = columns(&[&READ[..], &own].concat());
    let metrics = columns(&[&own[..], &metric].concat());
    let test = crate::adoption::situation(&format!(
        "create table organizations (id uuid primary key, name text{orgs});
         create table users (id uuid primary key, organization_id uuid, email text{users});
         create table usage_metrics (id uuid primary key, organization_id uuid, metric_type text,
                                     metric_value numeric, created_at timestamptz{metrics});
         insert into organizations (id, name) values (gen_random_uuid(), 'Acme');
         insert into users (id, organization_id, email)
         select gen_random_uuid(), id, 'a@example.com' from organizations;
         insert into usage_metrics (id, organization_id, metric_type, metric_value, created_at)
         select gen_random_uuid(), id, 'sms_sent', 5, now() from organizations"
    ))
    .await;
    let before = crate::adoption::whole::everything(&test).await;
    let report = test.periodd(&["db", "import"]).exits(3).stdout;
    let told = |table: &str, column: &str| {
        let words = format!("columns of {table} with names that periodd's table uses");
        let line =
            report.lines().find(|line| line.contains(&words)).unwrap_or_else(|| panic!("{report}"));
        line.split(&[',', ' ', ':'][..]).any(|word| word == column)
    };
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    for table in ["organizations", "users", "usage_metrics"] {
        let columns = format!(
            "select a.attname, to_jsonb(t) ->> a.attname = 'mine' as kept
             from pg_attribute a, {table} t
             where a.attrelid = '{table}_legacy'::regclass and a.attnum > 0
               and (to_jsonb(t) ->> a.attname) is distinct from
                   (select to_jsonb(l) ->> a.attname from {table}_legacy l)"
        );
        for lost in test.rows(&columns).await {
            let name = lost.rsplit_once(' ').expect("two cells").0;
            assert!(told(table, name), "{table}.{name} is neither kept nor told: {report}");
        }
        let kept = format!("select x, n, \"select\" as one, \"a\"\"b\" as two from {table}");
        assert_eq!(test.rows(&kept).await, ["mine mine mine mine"], "{table}");
    }
    test.periodd(&["db", "verify"]).exits(0);
    test.periodd(&["--yes", "db", "import", "--undo"]).exits(0);
    assert_eq!(crate::adoption::whole::everything(&test).await, before);
}

#[tokio::test]
async fn what_has_a_name_that_periodd_needs_is_named_before_anything_is_done() {
    for (fault, named) in [
        (
            "create function record_usage(integer) returns integer language sql as 'select 1'",
            "function record_usage(integer)",
        ),
        ("create type features as enum ('a')", "type features"),
        (
            "create table other (id integer); create index organizations_due on other (id)",
            "index organizations_due",
        ),
        ("create view tier_limits as select 1 as one", "view tier_limits"),
        ("create table users_legacy (id integer)", "table users_legacy"),
    ] {
        let test = crate::adoption::situation(include_str!("001.sql")).await;
        test.sql(fault).await;
        let before = crate::adoption::whole::everything(&test).await;
        let report = test.periodd(&["db", "import"]).exits(3).stdout;
        assert!(report.contains(named), "{fault}: {report}");
        let refused = test.periodd(&["--yes", "db", "import", "--apply"]).exits(5).stderr;
        assert!(refused.contains(named) && refused.contains("rename"), "{fault}: {refused}");
        assert_eq!(crate::adoption::whole::everything(&test).await, before);
    }
}

#[tokio::test]
async fn an_orgs_locale_is_its_language() {
    let test = crate::adoption::situation(
        "create table organizations (id uuid primary key default gen_random_uuid(), name text,
                                     locale text);
         insert into organizations (name, locale) values
             ('a', 'en_GB'), ('b', 'de'), ('c', 'not a language'), ('d', null)",
    )
    .await;
    let report = test.periodd(&["db", "import"]).exits(3).stdout;
    assert!(report.contains("1  orgs with an invalid locale"), "{report}");
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    let languages = "select name, locale from organizations order by 1";
    assert_eq!(test.rows(languages).await, ["a en-GB", "b de", "c -", "d -"]);
}

/// The rights name the tables that they keep in order: one that is left out would keep what default
/// privileges gave on it.
#[test]
fn rights_are_kept_in_order_on_every_table_of_ours() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(top.join(file)).expect("the file");
    let (rights, schema) =
        (read("migrations/api/0090_rights.sql"), read("src/store/db/schema.txt"));
    for line in schema.lines() {
        let mut words = line.split_whitespace();
        let (kind, name) = (words.next().expect("a kind"), words.next().expect("a name"));
        if ["table", "view"].contains(&kind) && !name.starts_with("periodd_") {
            assert!(rights.contains(&format!("'{name}'")), "0090_rights.sql leaves out {name}");
        }
    }
}
