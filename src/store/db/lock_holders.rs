//! Who holds what sessions wait for: the session or the prepared transaction, since when, and what
//! ends it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::PgConnection;

use super::error::StoreError;
use super::tables::literal;
use crate::billing::Instant;
use crate::billing::when::shown_in_utc;

/// Somebody who holds what is waited for.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    /// The session; 0 for a prepared transaction.
    pid: i32,
    /// The role, as far as it may be seen.
    role: Option<String>,
    application: Option<String>,
    /// `idle in transaction` and the like.
    state: Option<String>,
    /// Since when its transaction lasts.
    since: Option<Instant>,
    /// The name of a prepared transaction.
    prepared: Option<String>,
    /// The table, where it is one that is waited for.
    relation: Option<String>,
    mode: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.relation {
            Some(relation) => write!(f, "{relation} is locked by ")?,
            None => f.write_str("a required lock is held by ")?,
        }
        match &self.prepared {
            Some(name) => write!(f, "the prepared transaction {}", literal(name))?,
            None => write!(f, "pid {}", self.pid)?,
        }
        write!(f, " (user {}", self.role.as_deref().unwrap_or("unknown"))?;
        if let Some(application) = self.application.as_deref().filter(|name| !name.is_empty()) {
            write!(f, ", application {application}")?;
        }
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        if let Some(since) = self.since {
            write!(f, ", since {}", shown_in_utc(since))?;
        }
        match &self.mode {
            Some(mode) => write!(f, ", {mode})"),
            None => f.write_str(")"),
        }
    }
}

impl Holder {
    /// What ends it.
    fn remedy(&self) -> String {
        match &self.prepared {
            Some(name) => {
                let name = literal(name);
                format!("end it (`commit prepared {name}` or `rollback prepared {name}`)")
            }
            None => format!(
                "wait for that transaction to end, or end the session (`select \
                 pg_terminate_backend({})`)",
                self.pid
            ),
        }
    }
}

/// Who holds what the session waits for.
pub(super) async fn of(connection: &mut PgConnection, pid: i32) -> Result<Vec<Holder>, StoreError> {
    let found = sqlx::query_as!(
        Holder,
        r#"with wanted as (
               select locktype, database, relation, transactionid, objid, classid
               from pg_locks where pid = $1 and not granted limit 1),
           holding as (
               select l.pid, l.virtualtransaction, l.mode,
                      case when l.relation is not null
                           then (select quote_ident(n.nspname) || '.' || quote_ident(c.relname)
                                 from pg_class c join pg_namespace n on n.oid = c.relnamespace
                                 where c.oid = l.relation) end as relation
               from pg_locks l, wanted w
               where l.granted and l.locktype = w.locktype
                 and l.database is not distinct from w.database
                 and l.relation is not distinct from w.relation
                 and l.transactionid is not distinct from w.transactionid
                 and l.objid is not distinct from w.objid
                 and l.classid is not distinct from w.classid),
           blocking as (
               select distinct b.pid from unnest(pg_blocking_pids($1)) as b (pid))
           select b.pid as "pid!", a.usename::text as role, a.application_name as application,
                  a.state, a.xact_start as since, null::text as prepared, h.relation, h.mode
           from blocking b
           left join lateral (
               select relation, string_agg(mode, ', ') as mode from holding
               where pid = b.pid group by relation) h on true
           left join pg_stat_activity a on a.pid = b.pid
           where b.pid <> 0
           union all
           select 0, p.owner::text, null, 'prepared', p.prepared, p.gid, h.relation, h.mode
           from holding h
           join pg_locks x on x.locktype = 'transactionid'
                          and x.virtualtransaction = h.virtualtransaction
           join pg_prepared_xacts p on p.transaction = x.transactionid
           where h.pid is null and exists (select 1 from blocking where pid = 0)
           order by 5"#,
        pid
    );
    Ok(found.fetch_all(connection).await?)
}

/// Who holds what is waited for, and what ends it.
pub(super) fn who_and_remedy(holders: &[Holder]) -> Option<(String, String)> {
    let first = holders.first()?;
    let who: Vec<String> = holders.iter().map(Holder::to_string).collect();
    Some((who.join("; "), first.remedy()))
}

/// Who was seen to hold what sessions of this program waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct SeenHolders(Arc<Mutex<Vec<Holder>>>);

impl SeenHolders {
    /// Looks for who holds what the first waiting session of this program waits for.
    pub(super) async fn look(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let waiting = sqlx::query_scalar!(
            r#"select w.pid as "pid!" from pg_stat_activity w
               where w.datname = current_database() and w.usename = current_user
                 and w.application_name = 'periodd' and w.wait_event_type = 'Lock'
               order by w.query_start limit 1"#
        );
        let Some(pid) = waiting.fetch_optional(&mut *connection).await? else { return Ok(()) };
        let found = of(connection, pid).await?;
        if !found.is_empty() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
        Ok(())
    }

    /// Who was seen last, and what ends it; nothing where nobody was.
    pub(super) fn sentence(&self) -> Option<String> {
        let holders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (who, remedy) = who_and_remedy(&holders)?;
        Some(format!("{who}; {remedy}, and run the command again"))
    }
}
