//! The jobs: their names, and their sections of the configuration.

use std::fmt;
use std::str::FromStr;

use crate::config::{Config, sections::Schedule};

/// Makes the jobs from a table: what each is, its name and its section `[schedule.NAME]`.
macro_rules! jobs {
    ($($(#[$doc:meta])* $job:ident $name:literal $section:ident;)+) => {
        /// What a schedule can start.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Job {
            $($(#[$doc])* $job,)+
        }

        impl Job {
            /// Every job, in the order of the configuration.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$job),+];

            /// As `[schedule.NAME]`, the ledger and the command line have it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$job => $name,)+
                }
            }

            /// Its section of the configuration.
            pub fn schedule(self, config: &Config) -> &Schedule {
                match self {
                    $(Self::$job => &config.schedule.$section,)+
                }
            }
        }
    };
}

jobs! {
    /// Closing of periods.
    Rollover "rollover" rollover;
    /// Counting of usage metrics.
    Sync "sync" sync;
    /// The look for drift.
    Audit "audit" audit;
    /// Thresholds against counters.
    Alerts "alerts" alerts;
    /// Sending of emails.
    Deliver "deliver" deliver;
    /// Deletion of what has been kept long enough.
    Retention "retention" retention;
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Job {
    type Err = UnknownJob;

    fn from_str(name: &str) -> Result<Self, UnknownJob> {
        Self::ALL.into_iter().find(|job| job.name() == name).ok_or(UnknownJob)
    }
}

/// No job has this name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no job of this name")]
pub struct UnknownJob;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_of_the_configuration_has_its_job() {
        let config = Config::load(None, std::iter::empty()).expect("the defaults");
        let sections = config.schedule.all();
        assert_eq!(Job::ALL.map(Job::name), sections.map(|(name, _)| name));
        for (job, (name, schedule)) in Job::ALL.into_iter().zip(sections) {
            assert!(std::ptr::eq(job.schedule(&config), schedule), "{name}");
        }
    }
}
