//! The heading of a file of usage: which column is what.

use std::fmt;
use std::str::FromStr;

use csv::StringRecord;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Org,
    Feature,
    Quantity,
    UsedAt,
    User,
    Key,
    Correction,
}

impl Column {
    pub(super) const ALL: [Self; 7] = [
        Self::Org,
        Self::Feature,
        Self::Quantity,
        Self::UsedAt,
        Self::User,
        Self::Key,
        Self::Correction,
    ];
    /// Those that no file is without.
    const REQUIRED: [Self; 4] = [Self::Org, Self::Feature, Self::Quantity, Self::UsedAt];

    const fn name(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Feature => "feature",
            Self::Quantity => "quantity",
            Self::UsedAt => "used_at",
            Self::User => "user",
            Self::Key => "key",
            Self::Correction => "correction",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A column under a name of the file's own: `org=Customer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub column: Column,
    pub name: String,
}

impl FromStr for Mapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Column::names();
        let Some((column, name)) = text.split_once('=').filter(|(_, name)| !name.is_empty()) else {
            return Err(format!("write it as COLUMN=NAME, such as org=Customer; columns: {known}"));
        };
        let found = Column::named(&plain(column));
        let column =
            found.ok_or_else(|| format!("unknown column `{column}`; known columns: {known}"))?;
        Ok(Self { column, name: name.to_owned() })
    }
}

/// How the heading of a file is to be read.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// Columns under names of the file's own.
    pub mapped: Vec<Mapping>,
    /// Columns that mean nothing here are passed over.
    pub ignores_others: bool,
}

/// Where each of [`Column::ALL`] stands in a line, and the columns that are passed over.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) of: [Option<usize>; Column::ALL.len()],
    pub(super) ignored: Vec<String>,
}

impl Naming {
    /// Finds the columns.
    ///
    /// # Errors
    /// A sentence about the heading.
    pub(super) fn places(&self, heading: &StringRecord) -> Result<Places, String> {
        let mut places = Places { of: [None; Column::ALL.len()], ignored: Vec::new() };
        for (place, name) in heading.iter().enumerate() {
            let name = name.trim().trim_start_matches('\u{feff}');
            // Cleared columns of a spreadsheet have no name.
            if name.is_empty() {
                continue;
            }
            let Some(column) = self.column(name) else {
                if self.ignores_others {
                    places.ignored.push(name.to_owned());
                    continue;
                }
                return Err(format!(
                    "unknown column `{name}`; known columns: {}; skip others with \
                     --ignore-columns, or name them with --map COLUMN={name}",
                    Column::names()
                ));
            };
            if places.of[column as usize].replace(place).is_some() {
                return Err(format!("duplicate column `{name}`"));
            }
        }
        let is_missing = |column: &Column| places.of[*column as usize].is_none();
        let mapped = self.mapped.iter().find(|mapping| is_missing(&mapping.column));
        if let Some(Mapping { column, name }) = mapped {
            return Err(format!("missing column `{name}`, which --map takes for {column}"));
        }
        match Column::REQUIRED.into_iter().find(is_missing) {
            Some(missing) => Err(format!(
                "missing column `{missing}`; a file starts with org,feature,quantity,used_at and \
                 optionally user, key and correction; other names are mapped with --map \
                 {missing}=NAME"
            )),
            None => Ok(places),
        }
    }

    fn column(&self, name: &str) -> Option<Column> {
        let name = plain(name);
        let mapped = self.mapped.iter().find(|mapping| plain(&mapping.name) == name);
        let is_mapped = |column: &Column| self.mapped.iter().any(|other| other.column == *column);
        match mapped {
            Some(mapping) => Some(mapping.column),
            None => Column::named(&name).filter(|column| !is_mapped(column)),
        }
    }
}

/// Names of columns match without regard to case and blanks around them.
fn plain(name: &str) -> String {
    name.trim().to_lowercase()
}
