//! What the log says of a run that ended: one event, its numbers as fields of their own.

use std::time::Duration;

use super::run::Assignment;
use crate::store::schedules::Ended;

/// Says how a run ended. `None` for one that was stopped on the way and given back.
pub(super) fn ended(run: &Assignment, ended: Option<&Ended>, took: Duration) {
    let counts = ended.and_then(|ended| ended.counts.as_deref());
    let error = ended.and_then(|ended| ended.error.as_deref());
    let numbers: serde_json::Value =
        counts.and_then(|counts| serde_json::from_str(counts).ok()).unwrap_or_default();
    let number = |name: &str| numbers[name].as_u64();
    let (job, trigger, id) = (run.job.as_str(), run.trigger.name(), run.held.run);
    let (occurrence, lateness_ms) = (run.occurrence, run.lateness_ms);
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    // The level is part of an event's place in the code, so each has its own.
    macro_rules! say {
        ($level:ident, $outcome:literal, $sentence:literal) => {
            tracing::$level!(
                job,
                trigger,
                run = id,
                %occurrence,
                outcome = $outcome,
                lateness_ms,
                duration_ms,
                orgs = number("orgs"),
                periods_closed = number("periods_closed"),
                parked = number("parked"),
                counts,
                error,
                $sentence
            )
        };
    }
    match (ended, error) {
        (None, _) => say!(info, "stopped", "stopped on the way; the next process goes on"),
        (Some(_), None) => say!(info, "done", "done"),
        (Some(_), Some(_)) => say!(error, "failed", "failed"),
    }
}
