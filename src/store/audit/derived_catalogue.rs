//! The tables and columns that the configuration names, looked up in the database's catalogue: a
//! name that is not there is refused with the likeliest guess, and so are a key that is no uuid and
//! a column that cannot hold a quantity. A table with code of a lesser role that would run with
//! periodd's rights is left out. What passes becomes a [`Target`], whose statements
//! [`derived`](super::derived) builds and sends.

use sqlx::PgConnection;

use super::derived::{Names, Target, Wanted};
use crate::store::db::error::StoreError;
use crate::store::db::numbers::Numbers;
use crate::store::db::tables::{Identifier, QualifiedName};

/// The best guesses that are worth being named.
const LIKELY: f64 = 0.75;

/// A column of a table that was asked for.
struct Column {
    /// Which of the names that were asked for, from one on.
    place: i64,
    schema: String,
    table: String,
    name: String,
    kind: String,
    modifier: i32,
    /// It is one of periodd's own `organizations` …
    orgs: bool,
    /// … or `users`.
    users: bool,
}

/// A name that the catalogue does not know, or that cannot hold what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Which of the names: `table`, `column` or `key`.
    pub name: &'static str,
    /// What is wrong, in a sentence.
    pub sentence: String,
}

/// What the catalogue has of the columns that were asked for.
#[derive(Debug)]
pub struct Found {
    pub targets: Vec<Target>,
    /// Those that are not to be touched, by their places, and why in a sentence: code of a lesser
    /// role would run with periodd's rights.
    pub foreign: Vec<(usize, String)>,
}

impl Target {
    /// Looks derived columns up in the catalogue, all of them in one statement.
    ///
    /// # Errors
    /// As every read; the inner one says which of them has a name that is unknown or unfit.
    pub async fn find(
        connection: &mut PgConnection,
        wanted: &[Wanted],
    ) -> Result<Result<Found, (usize, Unfit)>, StoreError> {
        let names: Vec<String> = wanted.iter().map(|wanted| quoted(&wanted.table)).collect();
        let columns = sqlx::query_as!(
            Column,
            r#"select u.place as "place!", c.relname as "table!", n.nspname as "schema!",
                      a.attname as "name!", format_type(a.atttypid, null) as "kind!",
                      a.atttypmod as "modifier!",
                      (c.relname = 'organizations' and n.nspname = current_schema()) as "orgs!",
                      (c.relname = 'users' and n.nspname = current_schema()) as "users!"
               from unnest($1::text[]) with ordinality as u (name, place)
               join pg_attribute a on a.attrelid = to_regclass(u.name)
               join pg_class c on c.oid = a.attrelid
               join pg_namespace n on n.oid = c.relnamespace
               where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'f')"#,
            &names
        );
        let columns = columns.fetch_all(&mut *connection).await?;
        let code = foreign_code(&mut *connection, &names).await?;
        let mut found = Found { targets: Vec::with_capacity(wanted.len()), foreign: Vec::new() };
        for ((at, wanted), place) in wanted.iter().enumerate().zip(1..) {
            let own: Vec<&Column> = columns.iter().filter(|c| c.place == place).collect();
            if own.is_empty() {
                let names = tables(&mut *connection).await?;
                let sentence = unknown("table", &wanted.table, &names);
                return Ok(Err((at, Unfit { name: "table", sentence })));
            }
            if let Some(code) = code.iter().find(|code| code.place == place) {
                found.foreign.push((at, code.sentence(wanted)));
                continue;
            }
            match Self::among(&own, wanted) {
                Ok(target) => found.targets.push(target),
                Err(unfit) => return Ok(Err((at, unfit))),
            }
        }
        Ok(Ok(found))
    }

    /// The derived column among those of its table.
    fn among(columns: &[&Column], wanted: &Wanted) -> Result<Self, Unfit> {
        let find = |what: &'static str, name: &String| {
            columns.iter().find(|column| column.name == *name).ok_or_else(|| {
                let names: Vec<String> = columns.iter().map(|c| c.name.clone()).collect();
                Unfit { name: what, sentence: unknown("column", name, &names) }
            })
        };
        let column = find("column", &wanted.column)?;
        let key = find("key", &wanted.key)?;
        if key.kind != "uuid" {
            let (name, kind) = (&wanted.key, &key.kind);
            let sentence = format!("`{name}` is {kind}; the key of a derived column is a uuid");
            return Err(Unfit { name: "key", sentence });
        }
        let numbers = Numbers::of(&column.kind, column.modifier).ok_or_else(|| {
            let (name, kind) = (&wanted.column, &column.kind);
            let sentence =
                format!("`{name}` is {kind}; a derived column is numeric, bigint or integer");
            Unfit { name: "column", sentence }
        })?;
        let sql = Names {
            table: QualifiedName::new(&column.schema, &column.table),
            column: Identifier::new(&column.name),
            key: Identifier::new(&key.name),
            numbers: &numbers,
            is_orgs: column.orgs,
            is_users: column.users,
        };
        Ok(Self::new(wanted, &sql))
    }
}

/// A name, or `schema.table`, as statements spell it.
fn quoted(name: &str) -> String {
    name.split('.').map(|part| Identifier::new(part).to_string()).collect::<Vec<_>>().join(".")
}

/// Code of a lesser role that would run with periodd's rights when a table is written.
struct ForeignCode {
    /// Which of the names that were asked for, from one on.
    place: i64,
    owner: String,
    /// What it is: `the trigger t`.
    code: String,
    /// Whom the table should belong to, as statements spell it.
    trusted: String,
}

impl ForeignCode {
    fn sentence(&self, wanted: &Wanted) -> String {
        let Self { owner, code, trusted, .. } = self;
        let table = quoted(&wanted.table);
        format!(
            "`{}` belongs to {owner} and has {code}, which would run with periodd's rights: drop \
             that, or `alter table {table} owner to {trusted}`",
            wanted.table
        )
    }
}

/// What would run when periodd writes to the tables of roles that are neither its own, nor the
/// owner of its tables, nor superusers, nor members of its role: triggers, rules and views, and
/// functions in constraints, indexes, generated columns and domains.
async fn foreign_code(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<Vec<ForeignCode>, StoreError> {
    let found = sqlx::query_as!(
        ForeignCode,
        r#"select distinct on (u.place)
                  u.place as "place!", pg_get_userbyid(c.relowner)::text as "owner!",
                  f.code as "code!", quote_ident(current_user) as "trusted!"
           from unnest($1::text[]) with ordinality as u (name, place)
           join pg_class c on c.oid = to_regclass(u.name)
           cross join lateral (
               select 'rows that a view computes' as code where c.relkind = 'v'
               union all
               select 'the trigger ' || t.tgname from pg_trigger t
               where t.tgrelid = c.oid and not t.tgisinternal
               union all
               select 'the rule ' || r.rulename from pg_rewrite r
               where r.ev_class = c.oid and r.rulename <> '_RETURN'
               union all
               select pg_describe_object(d.classid, d.objid, d.objsubid) || ' that calls '
                      || pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
               from pg_depend d
               where d.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass)
                 and (d.classid = 'pg_constraint'::regclass
                          and d.objid in (select k.oid from pg_constraint k
                                          where k.conrelid = c.oid)
                      or d.classid = 'pg_class'::regclass
                          and d.objid in (select i.indexrelid from pg_index i
                                          where i.indrelid = c.oid)
                      or d.classid = 'pg_attrdef'::regclass
                          and d.objid in (select a.oid from pg_attrdef a
                                          join pg_attribute g
                                            on g.attrelid = a.adrelid and g.attnum = a.adnum
                                          where a.adrelid = c.oid and g.attgenerated <> ''))
               union all
               select 'a column of the domain ' || y.typname
               from pg_attribute a join pg_type y on y.oid = a.atttypid
               where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                 and y.typtype = 'd'
                 and exists (select from pg_constraint k where k.contypid = y.oid)
           ) as f
           where not (select r.rolsuper from pg_roles r where r.oid = c.relowner)
             and not pg_has_role(c.relowner, current_user, 'member')
             and c.relowner <> (select o.relowner from pg_class o
                                where o.oid = 'organizations'::regclass)
           order by u.place, f.code"#,
        names
    );
    Ok(found.fetch_all(connection).await?)
}

/// The tables that a derived column could stand in.
async fn tables(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let names = sqlx::query_scalar!(
        r#"select case when pg_table_is_visible(c.oid) then c.relname::text
                       else concat(n.nspname, '.', c.relname) end as "name!"
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where c.relkind in ('r', 'p', 'v', 'f')
             and n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'
           order by 1"#
    );
    Ok(names.fetch_all(connection).await?)
}

fn unknown(what: &str, name: &str, known: &[String]) -> String {
    let alike = |known: &&String| strsim::jaro_winkler(name, known);
    let best = known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    match best.filter(|best| alike(best) >= LIKELY) {
        Some(best) => format!("unknown {what} `{name}`; did you mean `{best}`?"),
        None => format!("no {what} `{name}` in the database"),
    }
}
