//! Hand-overs: stretches of positions by name, each of which begins where the one before it ends;
//! those that found nothing stand apart, and are as empty when they are repeated.

use sqlx::PgConnection;

use super::{Kind, Stretch};
use crate::billing::Instant;
use crate::store::db::error::StoreError;

/// Rows that were handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOver {
    pub name: String,
    pub after: i64,
    pub up_to: i64,
    /// Business time.
    pub handed_over_at: Instant,
}

impl HandOver {
    /// Its rows.
    pub fn stretch(&self) -> Stretch {
        Stretch { after: self.after, up_to: self.up_to }
    }

    /// Did it find nothing?
    pub fn is_empty(&self) -> bool {
        self.after == self.up_to
    }
}

/// The hand-over of that name; `None`: there is none yet.
pub async fn find(
    connection: &mut PgConnection,
    kind: Kind,
    name: &str,
) -> Result<Option<HandOver>, StoreError> {
    let found = sqlx::query_as!(
        HandOver,
        r#"select name as "name!", coalesce(follows, 0) as "after!", up_to as "up_to!",
                  handed_over_at as "handed_over_at!"
           from (select name, follows, up_to, handed_over_at, 1 as place
                 from periodd_hand_overs where kind = $1 and name = $2
                 union all
                 select name, up_to, up_to, handed_over_at, 2
                 from periodd_empty_hand_overs where kind = $1 and name = $2) h
           order by place limit 1"#,
        kind.name(),
        name
    );
    Ok(found.fetch_optional(connection).await?)
}

/// Hands everything up to a position over that was not handed over before, in one row: a hand-over
/// is there whole or not at all. Returns false where somebody else was first, or where there is
/// nothing to hand over: [`find`] says which.
pub async fn take(
    connection: &mut PgConnection,
    kind: Kind,
    name: &str,
    up_to: i64,
    now: Instant,
) -> Result<bool, StoreError> {
    let taken = sqlx::query!(
        "insert into periodd_hand_overs (kind, name, follows, up_to, handed_over_at)
         select $1, $2, l.last, $3, $4
         from (select max(up_to) as last from periodd_hand_overs where kind = $1) l
         where $3 > coalesce(l.last, 0)
         on conflict do nothing",
        kind.name(),
        name,
        up_to,
        now
    );
    Ok(taken.execute(connection).await?.rows_affected() == 1)
}

/// Enters a hand-over that found nothing after a position.
pub async fn take_nothing(
    connection: &mut PgConnection,
    kind: Kind,
    name: &str,
    up_to: i64,
    now: Instant,
) -> Result<(), StoreError> {
    let taken = sqlx::query!(
        "insert into periodd_empty_hand_overs (kind, name, up_to, handed_over_at)
         values ($1, $2, $3, $4) on conflict do nothing",
        kind.name(),
        name,
        up_to,
        now
    );
    taken.execute(connection).await?;
    Ok(())
}

/// The last position that was handed over.
pub async fn last(connection: &mut PgConnection, kind: Kind) -> Result<i64, StoreError> {
    let last = sqlx::query_scalar!(
        r#"select coalesce(max(up_to), 0) as "last!" from periodd_hand_overs where kind = $1"#,
        kind.name()
    );
    Ok(last.fetch_one(connection).await?)
}

/// The hand-overs of the rows of a stretch, in their order.
pub async fn of(
    connection: &mut PgConnection,
    kind: Kind,
    stretch: Stretch,
) -> Result<Vec<HandOver>, StoreError> {
    let found = sqlx::query_as!(
        HandOver,
        r#"select name, coalesce(follows, 0) as "after!", up_to, handed_over_at
           from periodd_hand_overs
           where kind = $1 and up_to > $2 and coalesce(follows, 0) < $3
           order by up_to"#,
        kind.name(),
        stretch.after,
        stretch.up_to
    );
    Ok(found.fetch_all(connection).await?)
}
