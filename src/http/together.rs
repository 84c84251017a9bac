//! Questions that wait together are answered by one statement.
//!
//! A statement for each question reached 0.45 of what `pgbench` did with the same one; together
//! they reach as much as it does (docs/benchmarks.md). A question that comes alone is asked at
//! once: nobody waits for company.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::problem::{Code, Problem};
use super::turns::Turns;
use crate::store::usage::asked::{self, Question, Standing};

/// The most questions of one statement.
const MOST: usize = 64;
/// Statements at a time: while one is answered the next is asked. More of them would only be
/// smaller each, and take processors from whoever increments.
const AT_ONCE: usize = 2;

/// The answer to one question; `None`: there is no such org.
type Found = Result<Option<Standing>, Problem>;

/// Questions, and who asks them.
pub(super) struct Together {
    turns: Arc<Turns>,
    /// Statements at a time.
    most_at_once: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Question, oneshot::Sender<Found>)>,
    at_work: usize,
}

impl Together {
    pub(super) fn new(turns: Arc<Turns>, connections: u32) -> Self {
        let most_at_once = usize::try_from(connections).unwrap_or(1).min(AT_ONCE);
        Self { turns, most_at_once, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks.
    ///
    /// # Errors
    /// [`Code::Overloaded`], [`Code::Unavailable`].
    pub(super) async fn ask(self: &Arc<Self>, question: Question) -> Found {
        let (sender, answer) = oneshot::channel();
        let begins = {
            let mut state = self.state();
            state.waiting.push_back((question, sender));
            let begins = state.at_work < self.most_at_once;
            state.at_work += usize::from(begins);
            begins
        };
        if begins {
            let own = Arc::clone(self);
            tokio::spawn(async move { own.work().await });
        }
        let lost = |_| Err(Problem::new(Code::Internal, "internal error; the log says more"));
        answer.await.unwrap_or_else(lost)
    }

    /// The next questions; `None` ends this worker.
    fn next(&self) -> Option<(Vec<Question>, Vec<oneshot::Sender<Found>>)> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            state.at_work -= 1;
            return None;
        }
        let count = state.waiting.len().min(MOST);
        Some(state.waiting.drain(..count).unzip())
    }

    async fn work(&self) {
        // Whoever waits meanwhile is answered by the same statement.
        while let Some((questions, senders)) = self.next() {
            let found = self.answer(&questions).await;
            for (at, sender) in senders.into_iter().enumerate() {
                let answer = match &found {
                    Ok(standings) => Ok(standings.get(at).cloned().flatten()),
                    Err(problem) => Err(problem.clone()),
                };
                // Nobody waits any more where the client has gone.
                let _ = sender.send(answer);
            }
        }
    }

    async fn answer(&self, questions: &[Question]) -> Result<Vec<Option<Standing>>, Problem> {
        let mut turn = self.turns.take().await?;
        Ok(asked::standings(&mut turn, questions).await?)
    }
}
