//! Up to which position the rows of a table are final.
//!
//! A row is numbered when it is inserted and seen when its transaction commits, so that a lower
//! number may appear after a higher one. Whoever inserts holds a lock on the table from before the
//! number is drawn until the transaction ends. So: read the last number that was drawn, then who
//! holds such a lock, then wait until those transactions have ended. Whatever comes later has a
//! higher number. (`create index concurrently` waits in the same way.) Nobody waits for a reader.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::billing::when::shown_in_utc;
use crate::store::db::error::StoreError;

/// A table whose rows are numbered when they are inserted.
#[derive(Clone, Copy, Debug)]
pub struct Numbered {
    pub table: &'static str,
    /// The identity column with the numbers.
    pub column: &'static str,
}

/// Between two looks at who still writes.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The position up to which nothing is added any more.
///
/// # Errors
/// [`StoreError::Held`] when a transaction that writes to the table lasts longer than `patience`.
pub async fn settled(
    connection: &mut PgConnection,
    rows: Numbered,
    patience: Duration,
) -> Result<i64, StoreError> {
    // In this order, in statements of their own.
    let last = last_position(connection, rows).await?;
    let mut writers = writers(connection, rows, None).await?;
    let begun = Instant::now();
    while !writers.is_empty() {
        if begun.elapsed() >= patience {
            return Err(held(connection, rows, &writers).await?);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        writers = self::writers(connection, rows, Some(&writers)).await?;
    }
    Ok(last)
}

/// The last position that was drawn, by a transaction that has ended or by one that has not.
async fn last_position(connection: &mut PgConnection, rows: Numbered) -> Result<i64, StoreError> {
    let last = sqlx::query_scalar!(
        r#"select coalesce(
                      pg_sequence_last_value(
                          pg_get_serial_sequence($1, $2)::regclass), 0) as "last!""#,
        rows.table,
        rows.column
    );
    Ok(last.fetch_one(connection).await?)
}

/// The transactions that may write to the table now; with `among` those of them that still may.
async fn writers(
    connection: &mut PgConnection,
    rows: Numbered,
    among: Option<&[String]>,
) -> Result<Vec<String>, StoreError> {
    let writers = sqlx::query_scalar!(
        r#"select distinct l.virtualtransaction as "writer!" from pg_locks l
           where l.locktype = 'relation' and l.relation = ($1::text)::regclass
             and l.database = (select oid from pg_database where datname = current_database())
             and l.granted and l.pid is distinct from pg_backend_pid()
             and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                            'AccessExclusiveLock')
             and ($2::text[] is null or l.virtualtransaction = any($2))"#,
        rows.table,
        among
    );
    Ok(writers.fetch_all(connection).await?)
}

/// Who writes for so long.
async fn held(
    connection: &mut PgConnection,
    rows: Numbered,
    writers: &[String],
) -> Result<StoreError, StoreError> {
    let holder = sqlx::query!(
        r#"select a.pid as "pid?", a.application_name, a.xact_start as "since?"
           from pg_locks l left join pg_stat_activity a on a.pid = l.pid
           where l.virtualtransaction = any($1) and l.locktype = 'relation'
           order by a.xact_start nulls first limit 1"#,
        writers
    );
    let holder = holder.fetch_optional(connection).await?;
    let who = match holder {
        Some(row) => match (row.pid, row.since) {
            (Some(pid), since) => {
                let name = row.application_name.unwrap_or_default();
                let since = since
                    .map_or_else(String::new, |at| format!(", open since {}", shown_in_utc(at)));
                format!("pid {pid} (application {name}{since})")
            }
            (None, _) => "a prepared transaction".to_owned(),
        },
        None => "a transaction".to_owned(),
    };
    let table = rows.table;
    Ok(StoreError::Held(format!(
        "{who} writes to {table} and may still add rows before others; end that transaction, then \
         try again"
    )))
}
