//! The rollover: its speed, what that depends on, and what it costs others.

pub(crate) mod bare;
pub(crate) mod bloat;
pub(crate) mod customer;
pub(crate) mod growth;
pub(crate) mod lateness;
pub(crate) mod others;
pub(crate) mod replicas;
pub(crate) mod speed;

use crate::support::Server;
use crate::support::binary::{self, Ran};

/// Business time of a rollover: every org of the seed is due.
pub(crate) const DUE: &str = "2026-06-02T12:00:00Z";

/// In pages of 1,000 orgs over two connections, for speed. (As it is configured for everybody, it
/// goes in smaller pages over one, for the sake of the applications beside it.)
pub(crate) const OVER_TWO: [(&str, &str); 2] = over("2");

const fn over(connections: &str) -> [(&str, &str); 2] {
    [("PERIODD__ROLLOVER__CONNECTIONS", connections), ("PERIODD__ROLLOVER__BATCH_SIZE", "1000")]
}

/// Orgs whose period ended, each with so many features and so many months behind it.
#[derive(Clone, Copy)]
pub(crate) struct Seed {
    pub(crate) orgs: u64,
    pub(crate) features: u64,
    pub(crate) months: u64,
}

impl Seed {
    pub(crate) async fn make(self, server: &Server, name: &str) {
        let Self { orgs, features, months } = self;
        let numbers = [("orgs", orgs), ("features", features), ("months", months)];
        server.seed(name, include_str!("seed.sql"), &numbers).await;
    }
}

/// Rolls all orgs of a database over.
async fn roll(server: &Server, name: &str, settings: &[(&str, &str)], orgs: u64) -> Ran {
    let ran = binary::at(server, name, DUE, &["rollover"], settings).await;
    let report = ran.report();
    assert_eq!(report["orgs"], orgs, "every org was rolled over: {report}");
    ran
}
