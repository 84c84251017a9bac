//! What an operator decides where a database does not say it itself.

/// What was decided, by the flags of `db import`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// The zone of timestamps that name none.
    pub naive_zone: String,
    /// The column that holds the instant of use, for tables that leave it open: `TABLE.COLUMN`.
    pub used_at: Vec<ColumnName>,
    /// The cycle of orgs whose own rows do not say it.
    pub cycle: Option<String>,
    /// The table that says which org a user is in.
    pub members: Members,
    /// May the oldest membership be taken of users who are in several orgs?
    pub oldest_membership: bool,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            naive_zone: "UTC".to_owned(),
            used_at: Vec::new(),
            cycle: None,
            members: Members::Usual,
            oldest_membership: false,
        }
    }
}

/// Where it stands which org a user is in, if not in the user's own row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// In a table with one of the usual names.
    Usual,
    /// In this table.
    Table(String),
    /// Nowhere: every user pays alone.
    None,
}

impl std::str::FromStr for Members {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "none" { Self::None } else { Self::Table(text.to_owned()) })
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnName {
    pub table: String,
    pub column: String,
}

impl std::str::FromStr for ColumnName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('.') {
            Some((table, column)) if !table.is_empty() && !column.is_empty() => {
                Ok(Self { table: table.to_owned(), column: column.to_owned() })
            }
            _ => Err("write TABLE.COLUMN, such as usage_metrics.recorded_at".to_owned()),
        }
    }
}
