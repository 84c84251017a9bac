//! The SQL functions, views and roles, as application servers and end users meet them.

mod batches;
mod crowd;
mod departures;
mod fallen;
mod first_minute;
mod foresight;
mod functions;
mod hostile;
mod increments;
mod keys;
mod late;
mod locale;
mod meanwhile;
mod noinherit;
mod ranges;
mod refunds;
mod restored;
mod roles;
mod surfaces;

use crate::support::TestDatabase;
use sqlx::PgConnection;
use uuid::Uuid;

/// A user of an org that pays for it.
#[derive(Clone, Copy)]
struct Customer {
    org: Uuid,
    user: Uuid,
}

/// An org on tier `pro` in its open period, with one user. It is added as people add it.
async fn customer(test: &TestDatabase, slug: &str) -> Customer {
    let add = ["orgs", "add", slug, "--name", slug, "--zone", "UTC", "--tier", "pro"];
    test.periodd(&add).exits(0);
    let user = Uuid::new_v4();
    test.sql(&format!(
        "insert into users (id, organization_id, email)
         select '{user}', id, '{slug}@example.com' from organizations where slug = '{slug}'"
    ))
    .await;
    let org = test.rows(&format!("select id from organizations where slug = '{slug}'")).await;
    Customer { org: org[0].parse().expect("an id"), user }
}

/// The SQLSTATE that a statement is refused with.
async fn refusal(connection: &mut PgConnection, statement: &str) -> (String, String) {
    let run = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(connection).await;
    let error = run.err().unwrap_or_else(|| panic!("nobody refused {statement}"));
    let error = error.into_database_error().expect("the database's own refusal");
    (error.code().expect("an SQLSTATE").into_owned(), error.message().to_owned())
}
