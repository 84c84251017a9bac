//! All workloads, by name, in the order of the page.

use crate::support::Run;
use crate::{
    alerts, boundaries, disk, export, http, idle, import, mail, pages, rollover, sync, usage,
    webhooks,
};

pub(crate) const WORKLOADS: [(&str, Run); 34] = [
    ("rollover", |bench| Box::pin(rollover::speed::run(bench))),
    ("history", |bench| Box::pin(rollover::growth::history(bench))),
    ("orgs", |bench| Box::pin(rollover::growth::orgs(bench))),
    ("features", |bench| Box::pin(rollover::growth::features(bench))),
    ("beside-rollover", |bench| Box::pin(rollover::others::beside(bench))),
    ("open-transaction", |bench| Box::pin(rollover::others::open_transaction(bench))),
    ("nothing-due", |bench| Box::pin(rollover::others::nothing_due(bench))),
    ("lateness", |bench| Box::pin(rollover::lateness::run(bench))),
    ("bloat", |bench| Box::pin(rollover::bloat::run(bench))),
    ("increments", |bench| Box::pin(usage::increments::run(bench))),
    ("large-table", |bench| Box::pin(usage::large_table::run(bench))),
    ("batches", |bench| Box::pin(usage::batches::run(bench))),
    ("counting", |bench| Box::pin(sync::counting::run(bench))),
    ("audit", |bench| Box::pin(sync::audit::run(bench))),
    ("metrics", |bench| Box::pin(sync::audit::growth(bench))),
    ("retention", |bench| Box::pin(sync::retention::run(bench))),
    ("alerts", |bench| Box::pin(alerts::run(bench))),
    ("mail", |bench| Box::pin(mail::run(bench))),
    ("webhooks", |bench| Box::pin(webhooks::run(bench))),
    ("pages", |bench| Box::pin(pages::run(bench))),
    ("export", |bench| Box::pin(export::run(bench))),
    ("idle", |bench| Box::pin(idle::run(bench))),
    ("import", |bench| Box::pin(import::run(bench))),
    ("http-check", |bench| Box::pin(http::check(bench))),
    ("http-limits", |bench| Box::pin(http::limits(bench))),
    ("http-increment", |bench| Box::pin(http::increment(bench))),
    ("http-events", |bench| Box::pin(http::events(bench))),
    ("http-beside", |bench| Box::pin(http::beside::uses(bench))),
    ("http-rollover", |bench| Box::pin(http::beside::rollover(bench))),
    ("http-idle", |bench| Box::pin(http::beside::idle(bench))),
    ("http-dashboard", |bench| Box::pin(http::dashboard::run(bench))),
    ("http-streams", |bench| Box::pin(http::streams::run(bench))),
    ("boundaries", |bench| Box::pin(boundaries::run(bench))),
    ("disk", |bench| Box::pin(disk::run(bench))),
];
