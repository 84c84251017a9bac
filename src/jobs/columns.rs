//! The derived columns of the configuration, as the database has them: rollovers and syncs write to
//! them.

use std::sync::Arc;

use crate::store::audit::derived::Target;

/// The derived columns of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    pub targets: Arc<[Target]>,
    /// Those that nothing is written to.
    pub left_out: Vec<ColumnLeftOut>,
}

/// A derived column that nothing is written to: its table has code of a lesser role, which would
/// run with periodd's rights. Once that is gone, the next audit writes what the column missed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct ColumnLeftOut {
    /// The table and the column, as the configuration names them.
    pub column: String,
    /// The key of the configuration: `sync.derived[0].table`.
    pub key: String,
    /// Why, and what to do, in a sentence.
    pub reason: String,
}
