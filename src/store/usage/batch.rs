//! Recording many uses at once. The rule is the database's `periodd_record_batch`, which
//! `record_usage_batch` is made of, too: this file carries values there and verdicts back.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{NewUsage, UsageColumns};
use crate::store::db::error::StoreError;

/// How a batch is meant.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The good ones are recorded where others are refused.
    pub is_partial: bool,
    /// Keys of periodd's own are allowed.
    pub is_internal: bool,
}

/// What became of a use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Recorded {
        /// It is in its counter; otherwise a sync counts it.
        is_counted: bool,
    },
    /// Recorded before, or by an earlier use of the same batch.
    Duplicate,
    Refused {
        because: Because,
        sentence: String,
    },
}

/// Why a use is refused, as far as it makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The key was used for something else.
    KeyReused,
    /// Its counter cannot hold it.
    OutOfRange,
    /// Any other reason.
    Invalid,
}

impl Because {
    fn of(code: &str) -> Self {
        match code {
            "PB004" => Self::KeyReused,
            "22003" => Self::OutOfRange,
            _ => Self::Invalid,
        }
    }
}

/// Records usage unconditionally, as [`record`](super::record) does, all of it in one transaction
/// and one round trip. One verdict for each, in their order.
///
/// # Errors
/// [`StoreError::Invalid`] for the first that is refused, unless the batch is partial; then nothing
/// is recorded.
pub async fn record(
    connection: &mut PgConnection,
    usage: &[NewUsage],
    terms: Terms,
) -> Result<Vec<Verdict>, StoreError> {
    let columns = UsageColumns::from(usage);
    let rows = sqlx::query!(
        r#"select r.outcome as "outcome!", r.is_counted as "is_counted!", r.code, r.detail
           from periodd_record_batch($1, $2, $3, $4, $5, $6, $7, $8) r order by r.event"#,
        &columns.orgs,
        &columns.features as &[&str],
        &columns.quantities,
        &columns.users as &[Option<Uuid>],
        &columns.used_at,
        &columns.keys as &[Option<&str>],
        terms.is_partial,
        terms.is_internal
    );
    let rows = rows.fetch_all(connection).await.map_err(StoreError::of_call)?;
    if rows.len() != usage.len() {
        let told = format!("{} verdicts for a batch of {}", rows.len(), usage.len());
        return Err(StoreError::Failed(told));
    }
    let verdicts = rows.into_iter().map(|row| match row.outcome.as_str() {
        "recorded" => Verdict::Recorded { is_counted: row.is_counted },
        "duplicate" => Verdict::Duplicate,
        _ => Verdict::Refused {
            because: Because::of(&row.code.unwrap_or_default()),
            sentence: row.detail.unwrap_or_default(),
        },
    });
    Ok(verdicts.collect())
}
