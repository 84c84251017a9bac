//! Recording what has been decided: judgement, alerts and emails, in one transaction.

use std::collections::HashSet;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::billing::notice::Kind;
use crate::billing::recipients::{Hears, Person, Role};
use crate::billing::{Instant, Period, Quantity};
use crate::store::StoreError;
use crate::store::events::{self, AlertKeys};

/// What has been decided about a counter.
#[derive(Debug, Clone)]
pub struct Judgement {
    pub org: Uuid,
    pub feature: String,
    pub period: Period,
    /// The place of the judgement before it; 0 for the first.
    pub expected_seq: i32,
    /// The generation of the limit.
    pub generation: i32,
    /// The limit; `None` is unlimited.
    pub limit: Option<Quantity>,
    /// What the counter stood at.
    pub facts: Facts,
    pub alerts: Vec<AlertRow>,
    /// The emails about the one that is notified.
    pub emails: Vec<NewEmail>,
    /// A higher limit has made what was waiting pointless.
    pub ends_wait: bool,
}

/// What a counter stood at when an alert was decided.
#[derive(Debug, Clone)]
pub struct Facts {
    pub basis: String,
    pub used: Quantity,
    /// What is included; `None` is unlimited.
    pub included: Option<Quantity>,
    /// What packs have paid for in the period.
    pub drawn: Quantity,
    pub purchased: Quantity,
}

/// One threshold that was crossed.
#[derive(Debug, Clone)]
pub struct AlertRow {
    /// The percentage.
    pub threshold: u8,
    pub state: AlertState,
    /// Was it crossed because the limit fell?
    pub limit_change: bool,
    /// Do programs hear of it?
    pub is_event: bool,
}

/// What becomes of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertState {
    /// Emails are queued.
    Notified,
    /// A higher one says it.
    Covered,
    /// There is nobody to tell.
    Waiting,
    /// Nobody is to be told: there is no transport.
    Recorded,
}

impl AlertState {
    const fn name(self) -> &'static str {
        match self {
            Self::Notified => "notified",
            Self::Covered => "covered",
            Self::Waiting => "waiting",
            Self::Recorded => "recorded",
        }
    }
}

/// An email to be queued.
#[derive(Debug, Clone)]
pub struct NewEmail {
    pub id: Uuid,
    /// The percentage that was reached.
    pub threshold: u8,
    pub recipient: String,
}

/// Whom orgs could be reached at.
pub async fn people(
    connection: &mut PgConnection,
    orgs: &[Uuid],
) -> Result<Vec<(Uuid, Person)>, StoreError> {
    let rows = sqlx::query!(
        r#"select p.org_id as "org_id!", p.email as "email!", p.is_user as "is_user!",
                  p.opted_out as "opted_out!", x.org_id is not null as "is_suppressed!",
                  p.role as "role?", p.kinds as "kinds?", p.opted_out_of as "opted_out_of?"
           from (select c.org_id, c.email, false as is_user,
                        c.opted_out_at is not null as opted_out, c.role, c.kinds, c.opted_out_of
                 from org_contacts c where c.org_id = any($1)
                 union all
                 select u.organization_id, u.email, true, false, null, null, null
                 from users u where u.organization_id = any($1)) p
           left join periodd_suppressions x
                on x.org_id = p.org_id and x.email = lower(btrim(p.email, E' \t\r\n'))
           order by p.org_id, p.email"#,
        orgs
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let contact = Role::Contact { opted_out: row.opted_out };
        let role = if row.is_user { Role::User } else { contact };
        let hears = Hears {
            role: row.role.and_then(|role| role.parse().ok()),
            kinds: row.kinds.map(|kinds| known(&kinds)),
            opted_out_of: row.opted_out_of.map(|kinds| known(&kinds)).unwrap_or_default(),
        };
        (row.org_id, Person { email: row.email, role, is_suppressed: row.is_suppressed, hears })
    });
    Ok(rows.collect())
}

/// The kinds of emails that are known by these names.
fn known(kinds: &[String]) -> Vec<Kind> {
    kinds.iter().filter_map(|kind| kind.parse().ok()).collect()
}

/// Records judgements within a transaction, and returns those that were let through, by org and
/// feature: of two passes that judge a counter at once, the first one.
pub async fn record(
    connection: &mut PgConnection,
    judgements: &[Judgement],
    now: Instant,
) -> Result<HashSet<(Uuid, String)>, StoreError> {
    let moved = move_limits(connection, judgements, now).await?;
    let of_moved =
        |judgement: &&Judgement| moved.contains(&(judgement.org, judgement.feature.clone()));
    let judgements: Vec<&Judgement> = judgements.iter().filter(of_moved).collect();
    end_waits(connection, &judgements).await?;
    write_alerts(connection, &judgements, now).await?;
    write_emails(connection, &judgements).await?;
    Ok(moved)
}

/// The compare-and-set that everything else hangs on.
async fn move_limits(
    connection: &mut PgConnection,
    judgements: &[Judgement],
    now: Instant,
) -> Result<HashSet<(Uuid, String)>, StoreError> {
    let orgs: Vec<Uuid> = judgements.iter().map(|one| one.org).collect();
    let features: Vec<&str> = judgements.iter().map(|one| one.feature.as_str()).collect();
    let starts: Vec<Instant> = judgements.iter().map(|one| one.period.start).collect();
    let ends: Vec<Instant> = judgements.iter().map(|one| one.period.end).collect();
    let generations: Vec<i32> = judgements.iter().map(|one| one.generation).collect();
    let limits: Vec<Option<Quantity>> = judgements.iter().map(|one| one.limit).collect();
    let used: Vec<Quantity> = judgements.iter().map(|one| one.facts.used).collect();
    let seqs: Vec<i32> = judgements.iter().map(|one| one.expected_seq + 1).collect();
    let moved = sqlx::query!(
        "insert into periodd_alert_limits as j
             (org_id, feature, period_start, period_end, generation, quantity, used, seq,
              judged_at)
         select m.org_id, m.feature, m.period_start, m.period_end, m.generation, m.quantity,
                m.used, m.seq, $9
         from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::int[],
                     $6::numeric[], $7::numeric[], $8::int[])
                  as m (org_id, feature, period_start, period_end, generation, quantity, used,
                        seq)
         order by m.org_id, m.period_start, m.feature
         on conflict (org_id, period_start, feature) do update
             set generation = excluded.generation, quantity = excluded.quantity,
                 used = excluded.used, seq = excluded.seq, judged_at = excluded.judged_at,
                 period_end = excluded.period_end
             where j.seq = excluded.seq - 1
         returning org_id, feature",
        &orgs,
        &features as &[&str],
        &starts,
        &ends,
        &generations,
        &limits as &[Option<Quantity>],
        &used,
        &seqs,
        now
    );
    let moved = moved.fetch_all(connection).await?;
    Ok(moved.into_iter().map(|row| (row.org_id, row.feature)).collect())
}

/// Alerts of an earlier generation that nobody has been told of need not be told any more.
async fn end_waits(
    connection: &mut PgConnection,
    judgements: &[&Judgement],
) -> Result<(), StoreError> {
    let ended: Vec<&&Judgement> = judgements.iter().filter(|one| one.ends_wait).collect();
    if ended.is_empty() {
        return Ok(());
    }
    let orgs: Vec<Uuid> = ended.iter().map(|one| one.org).collect();
    let features: Vec<&str> = ended.iter().map(|one| one.feature.as_str()).collect();
    let starts: Vec<Instant> = ended.iter().map(|one| one.period.start).collect();
    let generations: Vec<i32> = ended.iter().map(|one| one.generation).collect();
    let written = sqlx::query!(
        "update periodd_alerts a set state = 'covered'
         from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::int[])
                  as m (org_id, feature, period_start, generation)
         where a.org_id = m.org_id and a.period_start = m.period_start
           and a.feature = m.feature and a.generation < m.generation and a.state = 'waiting'",
        &orgs,
        &features as &[&str],
        &starts,
        &generations
    );
    written.execute(connection).await?;
    Ok(())
}

/// One row per threshold; one that has been waiting moves on.
async fn write_alerts(
    connection: &mut PgConnection,
    judgements: &[&Judgement],
    now: Instant,
) -> Result<(), StoreError> {
    let rows: Vec<(&Judgement, &AlertRow)> =
        judgements.iter().flat_map(|one| one.alerts.iter().map(move |row| (*one, row))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let orgs: Vec<Uuid> = rows.iter().map(|(one, _)| one.org).collect();
    let features: Vec<&str> = rows.iter().map(|(one, _)| one.feature.as_str()).collect();
    let starts: Vec<Instant> = rows.iter().map(|(one, _)| one.period.start).collect();
    let ends: Vec<Instant> = rows.iter().map(|(one, _)| one.period.end).collect();
    let generations: Vec<i32> = rows.iter().map(|(one, _)| one.generation).collect();
    let thresholds: Vec<i16> = rows.iter().map(|(_, row)| i16::from(row.threshold)).collect();
    let states: Vec<&str> = rows.iter().map(|(_, row)| row.state.name()).collect();
    let changes: Vec<bool> = rows.iter().map(|(_, row)| row.limit_change).collect();
    let bases: Vec<&str> = rows.iter().map(|(one, _)| one.facts.basis.as_str()).collect();
    let used: Vec<Quantity> = rows.iter().map(|(one, _)| one.facts.used).collect();
    let included: Vec<Option<Quantity>> = rows.iter().map(|(one, _)| one.facts.included).collect();
    let drawn: Vec<Quantity> = rows.iter().map(|(one, _)| one.facts.drawn).collect();
    let purchased: Vec<Quantity> = rows.iter().map(|(one, _)| one.facts.purchased).collect();
    let written = sqlx::query!(
        "insert into periodd_alerts as a
             (org_id, feature, period_start, period_end, generation, threshold, state,
              limit_change, basis, used, included, drawn, purchased, decided_at)
         select m.*, $14
         from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::int[],
                     $6::smallint[], $7::text[], $8::boolean[], $9::text[], $10::numeric[],
                     $11::numeric[], $12::numeric[], $13::numeric[]) as m
         on conflict (org_id, period_start, feature, generation, threshold) do update
             set state = excluded.state, used = excluded.used, included = excluded.included,
                 drawn = excluded.drawn, purchased = excluded.purchased,
                 decided_at = excluded.decided_at
             where a.state = 'waiting'",
        &orgs,
        &features as &[&str],
        &starts,
        &ends,
        &generations,
        &thresholds,
        &states as &[&str],
        &changes,
        &bases as &[&str],
        &used,
        &included as &[Option<Quantity>],
        &drawn,
        &purchased,
        now
    );
    written.execute(&mut *connection).await?;
    enter_events(connection, &rows).await
}

/// Programs hear of a threshold once, whether there is somebody to tell or not.
async fn enter_events(
    connection: &mut PgConnection,
    rows: &[(&Judgement, &AlertRow)],
) -> Result<(), StoreError> {
    let rows: Vec<_> = rows.iter().filter(|(_, row)| row.is_event).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let orgs: Vec<Uuid> = rows.iter().map(|(one, _)| one.org).collect();
    let features: Vec<&str> = rows.iter().map(|(one, _)| one.feature.as_str()).collect();
    let starts: Vec<Instant> = rows.iter().map(|(one, _)| one.period.start).collect();
    let generations: Vec<i32> = rows.iter().map(|(one, _)| one.generation).collect();
    let thresholds: Vec<i16> = rows.iter().map(|(_, row)| i16::from(row.threshold)).collect();
    let keys = AlertKeys {
        orgs: &orgs,
        starts: &starts,
        features: &features,
        generations: &generations,
        thresholds: &thresholds,
    };
    events::enter_alerts(connection, &keys).await
}

/// What a mail server is to be told of, once all this is committed.
async fn write_emails(
    connection: &mut PgConnection,
    judgements: &[&Judgement],
) -> Result<(), StoreError> {
    let rows: Vec<(&Judgement, &NewEmail)> =
        judgements.iter().flat_map(|one| one.emails.iter().map(move |row| (*one, row))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let orgs: Vec<Uuid> = rows.iter().map(|(one, _)| one.org).collect();
    let ids: Vec<Uuid> = rows.iter().map(|(_, email)| email.id).collect();
    let features: Vec<&str> = rows.iter().map(|(one, _)| one.feature.as_str()).collect();
    let starts: Vec<Instant> = rows.iter().map(|(one, _)| one.period.start).collect();
    let ends: Vec<Instant> = rows.iter().map(|(one, _)| one.period.end).collect();
    let generations: Vec<i32> = rows.iter().map(|(one, _)| one.generation).collect();
    let thresholds: Vec<i16> = rows.iter().map(|(_, email)| i16::from(email.threshold)).collect();
    let recipients: Vec<&str> = rows.iter().map(|(_, email)| email.recipient.as_str()).collect();
    let written = sqlx::query!(
        "insert into periodd_outbox
             (org_id, id, feature, period_start, period_end, generation, threshold, recipient)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[],
                              $5::timestamptz[], $6::int[], $7::smallint[], $8::text[])
         on conflict (org_id, period_start, feature, generation, threshold, recipient) do nothing",
        &orgs,
        &ids,
        &features as &[&str],
        &starts,
        &ends,
        &generations,
        &thresholds,
        &recipients as &[&str]
    );
    written.execute(connection).await?;
    Ok(())
}
