//! What the configuration in force says about the work that requests begin.

use std::sync::Arc;

use super::problem::Problem;
use super::shared::Shared;
use crate::jobs::sync;
use crate::store::audit::derived::Target;

/// How usage is counted, and an org audited.
pub(super) async fn sync_request(shared: &Shared) -> Result<sync::Request, Problem> {
    let config = (shared.around.config)();
    let columns = sync::targets(&shared.around.database, &config.sync).await;
    let columns = columns.map_err(of_sync)?;
    Ok(sync::Request::standing(&config, columns))
}

/// What a sync refuses.
pub(super) fn of_sync(error: sync::Error) -> Problem {
    use super::problem::Code;
    match error {
        sync::Error::Store(error) => error.into(),
        error @ sync::Error::Refused(_) => Problem::new(
            Code::Refused,
            format!("{error}; check usage_metrics, and if it is right, run `periodd sync --force`"),
        ),
        error @ sync::Error::Derived { .. } => {
            tracing::error!(%error, "a derived column of the configuration cannot be used");
            Problem::new(Code::Internal, "internal error; the log says more")
        }
    }
}

/// The derived columns beside those that every org has. Those that cannot be used are not shown.
pub(super) async fn shown_columns(shared: &Shared) -> Result<Arc<[Target]>, Problem> {
    let config = (shared.around.config)();
    match sync::targets_besides_defaults(&shared.around.database, &config.sync).await {
        Ok(columns) => Ok(columns.targets),
        Err(sync::Error::Derived { .. }) => Ok(Arc::from([])),
        Err(error) => Err(of_sync(error)),
    }
}
