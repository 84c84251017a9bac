//! Making room for our tables, and putting back what was there.

use sqlx::{Connection, PgConnection};

use super::compare::{Planned, Snapshot};
use super::dependents::{self, Dependent, Found};
use super::draft::Adoption;
use super::source::legacy_name;
use super::{look, run};
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;
use crate::store::db::lock_wait::{self, LockWait};
use crate::store::db::ours;
use crate::store::db::tables::{self, QualifiedName, quoted};

/// What was moved aside, and what is to be made again.
pub(super) struct Room {
    schema: String,
    indexes: Vec<String>,
    dependents: Vec<Dependent>,
    /// Views among these that are in the way: they come back when the import is undone.
    in_the_way: Vec<QualifiedName>,
    before: Snapshot,
}

/// Locks all that moves or is made again: what cannot be had is known before anything is done.
async fn lock(
    connection: &mut PgConnection,
    schema: &str,
    names: &[String],
    dependents: &[Dependent],
) -> Result<(), StoreError> {
    let mut all: Vec<QualifiedName> =
        names.iter().map(|name| QualifiedName::new(schema, name)).collect();
    all.extend(dependents.iter().filter_map(|dependent| dependent.table().cloned()));
    all.sort_unstable();
    all.dedup();
    for table in all {
        let lock = format!("lock table {table} in access exclusive mode");
        run(connection, "lock the tables", &lock).await?;
    }
    Ok(())
}

/// Moves tables, their indexes and views out of the way.
pub(super) async fn make_room(
    connection: &mut PgConnection,
    adoption: &Adoption,
) -> Result<Room, StoreError> {
    let schema = tables::current_schema(connection).await?;
    let found = Found::on(connection, &schema, &adoption.replaces, &adoption.drops).await?;
    lock(connection, &schema, &adoption.replaces, &found.dependents).await?;
    // What was made or changed before the locks were had is found now.
    let found_now = look(connection, &schema, &adoption.answers).await?;
    if !adoption.is_mend() && found_now.as_ref() != Some(adoption) {
        return Err(StoreError::Unprocessable(
            "the database has changed since the report was made; nothing was changed; run the \
             command again"
                .to_owned(),
        ));
    }
    let found = Found::on(connection, &schema, &adoption.replaces, &adoption.drops).await?;
    if let Some(obstacle) = found.obstacles.first() {
        return Err(StoreError::Unprocessable(format!("{obstacle}; nothing was changed")));
    }
    let before = Snapshot::read(connection).await?;
    drop_all(connection, &found.dependents).await?;
    let indexes: Vec<String> = sqlx::query_scalar(
        "select indexname::text from pg_indexes
         where schemaname = current_schema() and tablename = any($1) order by 1",
    )
    .bind(&adoption.replaces)
    .fetch_all(&mut *connection)
    .await?;
    for index in &indexes {
        rename(connection, "index", &schema, index, &legacy_name(index)).await?;
    }
    for table in &adoption.replaces {
        rename(connection, "table", &schema, table, &legacy_name(table)).await?;
    }
    let in_the_way = adoption.drops.iter().map(|name| QualifiedName::new(&schema, name)).collect();
    Ok(Room { schema, indexes, dependents: found.dependents, in_the_way, before })
}

impl Room {
    /// Makes again what others built on the tables that moved: on ours now. Then nothing but what
    /// was planned is another than before.
    pub(super) async fn furnish(
        &self,
        connection: &mut PgConnection,
        adoption: &Adoption,
    ) -> Result<(), StoreError> {
        let is_in_the_way = |dependent: &Dependent| {
            let (name, part) = dependent.part();
            part.is_none() && self.in_the_way.contains(name)
        };
        let stay: Vec<Dependent> =
            self.dependents.iter().filter(|d| !is_in_the_way(d)).cloned().collect();
        // Our table has one spelling.
        let british = QualifiedName::new(&self.schema, "organisations");
        let american = QualifiedName::new(&self.schema, "organizations");
        let target = |name: &QualifiedName| {
            if *name == british { american.clone() } else { name.clone() }
        };
        // What pointed at ids that are not UUIDs points at the column that keeps them.
        let made: Vec<Dependent> =
            stay.iter().map(|dependent| dependent.on_former_ids(&adoption.former_ids)).collect();
        dependents::make(connection, &made, target).await?;
        let mut planned = Planned::new(&self.schema);
        for index in &self.indexes {
            planned.renames_index(index, &legacy_name(index));
        }
        for table in &adoption.replaces {
            planned.renames_table(table, &legacy_name(table));
        }
        for dependent in &stay {
            planned.makes_again(dependent);
        }
        for view in &self.in_the_way {
            planned.loses(view.clone());
        }
        self.before.holds(&Snapshot::read(connection).await?, &planned)
    }

    /// Remembers what it takes to undo this.
    pub(super) async fn remember(
        &self,
        connection: &mut PgConnection,
        adoption: &Adoption,
        after: &str,
    ) -> Result<(), StoreError> {
        let (mut views, mut keys) = (Vec::new(), Vec::new());
        for dependent in &self.dependents {
            let text = serde_json::to_string(dependent)
                .map_err(|error| StoreError::Failed(format!("save the views: {error}")))?;
            match dependent {
                Dependent::View(_) => views.push(text),
                Dependent::ForeignKey(_) | Dependent::Policy(_) => keys.push(text),
            }
        }
        sqlx::query(
            "insert into periodd_imports (id, tables, indexes, views, foreign_keys, after_sql)
             values (1, $1, $2, $3, $4, $5)",
        )
        .bind(&adoption.replaces)
        .bind(&self.indexes)
        .bind(&views)
        .bind(&keys)
        .bind(after)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// Drops what is to be made again, in the reverse order in which it is made.
async fn drop_all(
    connection: &mut PgConnection,
    dependents: &[Dependent],
) -> Result<(), StoreError> {
    for dependent in dependents.iter().rev() {
        dependent.drop(connection).await?;
    }
    Ok(())
}

async fn rename(
    connection: &mut PgConnection,
    kind: &str,
    schema: &str,
    from: &str,
    to: &str,
) -> Result<(), StoreError> {
    let name = QualifiedName::new(schema, from);
    let sql = format!("alter {kind} {name} rename to {}", quoted(to));
    run(connection, "rename", &sql).await.map(drop)
}

/// What an import left to undo.
struct Known {
    tables: Vec<String>,
    indexes: Vec<String>,
    dependents: Vec<Dependent>,
}

/// Tables, indexes, views and foreign keys, as they are kept.
type Row = (Vec<String>, Vec<String>, Vec<String>, Vec<String>);

async fn known(connection: &mut PgConnection) -> Result<Known, StoreError> {
    let is_there: bool = sqlx::query_scalar("select to_regclass('periodd_imports') is not null")
        .fetch_one(&mut *connection)
        .await?;
    let known: Option<Row> = if is_there {
        sqlx::query_as(
            "select tables, indexes, views, foreign_keys from periodd_imports
             where legacy_dropped_at is null",
        )
        .fetch_optional(connection)
        .await?
    } else {
        None
    };
    let (tables, indexes, views, keys) = known.ok_or_else(|| {
        StoreError::Invalid(
            "nothing to undo or drop: no import with replaced tables was found".to_owned(),
        )
    })?;
    let read = |text: &String| {
        serde_json::from_str(text).map_err(|error| {
            StoreError::Unprocessable(format!(
                "periodd_imports contains a view or key that this version cannot read ({error}): \
                 undo the import with the version that made it"
            ))
        })
    };
    let dependents: Result<Vec<Dependent>, StoreError> =
        views.iter().chain(&keys).map(read).collect();
    Ok(Known { tables, indexes, dependents: dependents? })
}

/// What undoing the import takes away.
#[derive(Debug, Clone)]
pub struct Loss {
    pub orgs: i64,
    /// Metrics that were recorded since.
    pub metrics: i64,
    /// Views and foreign keys of others that need our tables, and are not put back.
    pub dependents: Vec<String>,
}

/// Finds out what undoing the import would take away.
///
/// # Errors
/// [`StoreError::Invalid`] when there is no import, or its replaced tables are dropped.
pub async fn loss(database: &Database) -> Result<Loss, StoreError> {
    let mut connection = database.connection().await?;
    let known = known(&mut connection).await?;
    let (orgs, metrics): (i64, i64) = sqlx::query_as(
        "select (select count(*) from organizations),
                (select count(*) from usage_metrics m, periodd_imports i
                 where m.recorded_at > i.applied_at)",
    )
    .fetch_one(&mut *connection)
    .await?;
    // What is made again on the replaced tables is not lost.
    let schema = tables::current_schema(&mut connection).await?;
    let mut transaction = connection.begin().await?;
    let built = on_ours(&mut transaction, &schema).await?.into_iter();
    transaction.rollback().await?;
    let lost = built.filter(|one| !known.dependents.iter().any(|known| known.is(one)));
    let mut dependents: Vec<String> = lost.map(|one| one.plain_from(&schema)).collect();
    dependents.sort_unstable();
    Ok(Loss { orgs, metrics, dependents })
}

/// What others built on our tables and views.
async fn on_ours(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Vec<Dependent>, StoreError> {
    let (tables, views) = our_relations(connection).await?;
    let found = Found::on(connection, schema, &tables, &views).await?.dependents.into_iter();
    let is_ours = |dependent: &Dependent| {
        let (on, part) = dependent.part();
        let is_ours = views.iter().any(|name| name == on.name.name());
        part.is_none() && is_ours && on.schema.name() == schema
    };
    Ok(found.filter(|dependent| !is_ours(dependent)).collect())
}

/// Our tables and views that are there.
async fn our_relations(
    connection: &mut PgConnection,
) -> Result<(Vec<String>, Vec<String>), StoreError> {
    let found: Vec<(String, bool)> = sqlx::query_as(
        "select relname::text, relkind = 'v' from pg_class
         where relnamespace = to_regnamespace(quote_ident(current_schema()))
           and (relkind in ('r', 'p') and (relname = any($1) or relname like 'periodd\\_%')
                or relkind = 'v' and relname = any($2))
         order by 1",
    )
    .bind(ours::owned(&ours::tables()))
    .bind(ours::owned(&ours::views()))
    .fetch_all(connection)
    .await?;
    let (views, tables): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, is_view)| *is_view);
    let names = |all: Vec<(String, bool)>| all.into_iter().map(|(name, _)| name).collect();
    Ok((names(tables), names(views)))
}

/// Puts the replaced tables back and drops ours, with what [`loss`] names, in one transaction.
///
/// # Errors
/// [`StoreError::Invalid`] when there is no import, or its replaced tables are dropped;
/// [`StoreError::Unprocessable`] when something else would not be as before.
pub async fn undo(database: &Database, wait: LockWait) -> Result<(), StoreError> {
    let mut attempts = wait.begin("nothing was changed");
    loop {
        let mut connection = database.connection().await?;
        let mut transaction = connection.begin().await?;
        let pid = lock_wait::bound(&mut transaction).await?;
        match attempts.watch(database, pid, undo_within(&mut transaction)).await {
            Ok(()) => return Ok(transaction.commit().await?),
            Err(error) => {
                // A connection that is lost has rolled back, too.
                let _ = transaction.rollback().await;
                drop(connection);
                attempts.again(error).await?;
            }
        }
    }
}

async fn undo_within(connection: &mut PgConnection) -> Result<(), StoreError> {
    run(connection, "begin", "set local client_min_messages = warning").await?;
    let schema = tables::current_schema(connection).await?;
    let known = known(connection).await?;
    let built = on_ours(connection, &schema).await?;
    let legacy: Vec<String> = known.tables.iter().map(|table| legacy_name(table)).collect();
    lock(connection, &schema, &legacy, &built).await?;
    let before = Snapshot::read(connection).await?;
    // Views that stay have the rights and options that they have now; what they show is what they
    // showed before the import.
    let back: Vec<Dependent> = known
        .dependents
        .iter()
        .map(|saved| saved.with_settings_of(built.iter().find(|now| now.is(saved))))
        .collect();
    let mut planned = Planned::new(&schema);
    drop_all(connection, &built).await?;
    for dependent in &built {
        if back.iter().any(|saved| saved.is(dependent)) {
            planned.makes_again(dependent);
        } else {
            planned.drops(dependent);
        }
    }
    for drop in ours_dropped(connection).await? {
        run(connection, "drop what is periodd's", &drop).await?;
    }
    for table in &known.tables {
        rename(connection, "table", &schema, &legacy_name(table), table).await?;
        planned.renames_table(&legacy_name(table), table);
    }
    for index in &known.indexes {
        rename(connection, "index", &schema, &legacy_name(index), index).await?;
        planned.renames_index(&legacy_name(index), index);
    }
    dependents::make(connection, &back, QualifiedName::clone).await?;
    before.holds(&Snapshot::read(connection).await?, &planned)
}

/// The statements that drop everything of ours, by what the catalogue knows of it. What others
/// have built on it is dropped before; what is left is refused by the comparison.
async fn ours_dropped(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let drops = sqlx::query_scalar(
        "with ours as (
             select format('%I.%I', n.nspname, c.relname) as name, c.relkind
             from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = current_schema()
               and (c.relkind = 'v' and c.relname = any($2)
                    or c.relkind in ('r', 'p')
                       and (c.relname = any($1) or c.relname like 'periodd\\_%')))
         select format('drop view if exists %s cascade', name) from ours where relkind = 'v'
         union all
         select format('drop table if exists %s cascade', name) from ours where relkind <> 'v'
         union all
         select format('drop function if exists %I.%I(%s) cascade', n.nspname, f.proname,
                       pg_get_function_identity_arguments(f.oid))
         from pg_proc f join pg_namespace n on n.oid = f.pronamespace
         where n.nspname = current_schema()
           and (f.proname like 'periodd\\_%' or f.proname = any($3))",
    )
    .bind(ours::owned(&ours::tables()))
    .bind(ours::owned(&ours::views()))
    .bind(ours::owned(&ours::functions()));
    Ok(drops.fetch_all(connection).await?)
}

/// Drops the replaced tables; from then on there is no way back.
///
/// # Errors
/// [`StoreError::Invalid`] when there is nothing to drop.
pub async fn drop_legacy(database: &Database, wait: LockWait) -> Result<Vec<String>, StoreError> {
    let mut attempts = wait.begin("nothing was changed");
    loop {
        let mut connection = database.connection().await?;
        let mut transaction = connection.begin().await?;
        let pid = lock_wait::bound(&mut transaction).await?;
        match attempts.watch(database, pid, drop_within(&mut transaction)).await {
            Ok(dropped) => {
                transaction.commit().await?;
                return Ok(dropped);
            }
            Err(error) => {
                // A connection that is lost has rolled back, too.
                let _ = transaction.rollback().await;
                drop(connection);
                attempts.again(error).await?;
            }
        }
    }
}

async fn drop_within(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let schema = tables::current_schema(connection).await?;
    let known = known(connection).await?;
    let tables: Vec<String> = known.tables.iter().map(|table| legacy_name(table)).collect();
    // A column that was carried over may still count with a sequence of the table it came from.
    let sequences: Vec<String> = sqlx::query_scalar(
        "select format('alter sequence %I.%I owned by none', n.nspname, s.relname)
         from pg_class s
         join pg_namespace n on n.oid = s.relnamespace
         join pg_depend o on o.classid = 'pg_class'::regclass and o.objid = s.oid
              and o.refclassid = 'pg_class'::regclass and o.deptype = 'a'
         join pg_class t on t.oid = o.refobjid
         where s.relkind = 'S' and t.relname = any($1)
           and t.relnamespace = to_regnamespace(quote_ident(current_schema()))",
    )
    .bind(&tables)
    .fetch_all(&mut *connection)
    .await?;
    for sequence in sequences {
        run(connection, "keep a sequence", &sequence).await?;
    }
    let list: Vec<String> =
        tables.iter().map(|table| QualifiedName::new(&schema, table).to_string()).collect();
    if !list.is_empty() {
        run(connection, "drop", &format!("drop table {}", list.join(", "))).await?;
    }
    let mark = "update periodd_imports set legacy_dropped_at = statement.at
                from (select now() as at) statement where legacy_dropped_at is null";
    run(connection, "remember", mark).await?;
    Ok(tables)
}
