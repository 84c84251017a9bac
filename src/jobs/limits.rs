//! Setting what one org is granted instead of what its tier includes.

use uuid::Uuid;

use crate::billing::Instant;
use crate::billing::quota::Included;
use crate::store::orgs::overrides;
use crate::store::usage::kept;
use crate::store::usage::limits::{self, Limit};
use crate::store::{Database, StoreError, server_now};

/// What was set.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Changed {
    /// The feature.
    pub feature: String,
    /// The override before; `None`: there was none.
    #[serde(skip)]
    pub before: Option<Included>,
    /// The override since.
    #[serde(skip)]
    pub after: Option<Included>,
    /// What the org may use since.
    pub limits: Vec<Limit>,
}

impl Changed {
    /// Is it another one than before?
    pub fn is_changed(&self) -> bool {
        self.before != self.after
    }
}

/// Sets the override of an org, or removes it; with `dry_run` says what that would do.
///
/// # Errors
/// [`StoreError::Invalid`] for an unknown feature.
pub async fn set(
    database: &Database,
    org: Uuid,
    feature: &str,
    included: Option<Included>,
    dry_run: bool,
    now: Instant,
) -> Result<Changed, StoreError> {
    limits::require_feature(database, feature).await?;
    let mut connection = database.connection().await?;
    let mut transaction = crate::store::begin(&mut connection).await?;
    let before = overrides::lock(&mut transaction, org, feature).await?;
    if before != included {
        let real = server_now(&mut transaction).await?;
        kept::count_and_see(&mut transaction, org, real).await?;
        overrides::write(&mut transaction, org, feature, included).await?;
        kept::see_limits(&mut transaction, &[org]).await?;
    }
    let limits = limits::of(&mut transaction, org, Some(feature), now).await?;
    if dry_run {
        transaction.rollback().await?;
    } else {
        transaction.commit().await?;
    }
    Ok(Changed { feature: feature.to_owned(), before, after: included, limits })
}
