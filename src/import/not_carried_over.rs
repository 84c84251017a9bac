//! What stays with a replaced table and is not carried over: told before anything is done.

use sqlx::PgConnection;

use super::dependents::{Dependent, Found};
use super::draft::{Adoption, DatabaseUse, Placed};
use super::source::legacy_name;
use super::{Draft, Finding};
use crate::store::db::error::StoreError;
use crate::store::db::ours;
use crate::store::db::tables::{literal, quoted};

/// Asks for everything that the new tables will not have.
pub(super) fn questions(draft: &mut Draft<'_>) {
    let names: Vec<String> =
        draft.replaced().iter().map(|name| literal(&quoted(name).to_string())).collect();
    if names.is_empty() {
        return;
    }
    let tables = format!("array[{}]::regclass[]", names.join(", "));
    for (sentence, sql) in [
        (
            "triggers: they stay with the replaced tables; periodd's tables have none",
            format!(
                "select count(*) from pg_trigger
                 where tgrelid = any({tables}) and not tgisinternal"
            ),
        ),
        (
            "row-level security policies: they stay with the replaced tables; periodd's tables \
             have their own",
            format!("select count(*) from pg_policy where polrelid = any({tables})"),
        ),
        (
            "grants to other roles: they stay with the replaced tables; grant them again with \
             `db migrate --with-roles --grant`",
            format!(
                "select count(distinct (c.oid, a.grantee))
                 from pg_class c, lateral aclexplode(c.relacl) a
                 where c.oid = any({tables}) and a.grantee <> c.relowner"
            ),
        ),
    ] {
        draft.question(sentence, sql);
    }
    for placed in draft.placed().to_vec() {
        columns(draft, &placed);
    }
}

/// Names, and how many there are.
fn count(names: &[String]) -> String {
    format!("select {}::bigint", names.len())
}

/// What becomes of a table's other columns.
fn columns(draft: &mut Draft<'_>, Placed { table, to, taken }: &Placed) {
    let names = table.columns.iter().map(|column| column.name.clone());
    let others: Vec<String> = names.filter(|name| !taken.contains(name)).collect();
    let name = &table.name;
    let ours = to.map(ours::columns).unwrap_or_default();
    let stays = |other: &String| to.is_none() || ours.contains(&other.as_str());
    let (stay, others): (Vec<String>, Vec<String>) = others.into_iter().partition(stays);
    if !stay.is_empty() {
        let why = if to.is_some() {
            "with names that periodd's table uses"
        } else {
            "that periodd's table does not have"
        };
        draft.question(
            format!("columns of {name} {why}: they stay in {name}_legacy: {}", stay.join(", ")),
            count(&stay),
        );
    }
    if others.is_empty() {
        return;
    }
    let list: Vec<String> = others.iter().map(|column| literal(column)).collect();
    let of = literal(&quoted(name).to_string());
    draft.question(
        format!(
            "constraints on other columns of {name}: the columns are kept without these \
             constraints"
        ),
        format!(
            "select (select count(distinct k.oid) from pg_constraint k
                     join pg_attribute a on a.attrelid = k.conrelid and a.attnum = any(k.conkey)
                     where k.conrelid = {of}::regclass and a.attname = any(array[{list}]))
                  + (select count(*) from pg_index i
                     where i.indrelid = {of}::regclass and i.indisunique
                       and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
                       and exists (select from pg_attribute a
                                   where a.attrelid = i.indrelid and a.attnum = any(i.indkey)
                                     and a.attname = any(array[{list}])))
                  + (select count(*) from pg_attribute a
                     where a.attrelid = {of}::regclass and a.attnotnull
                       and a.attname = any(array[{list}]))",
            list = list.join(", ")
        ),
    );
    let generated =
        table.columns.iter().filter(|column| column.is_generated && others.contains(&column.name));
    let generated: Vec<String> = generated.map(|column| column.name.clone()).collect();
    if !generated.is_empty() {
        draft.question(
            format!(
                "generated columns of {name}: they keep their values and become ordinary columns: \
                 {}",
                generated.join(", ")
            ),
            count(&generated),
        );
    }
}

/// What others built on the tables that move, and names that stand in the way.
pub(super) async fn dependents(
    connection: &mut PgConnection,
    schema: &str,
    adoption: &Adoption,
) -> Result<Vec<Finding>, StoreError> {
    let found = Found::on(connection, schema, &adoption.replaces, &adoption.drops).await?;
    let mut told = Vec::new();
    let mut tell = |is_one: &dyn Fn(&Dependent) -> bool, words: &str| {
        let all: Vec<String> =
            found.dependents.iter().filter(|d| is_one(d)).map(Dependent::plain).collect();
        if !all.is_empty() {
            let count = i64::try_from(all.len()).unwrap_or(i64::MAX);
            let what = format!("{words}: {}", all.join(", "));
            told.push(Finding { what, count: Some(count), blocks: false });
        }
    };
    let goes = |d: &Dependent| {
        let (name, _) = d.part();
        name.schema.name() == schema && adoption.drops.iter().any(|drop| drop == name.name.name())
    };
    tell(
        &|d| matches!(d, Dependent::View(_)) && !goes(d),
        "views that are recreated on the new tables, with their owners, rights, options, \
         comments, rules and triggers",
    );
    tell(
        &|d| matches!(d, Dependent::View(_)) && goes(d),
        "conflicting views: they are dropped, and restored by `db import --undo`",
    );
    tell(
        &|d| matches!(d, Dependent::ForeignKey(_)),
        "foreign keys of other tables: they will reference the new tables",
    );
    tell(
        &|d| matches!(d, Dependent::Policy(_)),
        "row-level security policies of other tables: they are recreated on the new tables",
    );
    told.extend(found.obstacles.iter().map(Finding::obstacle));
    told.extend(taken(connection, adoption).await?.iter().map(Finding::obstacle));
    Ok(told)
}

/// Names that we need and that something has which does not move.
async fn taken(
    connection: &mut PgConnection,
    adoption: &Adoption,
) -> Result<Vec<String>, StoreError> {
    let is_new = adoption.database_use == DatabaseUse::Foreign;
    let (relations, functions) =
        if is_new { (ours::relations(), ours::functions()) } else { (vec![], vec![]) };
    let types = if is_new { [ours::tables(), ours::views()].concat() } else { vec![] };
    let legacy: Vec<String> = adoption.replaces.iter().map(|name| legacy_name(name)).collect();
    let sentences = sqlx::query_scalar(
        "select format('%s stands where periodd needs the name: rename or drop it first',
                       pg_describe_object(o.class, o.oid, 0))
         from (select 'pg_class'::regclass as class, c.oid
               from pg_class c
               left join pg_index i on i.indexrelid = c.oid
               where c.relnamespace = to_regnamespace(quote_ident(current_schema()))
                 and (c.relname = any($1)
                      and not (c.relname = any($4) and c.relkind in ('r', 'p'))
                      and not (c.relname = any($5) and c.relkind in ('v', 'm'))
                      and not coalesce(
                          (select t.relname = any($4) from pg_class t where t.oid = i.indrelid),
                          false)
                      or c.relname = any($6))
               union all
               select 'pg_proc'::regclass, f.oid from pg_proc f
               where f.pronamespace = to_regnamespace(quote_ident(current_schema()))
                 and f.proname = any($2)
               union all
               select 'pg_type'::regclass, t.oid from pg_type t
               where t.typnamespace = to_regnamespace(quote_ident(current_schema()))
                 and t.typrelid = 0 and t.typname = any($3)) o
         order by 1",
    )
    .bind(ours::owned(&relations))
    .bind(ours::owned(&functions))
    .bind(ours::owned(&types))
    .bind(&adoption.replaces)
    .bind(&adoption.drops)
    .bind(&legacy);
    Ok(sentences.fetch_all(connection).await?)
}
