//! The real thing: the functions of the database with a clock that can be set, and the jobs.

use std::collections::HashMap;
use std::sync::Arc;

use periodd::billing::Instant;
use periodd::billing::timeline::Early;
use periodd::config::{Config, Keep};
use periodd::jobs::columns::Columns;
use periodd::jobs::{alerts, retention, rollover, sync};
use periodd::store::Database;
use periodd::tz::TzData;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use super::calendar::ZONES;
use super::operation::{Job, TIERS};
use super::reference::Org;
use crate::plainly;
use crate::proxy::{Cut, Proxy};
use crate::support::{TestDatabase, server};

/// The clock that can be set, and what plays operations and says what is held.
const SCHEMA: &str = include_str!("play.sql");

pub(super) fn org_id(org: usize) -> Uuid {
    Uuid::from_u128(0xa000 + org as u128)
}

pub(super) fn user_id(org: usize) -> Uuid {
    Uuid::from_u128(0xb_0000 + org as u128)
}

pub(super) fn pack_id(org: usize, reference: u32) -> Uuid {
    Uuid::from_u128(0xc_0000_0000 + ((org as u128) << 20) + u128::from(reference))
}

pub(super) fn instant(micros: i64) -> Instant {
    Instant::from_microseconds(micros).expect("an instant in range")
}

/// A database with the clock and the players, which others are copied from.
pub(super) async fn template() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(SCHEMA).await;
    let limits: Vec<String> = TIERS
        .iter()
        .flat_map(|(tier, limits)| {
            let limit = |units: &Option<i64>| units.map_or("null".to_owned(), |n| n.to_string());
            [("minutes_transcribed", 0), ("scrapes", 1)]
                .map(|(feature, at)| format!("('{tier}', '{feature}', {})", limit(&limits[at])))
        })
        .collect();
    test.sql(&format!(
        "delete from tier_limits; insert into tier_limits values {}",
        limits.join(", ")
    ))
    .await;
    test
}

/// A database under proof.
pub(super) struct Real {
    test: TestDatabase,
    connection: PgConnection,
    tz: TzData,
    config: Config,
}

impl Real {
    pub(super) async fn new(template: &TestDatabase, orgs: &[Option<Org>]) -> Self {
        let test = template.copy().await;
        for (number, org) in orgs.iter().enumerate() {
            let Some(org) = org else { continue };
            let (cycle, (id, user)) = (org.cycle(), (org_id(number), user_id(number)));
            test.sql(&format!(
                "insert into organizations (id, slug, name, time_zone, cycle, anchor_day,
                                            anchor_month, subscription_tier)
                 values ('{id}', 'org-{number}', 'Org', '{}', '{}', {}, {}, '{}');
                 insert into users (id, organization_id, email)
                 values ('{user}', '{id}', '{number}@example.org')",
                ZONES[cycle.zone],
                cycle.name,
                cycle.day,
                cycle.month,
                TIERS[org.tier()].0,
            ))
            .await;
        }
        let connection = test.connect().await;
        let config = Config::load(Some(&test.config()), std::iter::empty()).expect("the defaults");
        Self { test, connection, tz: TzData::newest(), config }
    }

    /// Does what is asked in one transaction. Returns how each ended.
    pub(super) async fn play(&mut self, asked: &Value) -> Vec<String> {
        sqlx::query_scalar("select * from proof_play($1)")
            .bind(asked)
            .fetch_all(&mut self.connection)
            .await
            .expect("the players answer")
    }

    /// The same over a connection that breaks: before the database hears of it, or after it has
    /// committed, and then nobody hears of that.
    pub(super) async fn play_cut(&mut self, asked: &Value, is_done: bool) {
        let directory = TempDir::new().expect("a directory");
        let greeting = {
            let proxy = Proxy::listen(directory.path(), &server(), None);
            let connection = plainly(&proxy, &self.test.name).await;
            let said = proxy.said().len();
            connection.expect("a connection").close().await.ok();
            said
        };
        let directory = TempDir::new().expect("a directory");
        let cut = if is_done { Cut::AnswerLost } else { Cut::Before };
        let proxy = Proxy::listen(directory.path(), &server(), Some((greeting, cut)));
        let mut connection = plainly(&proxy, &self.test.name).await.expect("a connection");
        let text = asked.to_string().replace('\'', "''");
        let statement = format!("select count(*) from proof_play('{text}')");
        let heard = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await;
        assert!(heard.is_err(), "the connection broke, and nobody noticed");
    }

    /// What is held of each org.
    pub(super) async fn state(&mut self, orgs: &[usize]) -> HashMap<usize, Vec<String>> {
        let ids: Vec<Uuid> = orgs.iter().map(|org| org_id(*org)).collect();
        let rows: Vec<(Uuid, Vec<String>)> = sqlx::query_as("select * from proof_state($1)")
            .bind(ids)
            .fetch_all(&mut self.connection)
            .await
            .expect("the state");
        let number = |id: Uuid| usize::try_from(id.as_u128() - 0xa000).expect("an org");
        let sorted = |(id, mut lines): (Uuid, Vec<String>)| {
            lines.sort_unstable();
            (number(id), lines)
        };
        rows.into_iter().map(sorted).collect()
    }

    /// The first invariant that does not hold. One asks in which order things were recorded, in
    /// real time, of which functions whose clock is set know nothing.
    pub(super) async fn broken_invariant(&self) -> Option<String> {
        self.test.broken_invariant(&["uncovered_only_without_packs"]).await
    }

    /// Runs a job for all orgs; with a cut, first over a connection that breaks there.
    pub(super) async fn job(&self, job: Job, now: i64, cut: Option<u32>) -> Result<(), String> {
        if let Some(cut) = cut {
            let how = [Cut::Before, Cut::AnswerLost, Cut::After][cut as usize % 3];
            let directory = TempDir::new().expect("a directory");
            let proxy = Proxy::listen(directory.path(), &server(), Some((cut as usize, how)));
            if let Ok(database) = Database::connect(&proxy.url(&self.test.name), 2).await {
                // Whatever becomes of it.
                let _ = self.run(&database, job, now).await;
                database.close().await;
            }
        }
        let done = self.run(&self.test.database, job, now).await;
        done.map_err(|error| format!("{job:?} at {}: {error}", instant(now)))
    }

    async fn run(&self, database: &Database, job: Job, now: i64) -> Result<(), String> {
        let at = Some(instant(now));
        let said = |error: &dyn std::fmt::Display| error.to_string();
        match job {
            Job::Rollover | Job::Early { .. } => {
                let standing = rollover::Request::standing(&self.config.rollover);
                let mut request = rollover::Request { connections: 1, at, ..standing };
                if let Job::Early { org } = job {
                    request.scope = rollover::Scope::Orgs(vec![org_id(org)]);
                    request.policy.early = Early::KeepEnd;
                }
                let done = rollover::run(database, &self.tz, &request, Arc::new(|_| {})).await;
                let done = done.map_err(|error| said(&error))?;
                if done.parked.is_empty() { Ok(()) } else { Err(format!("{:?}", done.parked)) }
            }
            Job::Sync | Job::Audit => {
                let columns = sync::targets(database, &self.config.sync).await;
                let columns: Columns = columns.map_err(|error| said(&error))?;
                let standing = sync::Request::standing(&self.config, columns);
                let request = sync::Request { connections: 1, at, ..standing };
                let done = if job == Job::Sync {
                    sync::count(database, &request, Arc::new(|_| {})).await
                } else {
                    sync::audit(database, &request, Arc::new(|_| {})).await
                };
                done.map(|_| ()).map_err(|error| said(&error))
            }
            Job::Alerts => {
                let request = alerts::Request { at, ..alerts::Request::of(&self.config) };
                alerts::run(database, &request).await.map(|_| ()).map_err(|error| said(&error))
            }
            Job::Retention => {
                let Config { retention, sync, .. } = &self.config;
                let standing = retention::Request::standing(retention, sync);
                // The reference forgets nothing, and compares all of it.
                let metrics_keep = Keep::Forever;
                let request = retention::Request { at, metrics_keep, ..standing };
                retention::run(database, &request).await.map(|_| ()).map_err(|error| said(&error))
            }
        }
    }
}
