//! What roles may do in the private cluster, set as its superuser at every start: a cluster that an
//! earlier version made is brought to the same.
//!
//! periodd's own role owns the tables and nothing else: it makes no roles and no databases, so that
//! who gets hold of it has got hold of the tables and not of the server. It gives the schema's two
//! roles to others, and for that has to be allowed to. The public makes nothing in its database, no
//! temporary objects either.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use std::str::FromStr;

use super::role_names::USUAL_PREFIX;
use super::roles;

/// What of it concerns the whole server, a statement each, for a server in single-user mode too.
pub fn of_the_server(user: &str, database: &str) -> [String; 3] {
    [
        roles::make(USUAL_PREFIX).split_whitespace().collect::<Vec<_>>().join(" "),
        format!("grant periodd_app, periodd_member to {user} with admin option"),
        format!("revoke temporary on database {database} from public"),
    ]
}

/// Only what differs is changed: a start writes nothing that is there already.
const OF_THE_DATABASE: &str = "
    do $$ begin
        if exists (select from pg_roles
                   where rolname = 'periodd' and (rolsuper or rolcreaterole or rolcreatedb
                                                  or rolreplication or rolbypassrls))
        then
            alter role periodd nosuperuser nocreaterole nocreatedb noreplication nobypassrls;
        end if;
        if has_schema_privilege('public', 'public', 'create') then
            revoke create on schema public from public;
        end if;
    end $$";

/// Is everything as it should be?
const IS_DONE: &str = "
    select not has_database_privilege('public', current_database(), 'temporary')
        and not coalesce(has_schema_privilege('public', to_regnamespace('public'), 'create'), false)
        and (select count(*) = 2 from pg_auth_members m
             where m.member = to_regrole('periodd') and m.admin_option
               and m.roleid in (to_regrole('periodd_app'), to_regrole('periodd_member')))
        and not (select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
                 from pg_roles where rolname = 'periodd')";

/// Sets them. A failure is logged, and keeps nobody from working. Blocks.
pub fn set(url: &str, user: &str, database: &str) {
    // The caller may itself be inside of a runtime.
    let seen = std::thread::scope(|scope| scope.spawn(|| run(url, user, database)).join());
    let error = match seen {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "internal error (panic)".to_owned(),
    };
    tracing::warn!(%error, "the grants in the private cluster could not be updated");
}

fn run(url: &str, user: &str, database: &str) -> Result<(), sqlx::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
        let mut connection = PgConnection::connect_with(&options).await?;
        let is_done: Option<bool> = sqlx::query_scalar(IS_DONE).fetch_one(&mut connection).await?;
        if is_done != Some(true) {
            let mut transaction = connection.begin().await?;
            sqlx::raw_sql("set local client_min_messages = warning")
                .execute(&mut *transaction)
                .await?;
            let [roles, grant, revoke] = of_the_server(user, database);
            for statement in [&roles, &grant, &revoke, OF_THE_DATABASE] {
                let statement = sqlx::AssertSqlSafe(statement.to_owned());
                sqlx::raw_sql(statement).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
        }
        connection.close().await
    })
}
