//! Names of others: in quotes, in other schemas, hostile; and schemas whose own name needs quotes.

use crate::adoption::situation;
use crate::adoption::whole::everything;
use crate::support::TestDatabase;

/// A role of the server's, if it is not there.
async fn role(test: &TestDatabase, name: &str) {
    test.sql(&format!(
        "do $$ begin create role {name} login;
         exception when duplicate_object or unique_violation then null; end $$"
    ))
    .await;
}

/// Whoever may make a view, an index or a column cannot have the importer run a statement of
/// theirs.
#[tokio::test]
async fn no_name_is_ever_a_statement() {
    let hostile = "x\"\"; alter role intruder superuser; select (\"\"$periodd$;--";
    let test = situation(include_str!("002.sql")).await;
    role(&test, "intruder").await;
    test.sql(&format!(
        "create schema \"{hostile}\";
         create view \"{hostile}\" as select id from users;
         create view \"{hostile}\".\"{hostile}\" as select * from \"{hostile}\";
         create index \"i{hostile}\" on users (email);
         alter table users add \"{hostile}\" text default 'x';
         alter table users add \"it's\\\" text default 'x';
         create table \"t{hostile}\" (
             u uuid constraint \"{hostile}\" references users (id));
         create policy \"{hostile}\" on \"t{hostile}\"
             using (u in (select id from users));
         create materialized view \"m{hostile}\" as select id from \"{hostile}\";
         comment on view \"{hostile}\" is 'a''; alter role intruder superuser; --'"
    ))
    .await;
    let before = everything(&test).await;
    test.periodd(&["db", "import"]).exits(3);
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    test.periodd(&["--yes", "db", "import", "--undo"]).exits(0);
    assert_eq!(everything(&test).await, before);
    let is_super = "select rolsuper from pg_roles where rolname = 'intruder'";
    assert_eq!(test.rows(is_super).await, ["false"]);
}

/// A materialized view is filled with its owner's rights, never with those of whoever imports.
#[tokio::test]
async fn nobodys_functions_run_with_the_importers_rights() {
    let test = situation(include_str!("001.sql")).await;
    role(&test, "view_maker").await;
    test.sql(
        "grant create, usage on schema public to view_maker;
         grant select on users to view_maker;
         create table seen (who text);
         grant insert on seen to view_maker;
         create function look() returns text language plpgsql volatile as
             $$ begin insert into public.seen values (current_user); return ''; end $$;
         set role view_maker;
         create materialized view made as select id, public.look() as seen from users",
    )
    .await;
    test.sql("truncate seen").await;
    let refused = test.periodd(&["--yes", "db", "import", "--apply"]).exits(5).stderr;
    assert!(refused.contains("public.made belongs to view_maker"), "{refused}");
    assert_eq!(test.rows("select * from seen").await, Vec::<String>::new());
    // Whoever may do what the importer may do is run as himself all the same.
    test.sql("grant postgres to view_maker").await;
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    assert_eq!(test.rows("select distinct who from seen").await, ["view_maker"]);
    test.sql("revoke postgres from view_maker").await;
}

/// The same for a table of somebody else's under a name that is adopted: a cast of its types would
/// run as soon as the report is made.
#[tokio::test]
async fn a_table_of_another_role_is_not_read() {
    let test = situation(include_str!("001.sql")).await;
    role(&test, "table_maker").await;
    test.sql(
        "grant create, usage on schema public to table_maker;
         create table seen (who text);
         grant insert on seen to table_maker;
         set role table_maker;
         create type amount as (n integer);
         create function n(amount) returns numeric language plpgsql as
             $$ begin insert into public.seen values (current_user); return 1; end $$;
         create cast (amount as numeric) with function n(amount);
         create table sms_usage (org_id uuid, period_start timestamp, period_end timestamp,
                                 sms_count amount);
         insert into sms_usage values (gen_random_uuid(), '2026-01-01', '2026-02-01', row(1))",
    )
    .await;
    let report = test.periodd(&["db", "import"]).exits(3).stdout;
    assert!(report.contains("sms_usage belongs to table_maker"), "{report}");
    let refused = test.periodd(&["--yes", "db", "import", "--apply"]).exits(5).stderr;
    assert!(refused.contains("alter table \"sms_usage\" owner to"), "{refused}");
    assert_eq!(test.rows("select * from seen").await, Vec::<String>::new());
}

/// Types, defaults and collations from a schema that only the search path leads to, as hosted
/// PostgreSQL has it for extensions.
#[tokio::test]
async fn types_and_defaults_of_other_schemas_are_kept() {
    let test = TestDatabase::empty().await;
    test.sql(&format!(
        "create schema extensions;
         create domain extensions.label as text check (value <> '');
         create type extensions.\"Mood\" as enum ('good', 'bad');
         create collation extensions.plain from \"C\";
         create function extensions.uuid_generate_v4() returns uuid language sql volatile
             as 'select gen_random_uuid()';
         alter database {} set search_path = '$user', 'public', 'extensions'",
        test.name
    ))
    .await;
    test.sql(include_str!("002.sql")).await;
    test.sql(
        "alter table organizations add api_key uuid default uuid_generate_v4(),
             add label label default 'x', add mood \"Mood\" default 'good',
             add sorted text collate plain;
         alter table users add key uuid default uuid_generate_v4();
         comment on column users.key is 'theirs';
         create view keys as select api_key, label, mood from organizations;
         create view extensions.outer as select * from keys where mood = 'good'",
    )
    .await;
    let kinds = "select attname, atttypid::regtype::text as kind, attcollation::regcollation::text,
                        pg_get_expr(adbin, adrelid) as value
                 from pg_attribute a
                 left join pg_attrdef d on d.adrelid = attrelid and d.adnum = attnum
                 where attrelid = 'organizations'::regclass
                   and attname in ('api_key', 'label', 'mood', 'sorted') order by 1";
    let (before, whole) = (test.rows(kinds).await, everything(&test).await);
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    assert_eq!(test.rows(kinds).await, before);
    assert_eq!(test.rows("select count(*) from extensions.outer").await, ["8"]);
    let words = "select col_description('users'::regclass, attnum) from pg_attribute
                 where attrelid = 'users'::regclass and attname = 'key'";
    assert_eq!(test.rows(words).await, ["theirs"]);
    // Ours are pinned to their own schema, whatever the caller's path is.
    test.sql(
        "set search_path = extensions; select public.record_usage(id, 'sms_sent', 1)
              from public.organizations limit 1",
    )
    .await;
    test.periodd(&["db", "verify"]).exits(0);
    test.periodd(&["--yes", "db", "import", "--undo"]).exits(0);
    assert_eq!(everything(&test).await, whole);
}

/// A schema whose name needs quotes, beside one that has the name without them.
#[tokio::test]
async fn a_schema_whose_name_needs_quotes_is_the_right_one() {
    for schema in ["Tenant", "my schema", "a\"b"] {
        let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
        let sibling = schema.to_lowercase().replace('"', "");
        let test = TestDatabase::empty().await;
        test.sql(&format!(
            "create schema {quoted};
             create schema if not exists \"{sibling}\";
             alter database {} set search_path = {quoted}",
            test.name
        ))
        .await;
        test.periodd(&["db", "migrate", "--with-roles"]).exits(0);
        let elsewhere =
            "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace
                         where nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
                           and nspname <> current_schema()";
        assert_eq!(test.rows(elsewhere).await, ["0"], "{schema}");
        let unpinned = "select proname from pg_proc
                        where pronamespace = quote_ident(current_schema())::regnamespace
                          and prosqlbody is null
                          and not (proconfig @> array['search_path=pg_catalog, pg_temp']
                                   or proconfig @> array['search_path=' ||
                                          quote_ident(current_schema()) || ', pg_temp'])";
        assert_eq!(test.rows(unpinned).await, Vec::<String>::new(), "{schema}");
        let hidden = "select relname from pg_class
                      where relnamespace = quote_ident(current_schema())::regnamespace
                        and relkind = 'r' and not relrowsecurity";
        assert_eq!(test.rows(hidden).await, Vec::<String>::new(), "{schema}");
        test.periodd(&["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"]).exits(0);
        test.periodd(&["rollover"]).exits(0);
        test.sql("select record_usage(id, 'sms_sent', 5) from organizations").await;
        test.periodd(&["sync"]).exits(0);
        test.periodd(&["doctor"]).exits(0);
        // And an application's own tables there.
        let test = TestDatabase::empty().await;
        test.sql(&format!(
            "create schema {quoted};
             create schema if not exists \"{sibling}\";
             alter database {} set search_path = {quoted}",
            test.name
        ))
        .await;
        test.sql(include_str!("002.sql")).await;
        test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
        test.periodd(&["db", "verify"]).exits(0);
        assert_eq!(test.rows("select count(*) from busy_orgs").await, ["1"]);
        test.periodd(&["--yes", "db", "import", "--undo"]).exits(0);
        assert_eq!(test.rows("select count(*) from users").await, ["7"]);
    }
}
