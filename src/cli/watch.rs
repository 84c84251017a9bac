//! `--watch`: an answer that is shown again and again, until Ctrl-C.

use std::time::Duration;

use super::output::{Format, Screen};
use super::session::Session;
use super::{Exit, Failure};

/// How often an answer is shown again.
#[derive(clap::Args, Debug, Clone, Copy)]
pub(super) struct Watch {
    /// Show it again every so many seconds until Ctrl-C [default: 2]
    #[arg(long, short = 'w', value_name = "SECONDS", num_args = 0..=1, require_equals = true,
          default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
}

impl Watch {
    /// Shows an answer once, or until Ctrl-C.
    ///
    /// # Errors
    /// Exit 2 with a format that is one document; else what showing fails with.
    pub(super) async fn repeat(
        self,
        session: &Session,
        mut show: impl AsyncFnMut(&Screen) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let Some(seconds) = self.watch else { return show(&session.screen).await };
        if session.screen.format() != Format::Table {
            return Err(Failure::usage("--watch shows tables only; repeat the command instead"));
        }
        let screen = session.screen.afresh();
        loop {
            show(&screen).await?;
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    }
}
