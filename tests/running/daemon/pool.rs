//! A `begin()` that is dropped on its way leaves a transaction open on the connection, and the
//! next borrower works inside of it without knowing: what it writes, and is told to be written, is
//! gone with the connection (sqlx 0.9, its issue #4393). The daemon drops none; and its pool rolls
//! back whatever comes back.

use std::pin::pin;

use futures_util::FutureExt;
use periodd::store::Database;
use sqlx::Connection;
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::support::TestDatabase;

/// How many of the rows that were written, each on a pool's connection, others can see.
async fn seen(test: &TestDatabase) -> Vec<String> {
    test.rows("select count(*) from written").await
}

/// A transaction is begun, and dropped when the server has begun it and before anybody has read its
/// answer: the moment that a `now_or_never` meets only by luck.
async fn drop_a_begin_that_the_server_has_done(
    connection: &mut sqlx::PgConnection,
    test: &TestDatabase,
) {
    let in_transaction = "select count(*) from pg_stat_activity \
                          where datname = current_database() and state = 'idle in transaction'";
    loop {
        let mut begin = pin!(connection.begin());
        // An answer that was there at once is a whole transaction; dropping that one is safe.
        while begin.as_mut().now_or_never().is_none() {
            for _ in 0..100 {
                if test.rows(in_transaction).await == ["1"] {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_dropped_begin_loses_a_write_in_a_bare_pool() {
    let test = TestDatabase::new().await;
    test.sql("create table written (number int)").await;
    let pool: PgPool =
        PgPoolOptions::new().max_connections(1).connect(&test.url()).await.expect("a connection");
    let mut connection = pool.acquire().await.expect("a connection");
    drop_a_begin_that_the_server_has_done(&mut connection, &test).await;
    drop(connection);
    let insert = sqlx::query("insert into written values (1)");
    insert.execute(&pool).await.expect("it says that it is written");
    let mended = "mended: Database's after_release hook can go, and FACTS' line too";
    assert_eq!(seen(&test).await, ["0"], "{mended}");
}

#[tokio::test]
async fn the_daemons_pool_loses_none() {
    let test = TestDatabase::new().await;
    test.sql("create table written (number int)").await;
    let database = Database::connect_to_stay(&test.url(), 1).await.expect("a connection");
    let mut connection = database.connection().await.expect("a connection");
    drop_a_begin_that_the_server_has_done(&mut connection, &test).await;
    drop(connection);
    let mut connection = database.connection().await.expect("a connection");
    let insert = sqlx::query("insert into written values (1)");
    insert.execute(&mut *connection).await.expect("written");
    assert_eq!(seen(&test).await, ["1"]);
}
