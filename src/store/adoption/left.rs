//! What stays with a replaced table and is not carried over: told before anything is done.

use super::Draft;
use crate::store::tables::{Relation, literal, quoted};

/// Tables whose other columns go with their rows; of the rest they stay where they are.
const CARRIED: [&str; 5] =
    ["organizations", "organisations", "users", "usage_metrics", "usage_events"];

/// Asks for everything that the new tables will not have.
pub(super) fn questions(draft: &mut Draft<'_>) {
    let names: Vec<String> = draft.replaced().iter().map(|name| literal(&quoted(name))).collect();
    if names.is_empty() {
        return;
    }
    let tables = format!("array[{}]::regclass[]", names.join(", "));
    for (sentence, sql) in [
        (
            "triggers: they stay with the replaced tables; nothing of periodd's has one",
            format!(
                "select count(*) from pg_trigger
                 where tgrelid = any({tables}) and not tgisinternal"
            ),
        ),
        (
            "row-level security policies: they stay with the replaced tables; periodd's tables \
             bring their own",
            format!("select count(*) from pg_policy where polrelid = any({tables})"),
        ),
        (
            "grants to other roles: they stay with the replaced tables; give them again with \
             `periodd db migrate --with-roles --grant`",
            format!(
                "select count(distinct (c.oid, a.grantee))
                 from pg_class c, lateral aclexplode(c.relacl) a
                 where c.oid = any({tables}) and a.grantee <> c.relowner"
            ),
        ),
    ] {
        draft.question(sentence, sql);
    }
    for (table, ours) in draft.placed().to_vec() {
        columns(draft, &table, &ours);
    }
}

/// What becomes of a table's other columns.
fn columns(draft: &mut Draft<'_>, table: &Relation, ours: &[String]) {
    let others = table.columns.iter().filter(|column| !ours.contains(&column.name));
    let others: Vec<&str> = others.map(|column| column.name.as_str()).collect();
    if others.is_empty() {
        return;
    }
    let name = &table.name;
    let list: Vec<String> = others.iter().map(|column| literal(column)).collect();
    if !CARRIED.contains(&name.as_str()) {
        draft.question(
            format!(
                "columns of {name} that have no place in periodd's table: they stay in \
                 {name}_legacy: {}",
                others.join(", ")
            ),
            format!("select {}::bigint", others.len()),
        );
        return;
    }
    let of = literal(&quoted(name));
    draft.question(
        format!("constraints on other columns of {name}: the columns are kept, without these"),
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
    let generated = table
        .columns
        .iter()
        .filter(|column| column.is_generated && others.contains(&column.name.as_str()));
    let generated: Vec<&str> = generated.map(|column| column.name.as_str()).collect();
    if !generated.is_empty() {
        draft.question(
            format!(
                "columns of {name} that are generated: they keep their values, and are ordinary \
                 columns from then on: {}",
                generated.join(", ")
            ),
            format!("select {}::bigint", generated.len()),
        );
    }
}
