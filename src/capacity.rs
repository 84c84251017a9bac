//! How large a database becomes, and how many machines it needs: figures in, figures out.
//!
//! The bytes of a row are measured (`tests/commands/capacity.rs` makes a database by the program's
//! own jobs and compares; `docs/growing.md` says how). Everything else is multiplication.

/// Bytes of a migrated database without an org.
const EMPTY: u64 = 11_300_000;
/// Bytes of a row, its share of all indexes included, as the jobs leave it. Those of alerts, emails
/// and keys are estimates.
const ORG: u64 = 750;
const USER: u64 = 330;
const COUNTER: u64 = 260;
const USER_COUNTER: u64 = 280;
const METRIC: u64 = 340;
const KEY_OF_METRIC: u64 = 70;
const REMOVED_KEY: u64 = 230;
const CLOSED: u64 = 365;
const CLOSED_FEATURE: u64 = 92;
const PACK: u64 = 500;
const ENTRY: u64 = 250;
const ALERT: u64 = 420;
const EMAIL: u64 = 1_700;
/// Of a pack: granted, drawn, and drawn again or expired.
const ENTRIES_OF_A_PACK: u64 = 3;
/// How long emails and their alerts are kept: `[retention] emails_keep`.
const EMAILS_KEPT_DAYS: u64 = 90;

/// WAL of an org's close: its row, its closed period; and of each feature. The second pair is right
/// after a checkpoint, when each page is written whole.
const WAL_ORG: u64 = 1_700;
const WAL_FEATURE: u64 = 200;
const WAL_ORG_WHOLE_PAGES: u64 = 4_500;

/// Microseconds of the server's processor per close: an org, and each of its features.
const CLOSE_US: u64 = 80;
const CLOSE_FEATURE_US: u64 = 15;
/// Increments that a core serves per second, fsync on.
const INCREMENTS_PER_CORE: u64 = 1_250;
/// How far the busiest second is above the mean.
const PEAK: u64 = 10;
/// How soon the last org is to be closed after a boundary that all of them share.
const CLOSED_WITHIN_S: u64 = 60;

/// Pages that are partly empty after years of use: a third more.
const LOOSE: (u64, u64) = (4, 3);

/// The most that a stage carries: bytes, and cores for closes and for increments.
struct Bounds {
    bytes: u64,
    cores: u64,
}

const GIB: u64 = 1 << 30;
const EMBEDDED: Bounds = Bounds { bytes: 100 * GIB, cores: 2 };
const ONE_SERVER: Bounds = Bounds { bytes: 2048 * GIB, cores: 16 };

/// Connections of a daemon: `[database] max_connections`, and two for its schedules.
const OF_A_DAEMON: u64 = 10;
/// What its HTTP server has beside them: `[http] connections`.
const OF_HTTP: u64 = 4;

/// What is to be carried.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Orgs.
    pub orgs: u64,
    /// Users of all orgs.
    pub users: u64,
    /// Features that an org uses in a period.
    pub features: u64,
    /// Usage metrics of all orgs per day.
    pub metrics_per_day: u64,
    /// For how many days metrics and counters are kept; `None`: for ever.
    pub keep_days: Option<u64>,
    /// After how many months.
    pub months: u64,
    /// Closes of an org per year.
    pub closes_per_year: u64,
    /// Of 100 closes, how many have a pack bought before them.
    pub packs_percent: u64,
    /// Of 100 closes, how many have an alert with its email before them.
    pub alerts_percent: u64,
    /// Of 100 metrics, how many have an idempotency key.
    pub keys_percent: u64,
    /// Do uses name users? Each then has counters of their own.
    pub user_counters: bool,
}

/// How a part grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Growth {
    /// Not at all.
    Constant,
    /// With the number of orgs.
    WithOrgs,
    /// Until what is kept is full.
    UntilKept,
    /// For ever: books are not deleted.
    ForEver,
}

/// A kind of row.
#[derive(Clone, Copy, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Part {
    /// What the rows are.
    pub rows: &'static str,
    /// How many there are.
    pub count: u64,
    /// Bytes of each, with its share of all indexes.
    pub bytes_each: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// How it grows.
    pub growth: Growth,
}

/// Where it runs well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The private cluster on the daemon's machine.
    PrivateCluster,
    /// One PostgreSQL server, with standbys where an outage is to be short.
    OneServer,
    /// Several servers, each with a part of the orgs.
    SeveralServers,
}

/// What a workload needs.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Needs {
    /// The rows, by kind.
    pub parts: Vec<Part>,
    /// Bytes of the database, as it is written.
    pub bytes: u64,
    /// Bytes after years of use, when pages are partly empty.
    pub bytes_after_years: u64,
    /// Bytes that each further month adds once what is kept is full.
    pub bytes_per_month: u64,
    /// Bytes of WAL when every org is closed once.
    pub wal_bytes: u64,
    /// The same right after a checkpoint.
    pub wal_bytes_after_checkpoint: u64,
    /// Seconds of one core in which every org is closed once.
    pub close_core_seconds: u64,
    /// Increments in the busiest second.
    pub peak_increments_per_second: u64,
    /// Cores for that, or for closing all orgs within a minute.
    pub cores: u64,
    /// Connections of two daemons with HTTP.
    pub connections: u64,
    /// Where it runs well.
    pub stage: Stage,
    /// How many servers share the orgs.
    pub servers: u64,
}

/// Days of so many months.
const fn days(months: u64) -> u64 {
    months * 487 / 16
}

/// Hundredths of a day in a year.
const YEAR: u64 = 36_525;

/// So much, times one over the other; rounded once, and down.
fn portion(of: u64, times: u64, over: u64) -> u64 {
    let portion = u128::from(of) * u128::from(times) / u128::from(over);
    u64::try_from(portion).unwrap_or(u64::MAX)
}

/// Works a workload out.
pub fn needs(of: &Workload) -> Needs {
    let Workload { orgs, users, features, .. } = *of;
    let all_days = days(of.months);
    let per_year = of.closes_per_year;
    // What ends within what is kept is kept as a whole: from its beginning, a period earlier.
    let period_days = (YEAR + 50 * per_year) / (100 * per_year);
    let kept_days =
        of.keep_days.map_or(all_days, |kept| kept.saturating_add(period_days).min(all_days));
    let closed = orgs.saturating_mul(months_of_closes(of));
    let kept_closes = of.keep_days.map(|kept| kept.saturating_mul(100 * per_year).div_ceil(YEAR));
    // The open period has counters, too.
    let periods = kept_closes.unwrap_or(u64::MAX).min(months_of_closes(of)) + 1;
    let metrics = of.metrics_per_day.saturating_mul(kept_days);
    let gone = of.metrics_per_day.saturating_mul(all_days - kept_days);
    let share = |of: u64, percent: u64| portion(of, percent, 100);
    let packs = share(closed, of.packs_percent);
    let emailed = EMAILS_KEPT_DAYS.min(all_days);
    let alerts = portion(orgs, emailed * per_year * of.alerts_percent, YEAR);
    let user_counters =
        if of.user_counters { users.saturating_mul(features).saturating_mul(periods) } else { 0 };
    let counters = orgs.saturating_mul(features).saturating_mul(periods);
    let keyed = METRIC + KEY_OF_METRIC * of.keys_percent / 100;
    let with_usage = if of.keep_days.is_some() { Growth::UntilKept } else { Growth::ForEver };
    let parts = [
        ("an empty database", 1, EMPTY, Growth::Constant),
        ("orgs", orgs, ORG, Growth::WithOrgs),
        ("users", users, USER, Growth::WithOrgs),
        ("counters", counters, COUNTER, with_usage),
        ("counters of users", user_counters, USER_COUNTER, with_usage),
        ("metrics", metrics, keyed, with_usage),
        ("keys of removed metrics", share(gone, of.keys_percent), REMOVED_KEY, Growth::ForEver),
        ("closed periods", closed, closed_bytes(features), Growth::ForEver),
        ("packs", packs, PACK, Growth::ForEver),
        ("ledger rows", packs.saturating_mul(ENTRIES_OF_A_PACK), ENTRY, Growth::ForEver),
        ("alerts and emails", alerts, ALERT + EMAIL, Growth::UntilKept),
    ];
    let part = |(rows, count, bytes_each, growth): (&'static str, u64, u64, Growth)| Part {
        rows,
        count,
        bytes_each,
        bytes: count.saturating_mul(bytes_each),
        growth,
    };
    let parts: Vec<Part> = parts.into_iter().map(part).filter(|part| part.count > 0).collect();
    let bytes = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes));
    let bytes_after_years = bytes.saturating_mul(LOOSE.0) / LOOSE.1;
    let lasting = lasting_per_year(of).into_iter().fold(0, u64::saturating_add) / 12;
    let close_us = CLOSE_US + CLOSE_FEATURE_US * features;
    let close_core_seconds = orgs.saturating_mul(close_us).div_ceil(1_000_000);
    let peak = of.metrics_per_day.saturating_mul(PEAK).div_ceil(86_400);
    let for_closes = close_core_seconds.div_ceil(CLOSED_WITHIN_S);
    let cores = for_closes.max(peak.div_ceil(INCREMENTS_PER_CORE)).max(1);
    let fits = |bounds: &Bounds| bytes_after_years <= bounds.bytes && cores <= bounds.cores;
    let stage = match () {
        () if fits(&EMBEDDED) => Stage::PrivateCluster,
        () if fits(&ONE_SERVER) => Stage::OneServer,
        () => Stage::SeveralServers,
    };
    let by_bytes = bytes_after_years.div_ceil(ONE_SERVER.bytes);
    let servers = by_bytes.max(cores.div_ceil(ONE_SERVER.cores)).max(1);
    Needs {
        parts,
        bytes,
        bytes_after_years,
        bytes_per_month: lasting,
        wal_bytes: orgs.saturating_mul(WAL_ORG + WAL_FEATURE * features),
        wal_bytes_after_checkpoint: orgs
            .saturating_mul(WAL_ORG_WHOLE_PAGES + WAL_FEATURE * features),
        close_core_seconds,
        peak_increments_per_second: peak,
        cores,
        connections: 2 * (OF_A_DAEMON + OF_HTTP),
        stage,
        servers,
    }
}

const fn closed_bytes(features: u64) -> u64 {
    CLOSED + CLOSED_FEATURE * features
}

/// Bytes that each further year adds for ever, by kind.
fn lasting_per_year(of: &Workload) -> [u64; 5] {
    let (per_year, features) = (of.closes_per_year, of.features);
    let counters_per_year = if of.keep_days.is_none() { per_year * features } else { 0 };
    let users = if of.user_counters { of.users } else { 0 };
    // A metric that is removed leaves its key.
    let left_of_100_metrics = match of.keep_days {
        Some(_) => REMOVED_KEY * of.keys_percent,
        None => METRIC * 100 + KEY_OF_METRIC * of.keys_percent,
    };
    let pack = PACK + ENTRIES_OF_A_PACK * ENTRY;
    [
        portion(of.orgs, per_year * closed_bytes(features), 1),
        portion(of.orgs, per_year * of.packs_percent * pack, 100),
        portion(of.orgs, counters_per_year * COUNTER, 1),
        portion(users, counters_per_year * USER_COUNTER, 1),
        portion(of.metrics_per_day, YEAR * left_of_100_metrics, 100 * 100),
    ]
}

/// How often an org was closed.
const fn months_of_closes(of: &Workload) -> u64 {
    of.months.saturating_mul(of.closes_per_year) / 12
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(orgs: u64) -> Workload {
        Workload {
            orgs,
            users: orgs,
            features: 3,
            metrics_per_day: orgs.saturating_mul(10),
            keep_days: Some(760),
            months: 36,
            closes_per_year: 12,
            packs_percent: 10,
            alerts_percent: 10,
            keys_percent: 0,
            user_counters: true,
        }
    }

    fn count(needs: &Needs, rows: &str) -> u64 {
        needs.parts.iter().find(|part| part.rows == rows).map_or(0, |part| part.count)
    }

    #[test]
    fn rows_are_counted_as_they_come_to_be() {
        let needs = needs(&workload(1_000));
        assert_eq!(count(&needs, "closed periods"), 36_000);
        // Retention removes whole periods: a month more than is kept, and the open one.
        assert_eq!(count(&needs, "metrics"), 10_000 * 790);
        assert_eq!(count(&needs, "counters"), 1_000 * 3 * 26);
        assert_eq!(count(&needs, "packs"), 3_600);
        // 90 days are almost three closes.
        assert_eq!(count(&needs, "alerts and emails"), 295);
        assert_eq!(count(&needs, "keys of removed metrics"), 0);
        let sum: u64 = needs.parts.iter().map(|part| part.bytes).sum();
        assert_eq!(needs.bytes, sum);
    }

    #[test]
    fn what_is_kept_for_ever_is_kept_for_ever() {
        let keeps = needs(&Workload { keep_days: None, keys_percent: 50, ..workload(10) });
        assert_eq!(count(&keeps, "metrics"), 100 * 1_095);
        let drops = needs(&Workload { keys_percent: 50, ..workload(10) });
        assert_eq!(count(&drops, "keys of removed metrics"), 100 * (1_095 - 790) / 2);
        let daily = Workload { closes_per_year: 365, keep_days: Some(30), ..workload(10) };
        assert_eq!(count(&needs(&daily), "metrics"), 100 * 31);
        let short = Workload { closes_per_year: 12, keep_days: Some(10), ..daily };
        assert_eq!(count(&needs(&short), "counters"), 10 * 3 * 2);
    }

    #[test]
    fn a_month_adds_what_lasts_however_many_there_were() {
        let added = |months| needs(&Workload { months, keys_percent: 50, ..workload(10) });
        let (one, many) = (added(1).bytes_per_month, added(120).bytes_per_month);
        assert_eq!(one, many);
        let of_keys = 100 * REMOVED_KEY / 2 * YEAR / 1_200;
        let of_closes = 10 * (CLOSED + 3 * CLOSED_FEATURE) + PACK + 3 * ENTRY;
        assert!(one.abs_diff(of_keys + of_closes) < 2, "{one}");
    }

    #[test]
    fn more_orgs_take_more_machines_and_nothing_overflows() {
        assert_eq!(needs(&workload(1_000)).stage, Stage::PrivateCluster);
        assert_eq!(needs(&workload(100_000)).stage, Stage::OneServer);
        let huge = needs(&workload(100_000_000));
        assert_eq!(huge.stage, Stage::SeveralServers);
        assert!(huge.servers > 10);
        let endless = Workload { metrics_per_day: u64::MAX, ..workload(u64::MAX) };
        assert_eq!(needs(&endless).bytes, u64::MAX);
    }
}
