//! Writing usage: increments, large tables, batches.

pub(crate) mod batches;
pub(crate) mod increments;
pub(crate) mod large_table;

use crate::support::Server;

/// Clients at once.
const CLIENTS: u32 = 16;
const INCREMENT: &str = include_str!("function.sql");

/// Users, each an org of one, and one org that a thousand users share.
pub(crate) async fn seed(server: &Server, name: &str, users: u64, metrics_of_each: u64) {
    let numbers = [("users", users), ("metrics", metrics_of_each)];
    server.seed(name, include_str!("users.sql"), &numbers).await;
}
