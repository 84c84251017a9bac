//! Finding the server's binaries.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::owner::{Owner, words};
use super::{ClusterError, Settings};

/// The major versions that periodd works with, the one to prefer first.
const SUPPORTED: [u32; 4] = [18, 17, 16, 15];

/// What a directory must hold to serve.
const NEEDED: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// One installation of the server.
#[derive(Debug)]
pub(super) struct Binaries {
    dir: PathBuf,
}

/// What was seen on the way, for the sentence when nothing fits.
#[derive(Default)]
struct Seen {
    versions: Vec<String>,
    unusable: Option<(PathBuf, String)>,
}

impl Binaries {
    /// The first installation that runs as `owner`: of the version `wanted` by the data directory
    /// `data`, or of any supported one.
    pub(super) fn find(
        settings: &Settings,
        owner: &Owner,
        data: &Path,
        wanted: Option<&str>,
    ) -> Result<Self, ClusterError> {
        let mut seen = Seen::default();
        for dir in installations(settings) {
            match major(&dir, owner) {
                Ok(major) if fits(&major, wanted) => return Ok(Self { dir }),
                Ok(major) => seen.versions.push(format!("PostgreSQL {major} ({})", dir.display())),
                Err(reason) => seen.unusable = seen.unusable.or(Some((dir, reason))),
            }
        }
        Err(nothing(settings, owner, data, wanted, seen))
    }

    /// The path of one of its programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn fits(major: &str, wanted: Option<&str>) -> bool {
    let supported = SUPPORTED.iter().any(|version| version.to_string() == major);
    supported && wanted.is_none_or(|wanted| wanted == major)
}

/// The sentence for what was not found.
fn nothing(
    settings: &Settings,
    owner: &Owner,
    data: &Path,
    wanted: Option<&str>,
    seen: Seen,
) -> ClusterError {
    let found = seen.versions.join(", ");
    if let (Some(wanted), false) = (wanted, found.is_empty()) {
        let (data, wanted) = (data.to_owned(), wanted.to_owned());
        return ClusterError::OtherVersion { data, wanted, found };
    }
    if !found.is_empty() {
        return ClusterError::Unsupported { found };
    }
    if let Some((dir, reason)) = seen.unusable {
        return ClusterError::Unusable { dir, user: owner.name().to_owned(), reason };
    }
    match &settings.bin_dir {
        Some(dir) => ClusterError::NoBinariesIn { dir: dir.clone() },
        None => ClusterError::NoBinaries,
    }
}

/// Directories that hold a whole server, each once, in the order of the search. A configured
/// directory is the only one: who names it does not want another.
fn installations(settings: &Settings) -> Vec<PathBuf> {
    let places = match (&settings.bin_dir, &settings.search) {
        (Some(dir), _) => vec![dir.clone()],
        (None, Some(places)) => places.clone(),
        (None, None) => usual_places(),
    };
    let mut found = Vec::new();
    for dir in places.iter().filter_map(|place| real_dir(place)) {
        if !found.contains(&dir) {
            found.push(dir);
        }
    }
    found
}

/// Links in `PATH` (`/usr/local/bin/initdb`) lead to where the siblings are.
fn real_dir(place: &Path) -> Option<PathBuf> {
    let all_in = |dir: &Path| NEEDED.iter().all(|name| dir.join(name).is_file());
    if !all_in(place) {
        return None;
    }
    let real = fs::canonicalize(place.join("postgres")).ok()?.parent()?.to_owned();
    all_in(&real).then_some(real)
}

/// The major version of `dir`'s server, by running it as the user who will.
fn major(dir: &Path, owner: &Owner) -> Result<String, String> {
    let output = owner.command(dir.join("postgres")).arg("--version").output();
    let output = output.map_err(|error| error.to_string())?;
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split(") ").nth(1).filter(|_| output.status.success());
    let version = version.ok_or_else(|| words(&output))?;
    Ok(version.chars().take_while(char::is_ascii_digit).collect())
}

/// `PATH`, then where distributions and people put servers, then where
/// `scripts/postgresql-binaries` puts what it fetches.
fn usual_places() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.retain(|place| place.is_absolute());
    let patterns = [
        "/usr/lib/postgresql/@/bin",
        "/usr/pgsql-@/bin",
        "/opt/homebrew/opt/postgresql@@/bin",
        "/usr/local/opt/postgresql@@/bin",
    ];
    for pattern in patterns {
        let (before, after) = pattern.rsplit_once('@').unwrap_or((pattern, ""));
        places.extend(SUPPORTED.map(|version| format!("{before}{version}{after}").into()));
    }
    places.push("/opt/homebrew/opt/postgresql/bin".into());
    places.push("/usr/local/pgsql/bin".into());
    places.extend(fetched());
    places.push("/usr/local/share/periodd/postgresql/bin".into());
    places
}

fn fetched() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = |home: OsString| Path::new(&home).join(".local/share");
    let share = set("XDG_DATA_HOME").map(PathBuf::from).or_else(|| set("HOME").map(home))?;
    Some(share.join("periodd/postgresql/bin"))
}
