//! An application beside what is measured.

use std::future::Future;
use std::time::Duration;

use super::figure::p99;
use super::{Figure, Goal, Series, Size};

/// How much later an application may be answered at the 99th percentile while periodd works.
pub(crate) const LATER: f64 = 2.5;

/// Uses of an application that arrive at a steady pace, whether or not earlier ones are done.
pub(crate) struct Uses {
    stop: tokio::sync::watch::Sender<bool>,
    task: tokio::task::JoinHandle<Vec<Duration>>,
}

impl Uses {
    /// 500 calls of a statement a second, over eight connections, each with a random org.
    pub(crate) async fn start(url: &str, statement: &'static str) -> Self {
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(8)
            .min_connections(8)
            .connect(url)
            .await
            .expect("the server answers");
        let orgs: Vec<uuid::Uuid> =
            sqlx::query_scalar("select id from organizations order by id limit 20000")
                .fetch_all(&pool)
                .await
                .expect("orgs");
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(2));
            let mut calls = tokio::task::JoinSet::new();
            let mut latencies = Vec::new();
            loop {
                tokio::select! {
                    tick = ticks.tick() => {
                        let (pool, org) = (pool.clone(), orgs[fastrand::usize(..orgs.len())]);
                        calls.spawn(async move {
                            let used = sqlx::query(statement).bind(org).execute(&pool).await;
                            used.expect("a use");
                            // From when it was due: a queue that builds up counts as well.
                            tick.elapsed()
                        });
                    }
                    Some(done) = calls.join_next() => latencies.push(done.expect("a use")),
                    _ = stopped.changed() => break,
                }
            }
            while let Some(done) = calls.join_next().await {
                latencies.push(done.expect("a use"));
            }
            pool.close().await;
            latencies
        });
        Self { stop, task }
    }

    /// Stops and returns the 99th percentile, in milliseconds.
    pub(crate) async fn stop(self) -> f64 {
        self.stop.send(true).expect("the uses run");
        p99(self.task.await.expect("the uses end"))
    }
}

/// Measures uses without and with some work beside them.
pub(crate) async fn measure(
    series: &mut Series,
    size: Size,
    url: &str,
    statement: &'static str,
    work: impl Future<Output = ()>,
) {
    let uses = Uses::start(url, statement).await;
    tokio::time::sleep(Duration::from_secs(size.seconds)).await;
    series.add("alone", uses.stop().await);
    let uses = Uses::start(url, statement).await;
    work.await;
    series.add("beside", uses.stop().await);
}

/// What that came to.
pub(crate) fn figure(series: &Series, work: &str) -> Figure {
    let workload = format!("500 increments/s beside {work}, 99th percentile");
    let goal = Goal::RatioAtMost(LATER);
    series.against(("without it", "alone"), &workload, "ms", "beside", goal)
}
