//! The harness: one server for all workloads, figures that are values, one table and one page.

pub(crate) mod beside;
pub(crate) mod binary;
pub(crate) mod daemon;
pub(crate) mod fall_due;
pub(crate) mod figure;
pub(crate) mod kept;
pub(crate) mod page;
pub(crate) mod pgbench;
pub(crate) mod plans;
pub(crate) mod process;
pub(crate) mod server;
pub(crate) mod size;

use futures_util::future::LocalBoxFuture;

pub(crate) use figure::{Figure, Goal, Series, rate};
pub(crate) use server::Server;
pub(crate) use size::Size;

/// What every workload is given.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) size: Size,
}

/// What a workload comes to.
pub(crate) enum Outcome {
    Measured(Vec<Figure>),
    /// It cannot be measured here, and why: a sentence.
    LeftOut(String),
}

/// Measures one workload, ours and the baselines in turn.
pub(crate) type Run = for<'a> fn(&'a Bench) -> LocalBoxFuture<'a, Outcome>;
