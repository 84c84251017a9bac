//! Proof that nothing is lost, doubled or notified twice, whatever fails. `make test` runs a part of
//! each proof, `make proof` all of them (docs/proof.md).

mod interleavings;

#[path = "../support/proof.rs"]
mod proof;
#[path = "../support/proxy.rs"]
#[allow(dead_code, reason = "proofs that cut use more of it")]
mod proxy;
#[path = "../support/mod.rs"]
mod support;
