//! What readiness has seen of the database: asked at most once a second, whoever asks.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::turns::Turns;
use crate::store::db::migrate;
use crate::store::{Database, answers};

/// How long an answer is good for.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// What was seen last, and when.
#[derive(Default)]
pub(super) struct Seen(Mutex<Option<(Instant, Option<&'static str>)>>);

impl Seen {
    /// What is wrong with the database, in one word. Who asks meanwhile waits for the same answer.
    pub(super) async fn of_database(
        &self,
        turns: &Turns,
        database: &Database,
    ) -> Option<&'static str> {
        let mut seen = self.0.lock().await;
        match *seen {
            Some((at, word)) if at.elapsed() < GOOD_FOR => word,
            _ => {
                let word = look(turns, database).await;
                *seen = Some((Instant::now(), word));
                word
            }
        }
    }
}

async fn look(turns: &Turns, database: &Database) -> Option<&'static str> {
    let Ok(mut turn) = turns.take().await else { return Some("database") };
    if !answers(&mut turn).await {
        return Some("database");
    }
    drop(turn);
    migrate::require_current(database).await.err().map(|_| "schema")
}
