//! Everything in a schema of its own, beside an application's tables of the same names.

use sqlx::{Connection, PgConnection};

use crate::support::{TestDatabase, url_of};

/// What is in other schemas than ours, with its rows.
async fn others(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select n.nspname, c.relname, c.relkind from pg_class c
         join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'public' order by 1, 2",
    )
    .await
}

/// Calls the functions as an application does.
async fn calls(test: &TestDatabase, quoted: &str) {
    // Applications call what is there by its name, from wherever their search path leads.
    let mut connection = PgConnection::connect(&test.url()).await.expect("a connection");
    let user = "00000000-0000-4000-8000-000000000001";
    for call in [
        format!("select * from {quoted}.increment_feature_usage('{user}', 'sms_sent', 1, 'k')"),
        format!("select * from {quoted}.increment_usage_if_allowed('{user}')"),
        format!("select * from {quoted}.get_current_usage_stats('{user}')"),
        format!("select * from {quoted}.get_current_usage_period('Asia/Tokyo')"),
        format!("select {quoted}.record_usage(id, 'sms_sent', 1) from {quoted}.organizations"),
        format!(
            "select {quoted}.grant_overage_pack(id, 'sms_sent', 1, 'j') from {quoted}.organizations"
        ),
        format!("select * from {quoted}.usage_alerts_view"),
    ] {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(call.clone())).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{error}: {call}"));
    }
}

/// Copies the schema to a database of its own, and verifies it there.
async fn copy(test: &TestDatabase, schema: &str) {
    let quoted = format!("\"{schema}\"");
    // The schema alone is the whole of it.
    let copy = TestDatabase::empty().await;
    let binaries = std::env::var("PERIODD_TEST_BINARIES").unwrap_or_default();
    let shell = format!(
        "{binaries}/pg_dump -n '{quoted}' '{}' | {binaries}/psql -q -v ON_ERROR_STOP=1 '{}'",
        test.url(),
        url_of(&copy.name)
    );
    let copied = std::process::Command::new("sh").args(["-c", &shell]).output().expect("a shell");
    assert!(copied.status.success(), "{copied:?}");
    let config = format!(
        "[database]\nurl = \"{}\"\nschema = \"{schema}\"\n[mail]\ntransport = \"none\"\n",
        copy.url()
    );
    copy.periodd_configured(&config, &["db", "verify"]).exits(0);
}

/// The main stories, in a schema of this name.
async fn stories(schema: &str) {
    let test = TestDatabase::empty().await;
    test.sql(
        "create table users (id serial primary key, name text);
         insert into users (name) values ('mine');
         create table organizations (id serial primary key);
         create function record_usage(text) returns text language sql as 'select $1'",
    )
    .await;
    let before = others(&test).await;
    let mail = tempfile::tempdir().expect("a directory");
    let config = format!(
        "[database]\nurl = \"{}\"\nschema = \"{schema}\"\nsandbox = true\n[mail]\ntransport = \
         \"directory\"\ndirectory = \"{}\"\n",
        test.url(),
        mail.path().display()
    );
    std::fs::write(test.config(), config).expect("written");
    let periodd = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        test.periodd(&words).exits(0)
    };
    let import = periodd("db import");
    assert!(import.stdout.contains("nothing to import"));
    let elsewhere = "organizations: in the schema public, which is not read";
    assert!(import.stderr.contains(elsewhere), "{}", import.stderr);
    periodd("db migrate --with-roles");
    periodd("db migrate");
    periodd("config check");
    periodd(
        "orgs add acme --name Acme --zone Europe/Berlin --tier pro --anchor-day 31 \
             --period-start 2026-09-30T22:00:00Z --at 2026-10-05T00:00:00Z",
    );
    let quoted = format!("\"{schema}\"");
    test.sql(&format!(
        "insert into {quoted}.tier_limits values ('pro', 'sms_sent', 100);
         insert into {quoted}.users (id, organization_id, email)
         select '00000000-0000-4000-8000-000000000001', id, 'ann@acme.example'
         from {quoted}.organizations;
         insert into {quoted}.usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'sms_sent', 150, '2026-10-10Z' from {quoted}.organizations"
    ))
    .await;
    periodd(
        "packs grant --org acme --feature sms_sent --quantity 70 --reference i \
             --at 2026-10-06T00:00:00Z",
    );
    periodd("usage record --org acme --feature sms_sent --quantity 5 --at 2026-10-11T00:00:00Z");
    periodd("sync --at 2026-10-12T00:00:00Z");
    periodd("alerts run --at 2026-10-12T00:00:00Z");
    periodd("rollover --at 2026-11-10T00:00:00Z");
    periodd("sync --full --at 2026-11-10T00:00:00Z");
    periodd("rollover --org acme --early --at 2026-11-10T00:00:00Z");
    let closed = format!(
        "select used, included, drawn, uncovered from {quoted}.billing_period_usage order by 1"
    );
    assert_eq!(test.rows(&closed).await, ["155 100 55 0"]);
    assert!(mail.path().read_dir().expect("emails").count() > 0);
    for line in [
        "orgs list",
        "orgs show acme",
        "packs list",
        "tiers list",
        "runs list",
        "schedule list",
        "alerts list",
        "explain acme",
        "db status",
        "db url",
        "usage limits --org acme",
        "db verify",
    ] {
        periodd(line);
    }
    let doctor = test.periodd(&["--format", "json", "doctor", "--at", "2026-11-10T00:00:00Z"]);
    assert!([0, 3].contains(&doctor.code), "{doctor:?}");
    for check in ["schema", "rights", "books", "periods"] {
        let line = format!("\"check\": \"{check}\"");
        assert!(!doctor.stdout.contains(&line), "{check}: {}", doctor.stdout);
    }
    calls(&test, &quoted).await;
    periodd("sync");
    periodd("db verify");
    assert_eq!(others(&test).await, before, "nothing of others was touched");
    assert_eq!(test.rows("select name from public.users").await, ["mine"]);
    copy(&test, schema).await;
}

#[tokio::test]
async fn the_main_stories_run_in_a_schema_of_its_own() {
    stories("billing").await;
}

#[tokio::test]
async fn and_in_one_whose_name_needs_quotes() {
    stories("Tenant of Acme").await;
}

#[tokio::test]
async fn names_that_are_no_schema_are_refused() {
    let test = TestDatabase::empty().await;
    for (name, why) in
        [("", "at least 1"), ("pg_mine", "PostgreSQL's own"), ("a,b", "without quotes, commas")]
    {
        let config = format!("[database]\nurl = \"{}\"\nschema = \"{name}\"\n", test.url());
        let refused = test.periodd_configured(&config, &["db", "migrate"]).exits(78).stderr;
        assert!(refused.contains(why) || refused.contains("schema"), "{name}: {refused}");
    }
    let options = format!("{}&options=-csearch_path%3Dbilling", test.url());
    let config = format!("[database]\nurl = \"{options}\"\n");
    let refused = test.periodd_configured(&config, &["db", "migrate"]).exits(78).stderr;
    assert!(refused.contains("[database] schema"), "{refused}");
}
