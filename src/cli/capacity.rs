//! `periodd capacity`: how large a database becomes, and what it runs on.

use super::output::{Cell, Output, Page, Table};
use super::{Exit, Failure, Global};
use crate::capacity::{self, Growth, Needs, Stage, Workload};
use crate::config::Keep;
use crate::locale::Locale;

const NOTES: &str = "\
Sizes are worked out from measured bytes per row (docs/growing.md); no database is read. Every org
uses every feature in every period, which is the most it can be.

Examples:
  periodd capacity --orgs 20000 --features 3 --metrics-per-day 200000
  periodd capacity --orgs 1m --features 3 --metrics-per-day 20m --keep 25mo --months 60
  periodd capacity --orgs 500 --features 5 --metrics-per-day 1m --cycle daily --format json";

/// What `periodd capacity` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Number of orgs, such as 20000, 50k or 2m
    #[arg(long, value_name = "N", value_parser = number)]
    orgs: u64,
    /// Features that an org uses in a period
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    features: u64,
    /// Usage metrics of all orgs per day, such as 200000, 500k or 20m
    #[arg(long, value_name = "N", value_parser = number)]
    metrics_per_day: u64,
    /// How long retention keeps metrics and counters
    #[arg(long, value_name = "DURATION", default_value = "25 months")]
    keep: Keep,
    /// Months of use
    #[arg(long, value_name = "N", default_value_t = 36)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_200))]
    months: u64,
    /// How often a period ends
    #[arg(long, value_name = "CYCLE", default_value = "monthly")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(CYCLES.map(|(name, _)| name)))]
    cycle: String,
    /// Users of all orgs [default: one of each org]
    #[arg(long, value_name = "N", value_parser = number)]
    users: Option<u64>,
    /// Percentage of closes with a pack bought before them
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=10_000))]
    packs_share: u64,
    /// Percentage of closes with an alert and its email before them
    #[arg(long, value_name = "PERCENT", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=10_000))]
    alerts_share: u64,
    /// Percentage of metrics with an idempotency key
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=100))]
    keys_share: u64,
    /// Usage names no users, so they have no counters
    #[arg(long)]
    without_user_counters: bool,
}

/// The cycles, with how often each ends in a year.
const CYCLES: [(&str, u64); 6] = [
    ("daily", 365),
    ("weekly", 52),
    ("monthly", 12),
    ("quarterly", 4),
    ("semiannual", 2),
    ("yearly", 1),
];

/// The largest number that is taken: more orgs than there are people.
const MOST: u64 = 1_000_000_000_000;

/// A number that may end in k, m or b.
fn number(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, times) = match lower.char_indices().next_back() {
        Some((at, 'k')) => (&lower[..at], 1_000),
        Some((at, 'm')) => (&lower[..at], 1_000_000),
        Some((at, 'b')) => (&lower[..at], 1_000_000_000),
        _ => (&lower[..], 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|digits| digits.checked_mul(times));
    number
        .filter(|number| *number <= MOST)
        .ok_or_else(|| "write a whole number up to 1000b, such as 20000, 50k or 2m".to_owned())
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let keep_days = match args.keep {
        Keep::Forever => None,
        Keep::For { months, days } => Some(u64::from(months) * 487 / 16 + u64::from(days)),
    };
    let cycle = CYCLES.iter().find(|(name, _)| *name == args.cycle);
    let workload = Workload {
        orgs: args.orgs,
        users: args.users.unwrap_or(args.orgs),
        features: args.features,
        metrics_per_day: args.metrics_per_day,
        keep_days,
        months: args.months,
        closes_per_year: cycle.map_or(12, |(_, closes)| *closes),
        packs_percent: args.packs_share,
        alerts_percent: args.alerts_share,
        keys_percent: args.keys_share,
        user_counters: !args.without_user_counters,
    };
    let needs = capacity::needs(&workload);
    global.screen().show(&Answer { months: args.months, needs })?;
    Ok(Exit::Done)
}

/// What a workload needs.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Answer {
    /// After how many months.
    months: u64,
    /// The figures.
    #[serde(flatten)]
    needs: Needs,
}

impl Output for Answer {
    fn page(&self) -> Page {
        let needs = &self.needs;
        let mut table = Table::new(["rows", "count", "bytes each", "size", "growth"]);
        for part in &needs.parts {
            table.row([
                Cell::text(part.rows),
                Cell::number(grouped(part.count)),
                Cell::number(grouped(part.bytes_each)),
                Cell::number(size(part.bytes)),
                Cell::text(match part.growth {
                    Growth::Constant => "",
                    Growth::WithOrgs => "with the orgs",
                    Growth::UntilKept => "until --keep is reached",
                    Growth::ForEver => "every month",
                }),
            ]);
        }
        let seconds = |cores: u64| needs.close_core_seconds.div_ceil(cores.max(1));
        let page = Page::new().table(table).line("");
        let page = page
            .fact("disk", format!(
                "{} after {} months; {} with pages partly empty, as after years; {} more a month",
                size(needs.bytes),
                self.months,
                size(needs.bytes_after_years),
                size(needs.bytes_per_month)
            ))
            .fact("WAL", format!(
                "{} when every org is closed once; {} right after a checkpoint",
                size(needs.wal_bytes),
                size(needs.wal_bytes_after_checkpoint)
            ))
            .fact("closes", format!(
                "{} s for all orgs at once on {}",
                grouped(seconds(needs.cores)),
                cores(needs.cores)
            ))
            .fact("peak", format!(
                "{} increments per second in the busiest second",
                grouped(needs.peak_increments_per_second)
            ))
            .fact("clients", format!(
                "{} connections of two daemons with HTTP, beside your application's",
                needs.connections
            ));
        page.fact(
            "stage",
            match needs.stage {
                Stage::PrivateCluster => "the private cluster on the daemon's machine".to_owned(),
                Stage::OneServer => format!(
                    "one PostgreSQL with {}; standbys where an outage must be short",
                    cores(needs.cores)
                ),
                Stage::SeveralServers => format!(
                    "{} PostgreSQL servers, each with a part of the orgs",
                    grouped(needs.servers)
                ),
            },
        )
    }
}

fn cores(count: u64) -> String {
    format!("{} core{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// With a comma between the thousands.
fn grouped(number: u64) -> String {
    let quantity = crate::billing::Quantity::from_millionths(i128::from(number) * 1_000_000);
    quantity.map_or_else(|_| number.to_string(), |number| Locale::of("en").number(number))
}

/// Bytes in the largest unit that leaves a whole number before the point.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while bytes / scale >= 1024 && unit + 1 < UNITS.len() {
        scale *= 1024;
        unit += 1;
    }
    let whole = bytes / scale;
    let tenth = u128::from(bytes % scale) * 10 / u128::from(scale);
    if unit == 0 || whole >= 100 {
        return format!("{whole} {}", UNITS[unit]);
    }
    format!("{whole}.{tenth} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_short() {
        assert_eq!(number("20000"), Ok(20_000));
        assert_eq!(number("50k"), Ok(50_000));
        assert_eq!(number("2M"), Ok(2_000_000));
        for refused in ["", "k", "-1", "1.5m", "2mm", "9999b", "1 k", "m2"] {
            assert!(number(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn sizes_are_said_in_units_that_fit() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(1 << 20), "1.0 MiB");
        assert_eq!(size((1 << 30) - 1), "1023 MiB");
        assert_eq!(size(u64::MAX), "15.9 EiB");
    }
}
