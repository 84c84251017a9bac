//! Making room for our tables, and putting back what was there.

use sqlx::{Connection, PgConnection};

use super::plan::Adoption;
use super::source::legacy_name;
use super::{TABLES, run};
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::tables::quoted;

/// Our views.
const VIEWS: [&str; 3] = ["organisations", "usage_events", "usage_alerts_view"];

/// What was moved aside, as statements that put it back.
pub(super) struct Room {
    pub(super) indexes: Vec<String>,
    pub(super) views: Vec<String>,
    /// Those views that read our tables from now on.
    pub(super) made_again: Vec<String>,
    pub(super) foreign_keys: Vec<String>,
}

/// Moves tables, their indexes and views out of the way.
pub(super) async fn make_room(
    connection: &mut PgConnection,
    adoption: &Adoption,
) -> Result<Room, StoreError> {
    let views = views(connection, adoption).await?;
    for (name, _) in views.iter().rev() {
        run(connection, "drop a view", &format!("drop view {name}")).await?;
    }
    let is_in_the_way = |name: &str| adoption.drops.iter().any(|drop| quoted(drop) == name);
    let stay = views.iter().filter(|(name, _)| !is_in_the_way(name));
    let made_again = stay.map(|(_, create)| create.clone()).collect();
    let views = views.into_iter().map(|(_, create)| create).collect();
    let foreign_keys = foreign_keys(connection, &adoption.replaces).await?;
    let indexes: Vec<String> = sqlx::query_scalar(
        "select indexname from pg_indexes
         where schemaname = current_schema() and tablename = any($1) order by 1",
    )
    .bind(&adoption.replaces)
    .fetch_all(&mut *connection)
    .await?;
    for index in &indexes {
        rename(connection, "index", index, &legacy_name(index)).await?;
    }
    for table in &adoption.replaces {
        rename(connection, "table", table, &legacy_name(table)).await?;
    }
    Ok(Room { indexes, views, made_again, foreign_keys })
}

/// The views that are in the way or that read what moves, each with the statement that makes it,
/// in the order in which they can be made.
async fn views(
    connection: &mut PgConnection,
    adoption: &Adoption,
) -> Result<Vec<(String, String)>, StoreError> {
    let views = sqlx::query_as(
        "with recursive readers (oid) as (
             select oid from pg_class
             where relnamespace = to_regnamespace(quote_ident(current_schema()))
               and (relname = any($1) and relkind in ('r', 'p')
                    or relname = any($2) and relkind = 'v')
             union
             select w.ev_class
             from readers r
             join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = r.oid
                             and d.classid = 'pg_rewrite'::regclass
             join pg_rewrite w on w.oid = d.objid)
         select '\"' || c.relname || '\"',
                'create view ' || c.oid::regclass || ' as ' || pg_get_viewdef(c.oid)
         from readers r join pg_class c on c.oid = r.oid
         where c.relkind = 'v' order by c.oid",
    )
    .bind(&adoption.replaces)
    .bind(&adoption.drops);
    Ok(views.fetch_all(connection).await?)
}

/// Makes the views again that read what was replaced: from our tables now.
pub(super) async fn make_views(
    connection: &mut PgConnection,
    views: &[String],
) -> Result<(), StoreError> {
    for view in views {
        run(connection, "make a view of the application's again, on the new tables", view).await?;
    }
    Ok(())
}

/// The foreign keys of tables that stay, to tables that move: statements that drop each and make
/// it again, to whatever bears the name then.
async fn foreign_keys(
    connection: &mut PgConnection,
    tables: &[String],
) -> Result<Vec<String>, StoreError> {
    let keys = sqlx::query_scalar(
        "select format('alter table %s drop constraint if exists %I;
                        alter table %1$s add constraint %2$I %s',
                       k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
         from pg_constraint k
         join pg_class t on t.oid = k.confrelid
         join pg_class f on f.oid = k.conrelid
         where k.contype = 'f' and k.conparentid = 0
           and t.relnamespace = to_regnamespace(quote_ident(current_schema()))
           and t.relname = any($1) and not (f.relname = any($1) and f.relnamespace = t.relnamespace)
           and not (f.relnamespace = t.relnamespace
                    and (f.relname = any($2) or f.relname like 'periodd\\_%'))
         order by 1",
    )
    .bind(tables)
    .bind(TABLES.map(str::to_owned).to_vec());
    Ok(keys.fetch_all(connection).await?)
}

/// Points foreign keys at the tables that bear their targets' names now.
pub(super) async fn point(
    connection: &mut PgConnection,
    foreign_keys: &[String],
) -> Result<(), StoreError> {
    for key in foreign_keys {
        // Our table has one spelling; what is put back refers to the one that it had.
        let has_british =
            key.contains(" REFERENCES organisations(") && is_taken_by_a_view(connection).await?;
        let key = if has_british {
            key.replace(" REFERENCES organisations(", " REFERENCES organizations(")
        } else {
            key.clone()
        };
        run(connection, "a foreign key of another table", &key).await?;
    }
    Ok(())
}

async fn is_taken_by_a_view(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let found = sqlx::query_scalar(
        "select exists (select from pg_class
                        where oid = to_regclass('organisations') and relkind = 'v')",
    );
    Ok(found.fetch_one(connection).await?)
}

async fn rename(
    connection: &mut PgConnection,
    kind: &str,
    from: &str,
    to: &str,
) -> Result<(), StoreError> {
    // PostgreSQL cuts longer names, and would then find the name taken.
    let to: String = if to.len() > 63 {
        format!("{}_legacy", from.chars().take(50).collect::<String>())
    } else {
        to.to_owned()
    };
    let sql = format!("alter {kind} {} rename to {}", quoted(from), quoted(&to));
    run(connection, "rename", &sql).await.map(drop)
}

/// What an import left to undo.
#[derive(sqlx::FromRow)]
struct Known {
    tables: Vec<String>,
    indexes: Vec<String>,
    views: Vec<String>,
    foreign_keys: Vec<String>,
}

async fn known(connection: &mut PgConnection) -> Result<Known, StoreError> {
    let is_there: bool = sqlx::query_scalar("select to_regclass('periodd_imports') is not null")
        .fetch_one(&mut *connection)
        .await?;
    let known = if is_there {
        sqlx::query_as(
            "select tables, indexes, views, foreign_keys from periodd_imports
             where legacy_dropped_at is null",
        )
        .fetch_optional(connection)
        .await?
    } else {
        None
    };
    known.ok_or_else(|| {
        StoreError::Invalid(
            "there is nothing to undo or to drop: no import is known whose replaced tables are \
             still there"
                .to_owned(),
        )
    })
}

/// What undoing the import takes away.
#[derive(Debug, Clone)]
pub struct Loss {
    /// Orgs that there are.
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
    // The views that are made again, and the foreign keys that are pointed back, are not lost.
    let dependents = sqlx::query_scalar(
        "with recursive ours as (
             select oid from pg_class
             where relnamespace = to_regnamespace(quote_ident(current_schema()))
               and relkind in ('r', 'p', 'v')
               and (relname = any($1) or relname = any($4) or relname like 'periodd\\_%')),
         readers (oid) as (
             select oid from ours
             union
             select w.ev_class
             from readers r
             join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = r.oid
                             and d.classid = 'pg_rewrite'::regclass
             join pg_rewrite w on w.oid = d.objid)
         select 'view ' || c.oid::regclass
         from readers r join pg_class c on c.oid = r.oid
         where r.oid not in (select oid from ours)
           and not exists (select from unnest($2::text[]) as v
                           where starts_with(v, 'create view ' || c.oid::regclass || ' as '))
         union all
         select 'foreign key ' || quote_ident(k.conname) || ' of ' || k.conrelid::regclass
         from pg_constraint k
         where k.contype = 'f' and k.conparentid = 0
           and k.confrelid in (select oid from ours) and k.conrelid not in (select oid from ours)
           and not exists (select from unnest($3::text[]) as f
                           where starts_with(
                               f, format('alter table %s drop constraint if exists %I;',
                                         k.conrelid::regclass, k.conname)))
         order by 1",
    )
    .bind(TABLES.map(str::to_owned).to_vec())
    .bind(&known.views)
    .bind(&known.foreign_keys)
    .bind(VIEWS.map(str::to_owned).to_vec())
    .fetch_all(&mut *connection)
    .await?;
    Ok(Loss { orgs, metrics, dependents })
}

/// Puts the replaced tables back and drops ours, with what [`loss`] names, in one transaction.
///
/// # Errors
/// [`StoreError::Invalid`] when there is no import, or its replaced tables are dropped.
pub async fn undo(database: &Database) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    let mut transaction = connection.begin().await?;
    let known = known(&mut transaction).await?;
    run(&mut transaction, "begin", "set local client_min_messages = warning").await?;
    // The statements that drop everything of ours, by what the catalogue knows of it.
    let drops: Vec<String> = sqlx::query_scalar(
        "select format('drop view if exists %s cascade', oid::regclass) from pg_class
         where relnamespace = to_regnamespace(quote_ident(current_schema())) and relkind = 'v'
           and relname = any($2)
         union all
         select format('drop table if exists %s cascade', oid::regclass) from pg_class
         where relnamespace = to_regnamespace(quote_ident(current_schema()))
           and relkind in ('r', 'p') and (relname = any($1) or relname like 'periodd\\_%')
         union all
         select format('drop function if exists %s cascade', oid::regprocedure) from pg_proc
         where pronamespace = to_regnamespace(quote_ident(current_schema()))
           and (proname like 'periodd\\_%'
                or proname in ('record_usage', 'grant_overage_pack', 'get_current_usage_period',
                               'increment_feature_usage', 'increment_usage_if_allowed',
                               'get_current_usage_stats'))",
    )
    .bind(TABLES.map(str::to_owned).to_vec())
    .bind(VIEWS.map(str::to_owned).to_vec())
    .fetch_all(&mut *transaction)
    .await?;
    for drop in drops {
        run(&mut transaction, "drop what is periodd's", &drop).await?;
    }
    for table in &known.tables {
        rename(&mut transaction, "table", &legacy_name(table), table).await?;
    }
    for index in &known.indexes {
        let legacy = legacy_name(index);
        let legacy = if legacy.len() > 63 {
            format!("{}_legacy", index.chars().take(50).collect::<String>())
        } else {
            legacy
        };
        rename(&mut transaction, "index", &legacy, index).await?;
    }
    for view in &known.views {
        run(&mut transaction, "make a view again", view).await?;
    }
    point(&mut transaction, &known.foreign_keys).await?;
    transaction.commit().await?;
    Ok(())
}

/// Drops the replaced tables; from then on there is no way back.
///
/// # Errors
/// [`StoreError::Invalid`] when there is nothing to drop.
pub async fn drop_legacy(database: &Database) -> Result<Vec<String>, StoreError> {
    let mut connection = database.connection().await?;
    let mut transaction = connection.begin().await?;
    let known = known(&mut transaction).await?;
    let tables: Vec<String> = known.tables.iter().map(|table| legacy_name(table)).collect();
    // A column that was carried over may still count with a sequence of the table it came from.
    let sequences: Vec<String> = sqlx::query_scalar(
        "select format('alter sequence %s owned by none', s.oid::regclass)
         from pg_class s
         join pg_depend o on o.classid = 'pg_class'::regclass and o.objid = s.oid
              and o.refclassid = 'pg_class'::regclass and o.deptype = 'a'
         join pg_class t on t.oid = o.refobjid
         where s.relkind = 'S' and t.relname = any($1)
           and t.relnamespace = to_regnamespace(quote_ident(current_schema()))",
    )
    .bind(&tables)
    .fetch_all(&mut *transaction)
    .await?;
    for sequence in sequences {
        run(&mut transaction, "keep a sequence", &sequence).await?;
    }
    let list: Vec<String> = tables.iter().map(|table| quoted(table)).collect();
    if !list.is_empty() {
        run(&mut transaction, "drop", &format!("drop table {}", list.join(", "))).await?;
    }
    let mark = "update periodd_imports set legacy_dropped_at = statement.at
                from (select now() as at) statement where legacy_dropped_at is null";
    run(&mut transaction, "remember", mark).await?;
    transaction.commit().await?;
    Ok(tables)
}
