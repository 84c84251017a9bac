//! Proof that nothing is lost, doubled or notified twice, whatever fails. `make test` runs a part
//! of each proof, `make proof` all of them (docs/proof.md).

mod crash;
mod fuzz;
mod interleavings;
mod model;
mod unheard;

#[path = "../support/client.rs"]
#[allow(dead_code, reason = "what the server's own tests need")]
mod client;
#[path = "../rules/periods/oracle.rs"]
#[allow(dead_code, reason = "the rules' tests ask it more")]
mod oracle;
#[path = "../support/proof.rs"]
mod proof;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/mod.rs"]
mod support;

/// A connection through a proxy, which knows no TLS.
async fn plainly(proxy: &proxy::Proxy, database: &str) -> sqlx::Result<sqlx::PgConnection> {
    let url = format!("{}&sslmode=disable", proxy.url(database));
    <sqlx::PgConnection as sqlx::Connection>::connect(&url).await
}
