//! What can happen to an org: one line a verb.

use std::io::Write;
use std::sync::Arc;

use periodd::billing::org::pause::Beginning;
use periodd::billing::timeline::{CatchUp, Early, Policy};
use periodd::config::Config;
use periodd::jobs::columns::Columns;
use periodd::jobs::deliver::Mailer;
use periodd::jobs::orgs::{departures, pause};
use periodd::jobs::stop::Stop;
use periodd::jobs::{alerts, deliver, retention, rollover, sync, usage};
use periodd::store::Database;
use periodd::tz::TzData;

use super::world::{ACME, BOLT};

/// The state of the org that a verb has something to do in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// Nothing has ended unclosed.
    Open,
    /// Two periods have ended, and nobody has closed them.
    Due,
}
use Needs::{Due, Open};

/// How a verb is run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// A statement, in a transaction of its own.
    Sql(&'static str),
    /// A job of periodd's.
    Job(Job),
}
use Act::Sql;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    Rollover,
    Early,
    ReAnchor,
    Collapse,
    Sync,
    Audit,
    Alerts,
    Deliver,
    Retention,
    Import,
    Pause,
    Remove,
    Merge,
}

/// What a verb adds to the minutes that were used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Adds {
    Nothing,
    /// So many, where its answer is that it is allowed.
    Allowed(i32),
    /// So many, whatever the limit says.
    Whatever(i32),
}
use Adds::{Allowed, Nothing, Whatever};

/// A verb.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    pub(crate) act: Act,
    pub(crate) needs: Needs,
    pub(crate) adds: Adds,
    /// What a caller may be refused with, by its SQLSTATE, or by words of a job.
    pub(crate) refusals: &'static [&'static str],
    /// Each time under the same key.
    pub(crate) has_key: bool,
}

impl Verb {
    const fn keyed(self) -> Self {
        Self { has_key: true, ..self }
    }
}

const fn sql(
    name: &'static str,
    needs: Needs,
    adds: Adds,
    statement: &'static str,
    refusals: &'static [&'static str],
) -> Verb {
    Verb { name, act: Sql(statement), needs, adds, refusals, has_key: false }
}

const fn job(
    name: &'static str,
    needs: Needs,
    adds: Adds,
    job: Job,
    refusals: &'static [&'static str],
) -> Verb {
    Verb { name, act: Act::Job(job), needs, adds, refusals, has_key: false }
}

/// No such org or user any more: somebody has removed or merged it.
const GONE: &[&str] = &["PB002", "23503"];
/// And what is open, or comes first.
const GONE_OR_OPEN: &[&str] = &["PB001", "PB002", "PB003", "PB005"];

/// All of them: another one is another line.
pub(crate) const VERBS: [Verb; 27] = [
    sql(
        "increment",
        Open,
        Allowed(20),
        "select allowed from increment_feature_usage('{user}', 'minutes_transcribed', 20)",
        GONE,
    ),
    sql(
        "increment with a key",
        Open,
        Allowed(3),
        "select allowed from increment_feature_usage('{user}', 'minutes_transcribed', 3, 'key')",
        GONE,
    )
    .keyed(),
    sql(
        "plain insert",
        Open,
        Whatever(9),
        "insert into usage_metrics (organization_id, user_id, metric_type, metric_value)
         values ('{org}', '{user}', 'Minutes_Transcribed', 9)",
        GONE,
    ),
    sql(
        "recorded use",
        Open,
        Whatever(4),
        "select record_usage('{org}', 'minutes_transcribed', 4, null, now() - interval '1 minute')",
        GONE,
    ),
    sql(
        "late insert",
        Open,
        Whatever(6),
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         values ('{org}', 'minutes_transcribed', 6, now() - interval '70 hours')",
        GONE,
    ),
    sql(
        "late use",
        Open,
        Whatever(15),
        "select record_usage('{org}', 'minutes_transcribed', 15, null,
                             now() - interval '24 hours')",
        GONE,
    ),
    sql(
        "grant",
        Open,
        Nothing,
        "select grant_overage_pack('{org}', 'minutes_transcribed', 30, 'granted')",
        GONE,
    ),
    sql(
        "plain pack",
        Open,
        Nothing,
        "insert into overage_packs (org_id, feature, quantity)
         values ('{org}', 'minutes_transcribed', 25)",
        GONE,
    ),
    sql(
        "refund",
        Open,
        Nothing,
        "select * from refund_overage_pack('{org}', 'lasts', 8)",
        GONE_OR_OPEN,
    ),
    sql(
        "restart",
        Open,
        Nothing,
        "select restart_billing_cycle('{org}', null, 'restart')",
        GONE_OR_OPEN,
    ),
    sql(
        "zone change",
        Due,
        Nothing,
        "update organizations set time_zone = 'Asia/Kolkata' where id = '{org}'",
        &[],
    ),
    sql(
        "tier change",
        Open,
        Nothing,
        "update organizations set subscription_tier = 'starter' where id = '{org}'",
        &[],
    ),
    sql(
        "user moved",
        Open,
        Nothing,
        "update users set organization_id = '{other}' where id = '{user}'",
        GONE,
    ),
    sql(
        "level set",
        Open,
        Nothing,
        "select * from set_usage_level('{org}', 'ai_messages', 8)",
        GONE_OR_OPEN,
    ),
    job("rollover", Due, Nothing, Job::Rollover, &[]),
    job("early", Open, Nothing, Job::Early, &[]),
    job("re-anchor", Open, Nothing, Job::ReAnchor, &[]),
    job("collapse", Due, Nothing, Job::Collapse, &[]),
    job("sync", Open, Nothing, Job::Sync, &[]),
    job("audit", Open, Nothing, Job::Audit, &[]),
    job("alert pass", Open, Nothing, Job::Alerts, &[]),
    job("deliver", Open, Nothing, Job::Deliver, &[]),
    job("retention", Open, Nothing, Job::Retention, &[]),
    job("import", Open, Whatever(2), Job::Import, &["unknown org"]).keyed(),
    job("pause", Open, Nothing, Job::Pause, &["just gone", "not closed yet"]),
    job("org removed", Open, Nothing, Job::Remove, &[]),
    job("merge", Open, Nothing, Job::Merge, &["first: ", "unknown org", "cannot be merged yet"]),
];

/// What jobs are run with.
pub(crate) struct Means {
    pub(crate) config: Config,
    pub(crate) tz: TzData,
    pub(crate) mailer: Mailer,
    pub(crate) columns: Columns,
}

impl Means {
    pub(crate) fn sync(&self) -> sync::Request {
        let scope = sync::Scope::Orgs(vec![ACME, BOLT]);
        let standing = sync::Request::standing(&self.config, self.columns.clone());
        sync::Request { scope, connections: 1, ..standing }
    }

    pub(crate) fn alerts(&self) -> alerts::Request {
        alerts::Request::of(&self.config)
    }

    fn rollover(&self, early: Early, catch_up: CatchUp) -> rollover::Request {
        let standing = rollover::Request::standing(&self.config.rollover);
        // An early close is of the org alone.
        let scope = if early.closes() { vec![ACME] } else { vec![ACME, BOLT] };
        rollover::Request {
            scope: rollover::Scope::Orgs(scope),
            policy: Policy { early, catch_up, ..standing.policy },
            connections: 1,
            ..standing
        }
    }

    /// Runs a job. What it is refused with is a sentence.
    pub(crate) async fn run(&self, job: Job, database: &Database) -> Result<(), String> {
        let closes = async |early, catch_up| {
            let request = self.rollover(early, catch_up);
            let done = rollover::run(database, &self.tz, &request, Arc::new(|_| {})).await;
            done.map(drop).map_err(|error| error.to_string())
        };
        match job {
            Job::Rollover => closes(Early::No, CatchUp::Replay).await,
            Job::Early => closes(Early::KeepEnd, CatchUp::Replay).await,
            Job::ReAnchor => closes(Early::Restart { tier: None }, CatchUp::Replay).await,
            Job::Collapse => closes(Early::No, CatchUp::Collapse).await,
            Job::Sync => {
                let done = sync::count(database, &self.sync(), Arc::new(|_| {})).await;
                done.map(drop).map_err(|error| error.to_string())
            }
            Job::Audit => {
                let done = sync::audit(database, &self.sync(), Arc::new(|_| {})).await;
                done.map(drop).map_err(|error| error.to_string())
            }
            Job::Alerts => {
                let done = alerts::run(database, &self.alerts()).await;
                done.map(drop).map_err(|error| error.to_string())
            }
            Job::Deliver => {
                let request = deliver::Request::of(&self.config);
                let done = deliver::run(database, &self.tz, &self.mailer, &request).await;
                done.map(drop).map_err(|error| error.to_string())
            }
            Job::Retention => {
                let standing =
                    retention::Request::standing(&self.config.retention, &self.config.sync);
                let metrics_keep = "3 days".parse().expect("a span");
                let request = retention::Request { metrics_keep, ..standing };
                let done = retention::run(database, &request).await;
                done.map(drop).map_err(|error| error.to_string())
            }
            Job::Import => self.import(database).await,
            Job::Pause => {
                let asked = pause::Asked::Pause {
                    beginning: Beginning::Now,
                    until: None,
                    reason: "unpaid".to_owned(),
                };
                let now = database.now().await.map_err(|error| error.to_string())?;
                let done = pause::change(database, ACME, &asked, now).await;
                done.map(drop).map_err(|error| error.to_string())
            }
            Job::Remove => {
                let asked = self.departs(database).await?;
                let done = departures::remove(database, ACME, true, asked).await;
                done.map(drop).map_err(|error| error.to_string())
            }
            Job::Merge => {
                let asked = self.departs(database).await?;
                let done = departures::merge(database, ACME, BOLT, asked).await;
                done.map(drop).map_err(|error| match error {
                    departures::Error::Open(obstacles) => format!("first: {obstacles}"),
                    other => other.to_string(),
                })
            }
        }
    }

    async fn departs(&self, database: &Database) -> Result<departures::Asked, String> {
        let at = database.now().await.map_err(|error| error.to_string())?;
        Ok(departures::Asked { at, dry_run: false })
    }

    async fn import(&self, database: &Database) -> Result<(), String> {
        let now = database.now().await.map_err(|error| error.to_string())?;
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        writeln!(file, "org,feature,quantity,used_at,key").expect("written");
        writeln!(file, "acme,minutes_transcribed,2,{now},line").expect("written");
        let request = usage::file::Request {
            opened: usage::file::open(file.path()).expect("the file"),
            file: file.path().to_owned(),
            naming: usage::file::Naming { mapped: Vec::new(), ignores_others: false },
            takes_negative: false,
            skip_bad: false,
            dry_run: false,
            tz: self.tz.clone(),
            now,
            sync: self.sync(),
            stop: Stop::default(),
        };
        let report = usage::file::run(database, &request, Arc::new(|_| {})).await;
        let report = report.map_err(|error| error.to_string())?;
        report.faults.first().map_or(Ok(()), |fault| Err(fault.why.clone()))
    }
}
