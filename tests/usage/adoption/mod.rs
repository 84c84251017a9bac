//! Databases that people have already: adopted in place, proved, rolled over, and put back.

mod asked;
mod documents;
mod killed;
mod large;
mod locks;
mod names;
mod odd;
mod others;
mod ours;
mod shapes;
mod verify;
mod whole;

use crate::support::TestDatabase;

/// A database as a situation's SQL makes it.
async fn situation(sql: &str) -> TestDatabase {
    let test = TestDatabase::empty().await;
    test.sql(sql).await;
    test
}

/// A situation, adopted.
async fn adopted(sql: &str) -> TestDatabase {
    let test = situation(sql).await;
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    test
}
