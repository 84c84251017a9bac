//! Setting what one org is granted instead of what its tier includes, and what its users are warned
//! by.

use uuid::Uuid;

use crate::billing::quota::Included;
use crate::billing::{Instant, Quantity};
use crate::store::orgs::overrides;
use crate::store::orgs::user_limits::{self, Member};
use crate::store::rollover::{claim, snapshot};
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

/// What is to be changed of a user's own limits.
#[derive(Debug, Clone)]
pub struct OfUser {
    pub member: Member,
    /// By feature.
    pub set: Vec<(String, Quantity)>,
    pub removed: Vec<String>,
}

/// Sets and removes limits of a user: all of them, or none.
///
/// # Errors
/// [`StoreError::Invalid`] for an unknown feature or one that is a level, for a limit that there is
/// not, and for a user who has gone.
pub async fn change_of_user(database: &Database, change: &OfUser) -> Result<(), StoreError> {
    let OfUser { member, set, removed } = change;
    for (feature, _) in set {
        limits::require_feature(database, feature).await?;
    }
    let mut connection = database.connection().await?;
    let levels = snapshot::levels(&mut connection).await?;
    if let Some((level, _)) = set.iter().find(|(feature, _)| levels.contains(feature.as_str())) {
        let why = format!("the feature {level} is a level: levels are the org's, and no user's");
        return Err(StoreError::Invalid(why));
    }
    let mut transaction = crate::store::begin(&mut connection).await?;
    // An erasure of the user holds the org, too: what it is to remove is written before it or not.
    claim::lock(&mut transaction, member.org).await?;
    let gone = user_limits::remove(&mut transaction, *member, removed).await?;
    if let Some(unknown) = removed.iter().find(|feature| !gone.contains(feature)) {
        let why =
            format!("the user has no limit of their own for `{unknown}`; nothing was changed");
        return Err(StoreError::Invalid(why));
    }
    if user_limits::set(&mut transaction, *member, set).await? < set.len() {
        let why = format!("the user {} has just gone; nothing was changed", member.user);
        return Err(StoreError::Invalid(why));
    }
    Ok(transaction.commit().await?)
}
