//! Databases that people have already: adopted in place, proved, rolled over, and put back.

mod asked;
mod documents;
mod killed;
mod large;
mod odd;
#[path = "../crash_points/proxy.rs"]
#[allow(dead_code, reason = "its other cuts are for crash points")]
mod proxy;
#[path = "../support/mod.rs"]
mod support;
mod verify;
mod whole;

use support::TestDatabase;

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
