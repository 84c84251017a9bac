//! What must hold after every schedule, besides the invariants of the books.

use std::collections::BTreeSet;

use sqlx::{PgConnection, Row};

use super::verbs::{Act, Adds, Job, Verb};
use super::world::{ACME, BOLT, USED};
use crate::support::{invariants, invariants_of_periods};

/// What became of a verb.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    /// What it was refused with: an SQLSTATE and a message, or a sentence.
    pub(crate) refused: Option<String>,
    /// What it answered, where it was an increment.
    pub(crate) allowed: Option<bool>,
}

impl Outcome {
    /// Minutes that it added.
    fn added(&self, verb: &Verb) -> i32 {
        match verb.adds {
            _ if self.refused.is_some() => 0,
            Adds::Allowed(minutes) if self.allowed == Some(true) => minutes,
            Adds::Nothing | Adds::Allowed(_) => 0,
            Adds::Whatever(minutes) => minutes,
        }
    }

    /// Those of them that nothing limited.
    fn unlimited(&self, verb: &Verb) -> i32 {
        if matches!(verb.adds, Adds::Whatever(_)) { self.added(verb) } else { 0 }
    }
}

/// Rows of ledgers and of what is closed: these only grow.
pub(crate) async fn ledgers(connection: &mut PgConnection) -> BTreeSet<String> {
    let rows = "select 'entry ' || to_jsonb(e)::text from overage_entries e
                union all select 'period ' || to_jsonb(b)::text from billing_periods b
                union all select 'adjustment ' || to_jsonb(a)::text from billing_adjustments a";
    let rows = sqlx::query_scalar::<_, String>(rows).fetch_all(connection).await;
    rows.expect("the ledgers").into_iter().collect()
}

/// All invariants in one statement: which is broken, and by which row.
pub(crate) fn statement() -> String {
    let one = |(name, query): (String, String)| {
        let query = query.trim_end().trim_end_matches(';').to_owned();
        format!("select '{name}' as name, to_json(q)::text as row from (\n{query}\n) q")
    };
    let all = invariants().into_iter().chain(invariants_of_periods());
    all.map(one).collect::<Vec<_>>().join("\nunion all\n")
}

/// What is wrong, now that everything is quiet. What an application inserts for an org that is gone
/// is nobody's, but for what was under way when the org went.
pub(crate) async fn wrong(
    connection: &mut PgConnection,
    statement: &str,
    before: &BTreeSet<String>,
    done: &[(Verb, Outcome)],
    is_under_way: bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let broken = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()));
    for row in broken.fetch_all(&mut *connection).await.expect("the invariants") {
        wrong.push(format!("{}: {}", row.get::<String, _>(0), row.get::<String, _>(1)));
    }
    let is = |job: Job, done: &(Verb, Outcome)| {
        matches!(done.0.act, Act::Job(other) if other == job) && done.1.refused.is_none()
    };
    let is_removed = done.iter().any(|done| is(Job::Remove, done));
    let collapses = done.iter().any(|done| is(Job::Collapse, done));
    if !is_removed {
        let after = ledgers(connection).await;
        let lost = before.difference(&after);
        wrong.extend(lost.map(|row| format!("a ledger lost or changed {row}")));
        let mut added: Vec<(&str, i32)> = Vec::new();
        for (verb, outcome) in done {
            // Under the same key it is one use, however often it is told.
            let is_repeat = verb.has_key && added.iter().any(|(name, _)| *name == verb.name);
            added.push((verb.name, if is_repeat { 0 } else { outcome.added(verb) }));
        }
        let expected = USED + added.iter().map(|(_, minutes)| minutes).sum::<i32>();
        let orphans = if is_under_way { "0" } else { ORPHANS };
        let books: Vec<String> = text(connection, &TOTAL.replace("{orphans}", orphans)).await;
        if books != [expected.to_string()] {
            wrong.push(format!("the books have {books:?} minutes, and {expected} were used"));
        }
        // Periods that are closed as one include once what increments had allowed in each.
        let unlimited = done.iter().map(|(verb, outcome)| outcome.unlimited(verb)).sum::<i32>();
        let beyond: Vec<String> = text(connection, BEYOND).await;
        let is_covered = |beyond: &String| {
            beyond.parse::<f64>().is_ok_and(|beyond| beyond <= f64::from(unlimited))
        };
        if !collapses && !beyond.iter().all(is_covered) {
            wrong.push(format!("{beyond:?} minutes are uncovered, and {unlimited} without limit"));
        }
    }
    wrong.extend(text(connection, UNPAID).await);
    let left = text(connection, LEFT_BEHIND).await;
    wrong.extend(left.into_iter().map(|what| format!("left behind: {what}")));
    wrong
}

async fn text(connection: &mut PgConnection, query: &str) -> Vec<String> {
    let query = query.replace("{acme}", &ACME.to_string()).replace("{bolt}", &BOLT.to_string());
    let rows = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(query)).fetch_all(connection);
    rows.await.expect("an answer")
}

/// Minutes in the books: closed, adjusted, and counted in what is open.
const TOTAL: &str = "
    select trim_scale(
        (select coalesce(sum(u.used), 0) from billing_period_usage u
         where u.feature = 'minutes_transcribed')
        + (select coalesce(sum(a.used), 0) from billing_adjustments a
           where a.feature = 'minutes_transcribed')
        + (select coalesce(sum(c.used), 0)
           from usage_counters c join organizations o on o.id = c.org_id
           where c.feature = 'minutes_transcribed'
             and c.period_start >= o.current_period_start)
        + {orphans})::text";

/// Minutes that were inserted for an org that is gone.
const ORPHANS: &str = "
    (select coalesce(sum(m.metric_value), 0)
     from usage_metrics m join organizations o on o.id = m.organization_id
     where o.removed_at is not null and m.counted_at is null
       and lower(m.metric_type) = 'minutes_transcribed')";

/// Minutes that nothing covers, closed or not.
const BEYOND: &str = "
    select trim_scale(
        (select coalesce(sum(u.uncovered), 0) from billing_period_usage u
         where u.feature = 'minutes_transcribed')
        + (select coalesce(sum(a.uncovered), 0) from billing_adjustments a
           where a.feature = 'minutes_transcribed')
        + (select coalesce(sum(greatest(0, l.used - l.allowance)), 0)
           from organizations o
           cross join lateral periodd_allowances(o.id, now(), 'minutes_transcribed') l
           where o.removed_at is null))::text";

/// Minutes that are uncovered although a pack that was there all along, and never expires, still
/// holds something. What it holds is known only now that everything is quiet.
const UNPAID: &str = "
    select 'uncovered ' || x.uncovered || ' while a pack holds ' || p.remaining
    from overage_packs p
    cross join lateral (
        select sum(y.uncovered) as uncovered
        from (select u.uncovered from billing_period_usage u
              where u.org_id = p.org_id and u.feature = p.feature
              union all
              select a.uncovered from billing_adjustments a
              where a.org_id = p.org_id and a.feature = p.feature) y) x
    where p.reference = 'lasts' and p.remaining > 0 and x.uncovered > 0";

/// Work that nobody is at any more, and that somebody still seems to be at; and usage that is in no
/// counter although its org has one for it.
const LEFT_BEHIND: &str = "
    select 'a transaction: ' || query from pg_stat_activity
    where datname = current_database() and state like 'idle in transaction%'
    union all
    select 'a lease on an email to ' || recipient from periodd_outbox
    where leased_until > now()
    union all
    select 'a lease on a message' from periodd_webhook_outbox where leased_until > now()
    union all
    select 'a parked org: ' || parked_reason from organizations
    where parked_at is not null and removed_at is null
    union all
    select 'an uncounted metric of ' || m.created_at
    from usage_metrics m join organizations o on o.id = m.organization_id
    where m.counted_at is null and o.removed_at is null
    union all
    select 'a due period that ended at ' || current_period_end from organizations
    where current_period_end <= now() and removed_at is null
    union all
    select 'a row of a removed org in ' || t.name
    from (select 'usage_metrics' as name, organization_id as org from usage_metrics
          union all select 'usage_counters', org_id from usage_counters
          union all select 'feature_usage', organization_id from feature_usage
          union all select 'overage_packs', org_id from overage_packs
          union all select 'users', organization_id from users
          union all select 'periodd_outbox', org_id from periodd_outbox) t
    where not exists (select from organizations o where o.id = t.org)";
