//! The one poller that feeds all streams.
//!
//! It works only while somebody listens: each second one statement over primary keys says which
//! orgs have moved, and only of those the standing is read. What came through this process is read
//! at once. No LISTEN, which a pooler breaks, and nothing on the write path.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant as Tick;
use uuid::Uuid;

use super::problem::{Code, Problem};
use super::shared::Shared;
use crate::store::tokens;
use crate::store::usage::asked::{self, Question};
use crate::store::usage::watched;

/// Between two looks at everybody who is listened to …
const EVERY: Duration = Duration::from_secs(1);
/// … or so many times what a look takes, if that is longer: the database has other work.
const TIMES: u32 = 10;
const SLOWEST: Duration = Duration::from_secs(15);
/// Between two looks of any kind: what moves without end is sent, not chased.
const GAP: Duration = Duration::from_millis(100);
/// Between two looks at tokens (a revocation counts within 5 seconds), and at alerts.
const TOKENS_EVERY: Duration = Duration::from_secs(3);
const ALERTS_EVERY: Duration = Duration::from_secs(3);
/// Standings that are read by one statement.
const MOST: usize = 64;

/// When the poller looked at what is not looked at each time.
struct Looked {
    tokens: Tick,
    alerts: Tick,
}

/// Works while somebody listens. What it asks of the database runs to its end.
pub(super) async fn poll(shared: Arc<Shared>) {
    // Should it ever panic, the next that listens begins another.
    let _ends = Ends(Arc::clone(&shared));
    let mut draining = shared.draining.subscribe();
    let mut looked = Looked { tokens: Tick::now(), alerts: Tick::now() };
    let mut next = Tick::now();
    while let Some(asked) = shared.streams.asked() {
        if shared.is_draining() {
            return;
        }
        let began = Tick::now();
        let is_round = began >= next;
        let looked_at = if is_round {
            look_at_all(&shared, &asked, &mut looked).await
        } else {
            let moved = asked.iter().filter(|(_, moved)| *moved).map(|(org, _)| *org);
            read(&shared, &moved.collect::<Vec<Uuid>>()).await
        };
        if let Err(problem) = looked_at {
            shared.streams.lose_touch(problem.code != Code::Overloaded);
        }
        if is_round {
            next = began + (began.elapsed() * TIMES).clamp(EVERY, SLOWEST);
        }
        // Nothing of the database is in here, so it may be dropped.
        tokio::select! {
            () = async {
                tokio::time::sleep(GAP).await;
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = shared.streams.have_moved() => {}
                }
            } => {}
            _ended = draining.wait_for(|draining| *draining) => return,
        }
    }
}

/// Says that the poller has ended.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        // One that ends in good order has said so, and another may be at work.
        if std::thread::panicking() {
            self.0.streams.are_left();
        }
    }
}

async fn look_at_all(
    shared: &Shared,
    asked: &[(Uuid, bool)],
    looked: &mut Looked,
) -> Result<(), Problem> {
    let streams = &shared.streams;
    let orgs: Vec<Uuid> = asked.iter().map(|(org, _)| *org).collect();
    let mut turn = shared.turns.take().await?;
    let marks = watched::marks(&mut turn, &orgs).await?;
    if looked.alerts.elapsed() >= ALERTS_EVERY {
        let crossings = watched::crossings(&mut turn, &orgs).await?;
        streams.show_crossings(&orgs, crossings);
        looked.alerts = Tick::now();
    }
    if looked.tokens.elapsed() >= TOKENS_EVERY {
        let names = streams.tokens();
        let holding = tokens::readers(&mut turn, &names).await?.into_iter().collect();
        streams.hold(&names, &holding);
        looked.tokens = Tick::now();
    }
    drop(turn);
    let mut stale = streams.stale(marks, &orgs);
    let moved = asked.iter().filter(|(_, moved)| *moved).map(|(org, _)| *org);
    stale.extend(moved);
    stale.sort_unstable();
    stale.dedup();
    read(shared, &stale).await
}

/// Reads how these orgs stand, and hands it on.
async fn read(shared: &Shared, orgs: &[Uuid]) -> Result<(), Problem> {
    for page in orgs.chunks(MOST) {
        let questions: Vec<Question> =
            page.iter().map(|org| Question { org: org.to_string(), feature: None }).collect();
        // Others may have a turn in between.
        let mut turn = shared.turns.take().await?;
        let standings = asked::standings(&mut turn, &questions).await?;
        drop(turn);
        shared.streams.show(page, &standings);
    }
    Ok(())
}
