//! Open conversations that wait for the next email, and the pace of emails.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, sleep_until};

use super::dialogue::Dialogue;

/// How long a conversation may lie idle: shorter than any server's patience.
const IDLE: Duration = Duration::from_secs(20);
/// Emails per connection; servers often allow a hundred.
const EMAILS_PER_CONNECTION: u32 = 100;

/// Conversations that wait for another email.
///
/// Who takes one, or opens one because none waits here, holds a permit for as long, and puts it
/// back before letting go of the permit. So open connections never outnumber the permits.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Vec<Dialogue>>);

impl Waiting {
    /// The one that was used last, if the server may be expected to be there still.
    pub(super) fn take(&self) -> Option<Dialogue> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|dialogue| dialogue.used.elapsed() < IDLE);
        waiting.pop()
    }

    /// Keeps one for the next email; returns it when it has carried enough.
    pub(super) fn keep(&self, dialogue: Dialogue) -> Option<Dialogue> {
        if dialogue.sent >= EMAILS_PER_CONNECTION {
            return Some(dialogue);
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(dialogue);
        None
    }

    /// All of them, to be ended.
    pub(super) fn empty(&self) -> Vec<Dialogue> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// At most so many emails or messages per second.
pub struct Pace {
    interval: Duration,
    next: Turn<Option<Instant>>,
}

/// Timers are no finer; a wait that is shorter adds to the next one instead.
const FINEST: Duration = Duration::from_millis(1);

impl Pace {
    /// So many in a second.
    pub fn new(per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), next: Turn::new(None) }
    }

    /// Waits for the next turn.
    pub async fn turn(&self) {
        let now = Instant::now();
        let at = {
            let mut next = self.next.lock().await;
            let at = next.unwrap_or(now).max(now);
            *next = Some(at + self.interval);
            at
        };
        if at.duration_since(now) >= FINEST {
            sleep_until(at).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_at_the_pace() {
        let (pace, begin) = (Pace::new(10), Instant::now());
        for _ in 0..21 {
            pace.turn().await;
        }
        assert_eq!(begin.elapsed(), Duration::from_secs(2));
        tokio::time::sleep(Duration::from_mins(1)).await;
        let begin = Instant::now();
        pace.turn().await;
        pace.turn().await;
        assert_eq!(begin.elapsed(), Duration::from_millis(100), "idleness saves up nothing");
    }
}
