//! `migrations/schema.sql` is the schema as the migrations leave it, so that a reviewer sees what a
//! change does to it. Bodies of functions and views stand in `migrations/api/`.

use std::path::{Path, PathBuf};

use crate::support::TestDatabase;

/// Each table with its columns, constraints, indexes, triggers, policies and row security; then
/// views with their columns, and functions with what is said before their bodies. Written from the
/// catalogue, in words that no version of PostgreSQL spells differently.
const SCHEMA: &str = r"
    with tables as (
        select c.oid, c.relname, c.relkind, c.relrowsecurity
        from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
          and c.relname not like '\_sqlx%')
    select text from (
        select 1 as part, t.relname as name, 0 as place,
               E'\ncreate table ' || t.relname || E' (\n'
               || string_agg('    ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                      || case when a.attnotnull then ' not null' else '' end
                      || coalesce(case when a.attgenerated = '' then ' default ' || x.written
                                       else ' generated always as (' || x.written || ') stored'
                                  end, ''),
                      E',\n' order by a.attname) || E'\n);' as text
        from tables t
        join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
        left join lateral (select pg_get_expr(d.adbin, d.adrelid) as written from pg_attrdef d
                           where d.adrelid = t.oid and d.adnum = a.attnum) x on true
        where t.relkind in ('r', 'p')
        group by t.oid, t.relname
        union all
        select 1, t.relname, 1,
               'alter table ' || t.relname || ' add constraint ' || k.conname || ' '
               || pg_get_constraintdef(k.oid) || ';'
        from tables t join pg_constraint k on k.conrelid = t.oid
        where k.contype in ('c', 'f', 'p', 'u', 'x')
        union all
        select 1, t.relname, 2, replace(pg_get_indexdef(i.indexrelid), 'public.', '') || ';'
        from tables t join pg_index i on i.indrelid = t.oid
        where not exists (select from pg_constraint k where k.conindid = i.indexrelid
                          and k.contype in ('p', 'u', 'x'))
        union all
        select 1, t.relname, 3, replace(pg_get_triggerdef(g.oid), 'public.', '') || ';'
        from tables t join pg_trigger g on g.tgrelid = t.oid where not g.tgisinternal
        union all
        select 1, t.relname, 4, 'alter table ' || t.relname || ' enable row level security;'
        from tables t where t.relrowsecurity
        union all
        select 1, t.relname, 5,
               'create policy ' || p.polname || ' on ' || t.relname
               || ' for ' || case p.polcmd when 'r' then 'select' when 'a' then 'insert'
                                when 'w' then 'update' when 'd' then 'delete' else 'all' end
               || coalesce(' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
               || coalesce(' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
               || ';'
        from tables t join pg_policy p on p.polrelid = t.oid
        union all
        select 2, t.relname, 0,
               E'\n-- view ' || t.relname || ' ('
               || string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', '
                             order by a.attnum) || ')'
        from tables t
        join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
        where t.relkind = 'v' group by t.relname
        union all
        select 3, p.proname, 0,
               E'\n-- function ' || p.proname || '(' || pg_get_function_arguments(p.oid) || ')'
               || E'\n--     returns ' || pg_get_function_result(p.oid)
               || E'\n--     ' || l.lanname
               || case p.provolatile when 'i' then ' immutable' when 's' then ' stable'
                                     else ' volatile' end
               || case when p.prosecdef then ' security definer' else '' end
               || coalesce(' set ' || array_to_string(p.proconfig, ', '), '')
        from pg_proc p join pg_language l on l.oid = p.prolang
        where p.pronamespace = 'public'::regnamespace) s
    order by part, name, place, text";

/// The schema of a database, as the file has it.
pub(crate) async fn dump(test: &TestDatabase) -> String {
    let lines = test.rows(SCHEMA).await.join("\n");
    format!(
        "-- The schema as the migrations leave it, for reviewers; nothing reads it. Columns stand \
         in\n-- the order of their names. Written by tests/schema/dump.rs.\n{lines}\n"
    )
}

/// The file.
pub(crate) fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/schema.sql")
}

/// `UPDATE_SCHEMA=1` writes the file anew instead of comparing.
#[tokio::test]
async fn the_dump_is_what_the_migrations_make() {
    let found = dump(&TestDatabase::new().await).await;
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(file(), &found).expect("the file is written");
    }
    let known = std::fs::read_to_string(file()).expect("the file");
    let changed = known.lines().zip(found.lines()).find(|(known, found)| known != found);
    assert!(
        known == found,
        "{changed:?}: look at the change, then write the file anew: \
         UPDATE_SCHEMA=1 scripts/with-postgresql cargo test --test schema dump"
    );
}
