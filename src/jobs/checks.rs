//! The catalogue of checks: everything that `status`, `doctor` and `explain` can find, by name.
//!
//! A test makes each of them with a fixture, does what is proposed, word for word, and asks that
//! the finding is gone (`tests/commands/proposed.rs`): it matches on [`Check`], so that a new one
//! without a fixture does not compile. The runbook (`docs/operating.md`) has a place for each.

/// Makes the catalogue from a table: each check with its name in JSON and in the runbook.
macro_rules! checks {
    ($($(#[$doc:meta])* $check:ident $name:literal;)+) => {
        /// What was looked at.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize,
            schemars::JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum Check {
            $($(#[$doc])* $check,)+
        }

        impl Check {
            /// Every check.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$check),+];

            /// Its name, which stays the same.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$check => $name,)+
                }
            }
        }
    };
}

checks! {
    /// Ended periods that are not closed.
    Overdue "overdue";
    /// Orgs without an open period.
    NoPeriod "no_period";
    /// Orgs that periodd parked.
    Parked "parked";
    /// Orgs that a person parked.
    ParkedByHand "parked_by_hand";
    /// Orgs that are paused, or will be.
    OrgPaused "org_paused";
    /// Metrics that wait to be counted.
    Uncounted "uncounted";
    /// Metrics dated after every stored end.
    DatedAhead "dated_ahead";
    /// Numbers that do not agree with the metrics that they come from.
    Drift "drift";
    /// Numbers that did not agree, and were repaired.
    DriftRepaired "drift_repaired";
    /// Emails that were given up.
    EmailsGivenUp "emails_given_up";
    /// Emails that were given up because their period was over.
    EmailsExpired "emails_expired";
    /// Emails that have waited for too long.
    EmailsLate "emails_late";
    /// Alerts without a recipient.
    NoRecipient "no_recipient";
    /// Addresses that a mail server does not know.
    DeadAddress "dead_address";
    /// Addresses that nobody can write to.
    UnusableAddress "unusable_address";
    /// Settings of emails that cannot be used.
    MailSettings "mail_settings";
    /// A mail server that does not accept the login.
    MailLogin "mail_login";
    /// A mail server that cannot be reached.
    MailServer "mail_server";
    /// A mail server that takes no emails from us.
    MailRefused "mail_refused";
    /// An endpoint of webhooks that asked for no more messages.
    WebhookOff "webhook_off";
    /// Messages to an endpoint that have waited for too long.
    WebhookLate "webhook_late";
    /// Messages to webhooks that were given up.
    WebhooksGivenUp "webhooks_given_up";
    /// Listeners of events that the database does not have as the configuration has them.
    Listeners "listeners";
    /// An HTTP server for other machines without a valid token.
    NoToken "no_token";
    /// Tokens that do not expire.
    EndlessTokens "endless_tokens";
    /// Links to unsubscribe that are missing, or lead elsewhere.
    UnsubscribeLinks "unsubscribe_links";
    /// Paused schedules.
    Paused "paused";
    /// A process that disappeared during a run.
    ReplicaVanished "replica_vanished";
    /// The last daemon has stopped or disappeared.
    DaemonStopped "daemon_stopped";
    /// A daemon that works by an older configuration than its file holds.
    ConfigOutdated "config_outdated";
    /// Schedules that are behind.
    Late "late";
    /// No daemon has ever run.
    NoDaemon "no_daemon";
    /// The last run of a job failed.
    Failed "failed";
    /// A run that takes too long.
    OverTime "over_time";
    /// A session that keeps periodd waiting.
    Blocked "blocked";
    /// A clock that is not trusted.
    ClockHeld "clock_held";
    /// Clocks that differ.
    ClockSkew "clock_skew";
    /// Schedules that are settled until later than now.
    SettledAhead "settled_ahead";
    /// Runs that ended later than now.
    RunsAhead "runs_ahead";
    /// A database that takes no writes.
    ReadOnly "read_only";
    /// Time zone data older than what the database has seen.
    StaleTz "stale_tz";
    /// Months of time zones that end too soon.
    ZoneMonths "zone_months";
    /// A derived column that nothing is written to.
    ColumnLeftOut "column_left_out";
    /// A disk that is nearly full.
    Disk "disk";
    /// A tier for ended subscriptions that does not exist.
    EndedTier "ended_tier";
    /// Features, tiers or packs of the configuration that the tables do not have.
    Catalogue "catalogue";
    /// Migrations that are not applied.
    Migrations "migrations";
    /// A schema with something in it that should not be so.
    Schema "schema";
    /// A value that cannot be read.
    Unreadable "unreadable";
    /// Constraints against such values that are not there.
    Ranges "ranges";
    /// Rights that are missing or too many.
    Rights "rights";
    /// A connection that is not encrypted.
    Tls "tls";
    /// A pooler in between.
    Pooler "pooler";
    /// Files that others may read or write.
    FileMode "file_mode";
    /// Orgs in an unknown time zone.
    Zone "zone";
    /// Copies of the time zone database that differ.
    TzCopies "tz_copies";
    /// Periods that end before they start.
    InvertedPeriod "inverted_period";
    /// Periods that end with their last moment.
    InclusiveEnd "inclusive_end";
    /// Open periods that begin elsewhere than where the last one ended.
    NotTouching "not_touching";
    /// Open periods that overlap those of earlier counters.
    Overlapping "overlapping";
    /// Open periods that have not begun.
    FuturePeriod "future_period";
    /// Closed periods that have not ended.
    ClosedAhead "closed_ahead";
    /// Packs that were written off before their time.
    ExpiredAhead "expired_ahead";
    /// Used features that nobody configured.
    Features "features";
    /// Usage before an org's first period.
    BeforeFirstPeriod "before_first_period";
    /// Orgs or users that went by half.
    Departures "departures";
    /// Following ends that do not reach far enough.
    FollowingEnds "following_ends";
    /// Closed periods that do not agree with their metrics.
    LateUsage "late_usage";
    /// Packs that do not agree with their ledger.
    Packs "packs";
    /// Another rule of the books that is violated.
    Books "books";
    /// A check that failed.
    Doctor "doctor";
    /// A cycle that cannot be.
    Cycle "cycle";
    /// A period end that is not a boundary of its calendar.
    IrregularEnd "irregular_end";
    /// Purchased units that no pack stands for.
    PurchaseWithoutPack "purchase_without_pack";
    /// A limit that is reached.
    LimitReached "limit_reached";
    /// A limit that is near.
    LimitNear "limit_near";
    /// A limit that will be reached.
    RunsOut "runs_out";
    /// A pack that has expired and holds something.
    ExpiredPack "expired_pack";
    /// A pack that is not usable yet.
    FuturePack "future_pack";
    /// Packs whose rest is claimed.
    PacksClaimed "packs_claimed";
    /// Parts of an answer that could not be read.
    LeftOut "left_out";
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_json_are_the_names_of_the_catalogue() {
        for check in Check::ALL {
            let json = serde_json::to_value(check).expect("JSON");
            assert_eq!(json, check.name());
        }
    }
}
