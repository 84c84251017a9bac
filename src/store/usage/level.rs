//! Setting a level. The rule is the database's `set_usage_level`, which applications call, too.

use uuid::Uuid;

use crate::billing::{Instant, Quantity};
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;

/// A level to be set.
#[derive(Debug, Clone)]
pub struct NewLevel {
    pub org: Uuid,
    pub feature: String,
    pub level: Quantity,
    pub set_at: Instant,
    /// A repeated key sets nothing.
    pub key: Option<String>,
}

/// A level as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    pub level: Quantity,
    /// By how much this call changed it.
    pub changed_by: Quantity,
    /// `None` is unlimited.
    pub effective_limit: Option<Quantity>,
}

/// Sets a level, whatever the allowance.
///
/// # Errors
/// [`StoreError::Invalid`] for an org or feature that does not exist, for a feature that is
/// metered, for an org without an open period, and for a key that set something else.
pub async fn set(database: &Database, wanted: &NewLevel) -> Result<Level, StoreError> {
    let mut connection = database.connection().await?;
    let level = sqlx::query_as!(
        Level,
        r#"select l.level as "level!", l.changed_by as "changed_by!", l.effective_limit
           from set_usage_level($1, $2, $3, $4, $5) l"#,
        wanted.org,
        wanted.feature,
        wanted.level,
        wanted.key,
        wanted.set_at
    );
    level.fetch_one(&mut *connection).await.map_err(StoreError::of_call)
}
