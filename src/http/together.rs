//! Questions that wait together are answered by one statement.
//!
//! A statement for each question reached 0.45 of what `pgbench` did with the same one; together
//! they reach more than it does (docs/benchmarks.md). A question that comes alone is asked at
//! once: nobody waits for company. There is one statement at a time: with two the increments of
//! applications waited four times as long beside a busy API, and no more was answered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::problem::{Code, Problem};
use super::turns::Turns;
use crate::store::usage::asked::{self, Question, Standing};

/// The most questions of one statement.
const MOST: usize = 64;
/// The answer to one question; `None`: there is no such org.
type Found = Result<Option<Standing>, Problem>;

/// Questions, and who asks them.
pub(super) struct Together {
    turns: Arc<Turns>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Question, oneshot::Sender<Found>)>,
    /// Somebody asks, and goes on until nobody waits.
    is_asking: bool,
}

impl Together {
    pub(super) fn new(turns: Arc<Turns>) -> Self {
        Self { turns, state: Mutex::default() }
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
            !std::mem::replace(&mut state.is_asking, true)
        };
        if begins {
            let own = Arc::clone(self);
            tokio::spawn(async move { own.work().await });
        }
        answer.await.unwrap_or_else(|_| Err(internal()))
    }

    /// The next questions; `None` ends this worker.
    fn next(&self) -> Option<(Vec<Question>, Vec<oneshot::Sender<Found>>)> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            state.is_asking = false;
            return None;
        }
        let count = state.waiting.len().min(MOST);
        Some(state.waiting.drain(..count).unzip())
    }

    async fn work(self: &Arc<Self>) {
        // Whoever waits meanwhile is answered by the same statement.
        while let Some((questions, senders)) = self.next() {
            // A task of its own: a panic would leave everybody who comes later waiting.
            let own = Arc::clone(self);
            let answered = tokio::spawn(async move { own.answer(&questions).await });
            let found = answered.await.unwrap_or_else(|_| Err(internal()));
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

fn internal() -> Problem {
    Problem::new(Code::Internal, "internal error; the log says more")
}
