//! What others built on the tables that are replaced, and what it is afterwards: the same, with the
//! same owners, rights and options, on the new tables; or it is named before anything is changed.

use crate::adoption::situation;
use crate::adoption::whole::everything;
use crate::support::TestDatabase;

/// A role of the server's, if it is not there.
async fn role(test: &TestDatabase, name: &str) {
    test.sql(&format!(
        "do $$ begin create role {name};
         exception when duplicate_object or unique_violation then null; end $$"
    ))
    .await;
}

/// Everything about views and policies that could get lost, without what they read.
async fn settings(test: &TestDatabase) -> Vec<String> {
    test.rows(
        "select c.oid::regclass::text as name, c.relkind::text, pg_get_userbyid(c.relowner),
                c.reloptions::text, obj_description(c.oid, 'pg_class') as words,
                (select string_agg(i::text, ',' order by i::text)
                 from unnest(coalesce(c.relacl, acldefault('r', c.relowner))) i) as rights,
                (select string_agg(a.attname || coalesce(a.attacl::text, '')
                                   || coalesce(col_description(c.oid, a.attnum), '')
                                   || coalesce(pg_get_expr(f.adbin, f.adrelid), ''), ','
                                   order by a.attnum)
                 from pg_attribute a
                 left join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
                 where a.attrelid = c.oid and a.attnum > 0) as columns,
                (select string_agg(pg_get_triggerdef(t.oid)
                                   || coalesce(obj_description(t.oid, 'pg_trigger'), ''), ',')
                 from pg_trigger t where t.tgrelid = c.oid) as triggers,
                (select string_agg(w.rulename
                                   || coalesce(obj_description(w.oid, 'pg_rewrite'), ''), ','
                                   order by w.rulename)
                 from pg_rewrite w where w.ev_class = c.oid) as rules,
                (select string_agg(pg_get_indexdef(i.indexrelid)
                                   || coalesce(obj_description(i.indexrelid, 'pg_class'), ''), ',')
                 from pg_index i where i.indrelid = c.oid) as indexes,
                c.relispopulated
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('v', 'm') and n.nspname in ('public', 'reporting')
           and c.relname not in ('organisations', 'usage_events', 'usage_alerts_view',
                                 'billing_period_usage')
         union all
         select 'policy ' || polname, polrelid::regclass::text, polcmd::text, polroles::text,
                obj_description(oid, 'pg_policy'), pg_get_expr(polqual, polrelid), '', '', '', '',
                polpermissive
         from pg_policy
         where polrelid = to_regclass('documents')
         union all
         select 'key ' || conname, pg_get_constraintdef(oid),
                obj_description(oid, 'pg_constraint'), '', '', '', '', '', '', '', convalidated
         from pg_constraint where conrelid = to_regclass('documents')
         order by 1",
    )
    .await
}

/// Views of all kinds on top of each other, in two schemas, and a table that refers to users.
const BUILT: &str = "
    create schema reporting;
    grant usage on schema reporting to carried_reader;
    grant create, usage on schema public, reporting to carried_owner;
    alter default privileges in schema public grant all on tables to carried_anon;
    create view my_orgs with (security_invoker = true, security_barrier = true)
        as select id, name, notes from organizations;
    comment on view my_orgs is 'it''s an org''s own';
    comment on column my_orgs.name is 'its \\ name';
    revoke all on my_orgs from carried_anon;
    grant select (id, name) on my_orgs to carried_reader with grant option;
    grant insert on my_orgs to carried_reader, public;
    create view checked with (check_option = cascaded)
        as select id, name from organizations where name <> 'x';
    alter view checked alter column name set default 'nobody';
    create view reporting.dash as select count(*) as \"How many?\" from users;
    create view dash as select 1 as unrelated;
    create view \"we\"\"ird \" as select d.\"How many?\" from reporting.dash d, my_orgs o;
    alter view \"we\"\"ird \" owner to carried_owner;
    grant select on my_orgs to carried_owner;
    grant select on reporting.dash to carried_owner;
    create function refuse() returns trigger language plpgsql
        as 'begin raise exception ''not here''; end';
    create trigger instead instead of delete on my_orgs for each row execute function refuse();
    comment on trigger instead on my_orgs is 'refuses';
    create rule nothing as on update to reporting.dash do instead nothing;
    comment on rule nothing on reporting.dash is 'quiet';
    create materialized view totals as select count(*) as n from reporting.dash with no data;
    create materialized view per_org as select o.name, count(*) as n from my_orgs o group by 1;
    create unique index per_org_name on per_org (name);
    comment on index per_org_name is 'one each';
    create materialized view per_org_again as select * from per_org;
    create table documents (
        id serial primary key, org_id uuid,
        owner_id uuid);
    alter table documents add constraint documents_owner foreign key (owner_id)
        references users (id) on delete set null deferrable initially deferred not valid;
    comment on constraint documents_owner on documents is 'whose';
    alter table documents enable row level security;
    create policy members on documents as restrictive for select to carried_reader
        using (org_id in (select u.organization_id from users u where u.email = current_user));
    comment on policy members on documents is 'of the org';";

async fn built() -> TestDatabase {
    let test = situation(include_str!("002.sql")).await;
    for name in ["carried_reader", "carried_owner", "carried_anon"] {
        role(&test, name).await;
    }
    test.sql(BUILT).await;
    test
}

#[tokio::test]
async fn views_and_policies_are_as_they_were_but_on_the_new_tables() {
    let test = built().await;
    let (before, whole) = (settings(&test).await, everything(&test).await);
    let report = test.periodd(&["db", "import"]).exits(3).stdout;
    for words in [
        "views that are recreated on the new tables",
        "public.my_orgs",
        "reporting.dash",
        "foreign keys of other tables: they will reference the new tables: foreign key \
         documents_owner",
        "policy members of public.documents",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
    assert!(!report.contains("public.dash"), "{report}");
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    assert_eq!(settings(&test).await, before);
    // They read the new tables, and the one that had nothing to do with it is the same.
    test.sql(
        "insert into organizations (id, slug, name, time_zone)
              values (gen_random_uuid(), 'new', 'New', 'UTC')",
    )
    .await;
    assert_eq!(test.rows("select count(*) from my_orgs where name = 'New'").await, ["1"]);
    assert_eq!(test.rows("select unrelated from dash").await, ["1"]);
    let old = "select count(*) from pg_depend where refobjid = 'users_legacy'::regclass
               and classid in ('pg_policy'::regclass, 'pg_rewrite'::regclass)";
    assert_eq!(test.rows(old).await, ["0"]);
    test.periodd(&["--yes", "db", "import", "--undo"]).exits(0);
    assert_eq!(settings(&test).await, before);
    assert_eq!(everything(&test).await, whole);
}

/// A view that shows a tenant its own rows alone does so afterwards.
#[tokio::test]
async fn no_tenant_sees_more_than_before() {
    let test = situation(include_str!("002.sql")).await;
    role(&test, "tenant_reader").await;
    test.sql(
        "alter default privileges in schema public grant all on tables to tenant_reader;
         alter table organizations enable row level security;
         create policy own on organizations using (name = current_setting('app.org', true));
         create view my_orgs with (security_invoker = true) as select id, name from organizations;
         create view every_org as select id, name from organizations;
         revoke all on every_org from tenant_reader;
         grant select on organizations to tenant_reader",
    )
    .await;
    let seen = async |view: &str| {
        let mut tenant = test.connect().await;
        let become_one = "set role tenant_reader; set app.org = 'Drifted'";
        sqlx::raw_sql(become_one).execute(&mut tenant).await.unwrap();
        let query = format!("select count(*) from {view}");
        let seen: Result<i64, _> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut tenant).await;
        seen.ok()
    };
    assert_eq!((seen("my_orgs").await, seen("every_org").await), (Some(1), None));
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    assert!(seen("my_orgs").await.unwrap_or(0) <= 1);
    assert_eq!(seen("every_org").await, None);
    test.periodd(&["--yes", "db", "import", "--undo"]).exits(0);
    assert_eq!((seen("my_orgs").await, seen("every_org").await), (Some(1), None));
}

#[tokio::test]
async fn what_cannot_be_made_again_is_named_and_nothing_is_changed() {
    for (fault, named) in [
        ("create function one() returns setof users language sql as 'select * from users'",
         "function public.one()"),
        ("create table kept (u users)", "column u of table public.kept"),
        ("create function n() returns bigint language sql begin atomic
              select count(*) from users; end", "function public.n()"),
        ("create rule also as on insert to activities do also
              update users set email = email where false", "rule also"),
        ("create table more () inherits (users)", "table public.more"),
        ("create view v as select id from users; grant select on v to stranded_b with grant option;
          set role stranded_b; grant select on v to stranded_c", "stranded_b"),
        ("create materialized view m as select id from users;
          alter materialized view m alter column id set statistics 10",
         "materialized view public.m"),
        ("alter table activities disable trigger all", "foreign key activities_user_id_fkey"),
    ] {
        let test = situation(include_str!("001.sql")).await;
        role(&test, "stranded_b").await;
        role(&test, "stranded_c").await;
        test.sql("grant usage on schema public to stranded_b").await;
        test.sql(fault).await;
        let before = everything(&test).await;
        let report = test.periodd(&["db", "import"]).exits(3).stdout;
        assert!(report.contains(named), "{fault}: {report}");
        let refused = test.periodd(&["--yes", "db", "import", "--apply"]).exits(5).stderr;
        assert!(refused.contains(named), "{fault}: {refused}");
        assert_eq!(everything(&test).await, before, "{fault}");
    }
}

/// An event trigger that gives rights away when views are made stands for anything that could
/// change what was not to change.
#[tokio::test]
async fn what_changes_beside_the_plan_rolls_everything_back() {
    let test = situation(include_str!("002.sql")).await;
    role(&test, "given_away").await;
    test.sql(
        "create table quiet (id integer);
         create function meddle() returns event_trigger language plpgsql as $$ begin
             grant select on public.quiet to given_away; end $$;
         create event trigger meddles on ddl_command_end when tag in ('CREATE VIEW')
             execute function meddle()",
    )
    .await;
    let before = everything(&test).await;
    let refused = test.periodd(&["--yes", "db", "import", "--apply"]).exits(1).stderr;
    assert!(refused.contains("table public.quiet") && refused.contains("given_away"), "{refused}");
    assert_eq!(everything(&test).await, before);
}
