//! Why orgs are set aside: a closed set of codes, beside the sentences for people.

/// Why an org is parked, as a code for programs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ParkedCode {
    /// A person parked it.
    ByHand,
    /// Its open period does not begin where the last closed one ended.
    Gap,
    /// More than one period is due, and `catch_up = "halt"`.
    Halted,
    /// Its cycle or an anchor is invalid.
    InvalidCycle,
    /// Its period does not end after it starts.
    InvertedPeriod,
    /// A pack of it has a negative quantity.
    NegativePack,
    /// A quantity or a date left its range.
    OutOfRange,
    /// The plan for it broke a rule: a defect of periodd.
    PlanFault,
    /// The database refused what was to be written.
    RefusedByDatabase,
    /// It was removed: only its books are kept.
    Removed,
    /// Its time zone is unknown.
    UnknownZone,
    /// What its rows come to could not be processed, for another reason than these.
    Unprocessable,
    /// A row of it holds a value that cannot be read.
    UnreadableRow,
}

impl ParkedCode {
    /// All codes.
    pub const ALL: [Self; 13] = [
        Self::ByHand,
        Self::Gap,
        Self::Halted,
        Self::InvalidCycle,
        Self::InvertedPeriod,
        Self::NegativePack,
        Self::OutOfRange,
        Self::PlanFault,
        Self::RefusedByDatabase,
        Self::Removed,
        Self::UnknownZone,
        Self::Unprocessable,
        Self::UnreadableRow,
    ];

    /// The code as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ByHand => "by_hand",
            Self::Gap => "gap",
            Self::Halted => "halted",
            Self::InvalidCycle => "invalid_cycle",
            Self::InvertedPeriod => "inverted_period",
            Self::NegativePack => "negative_pack",
            Self::OutOfRange => "out_of_range",
            Self::PlanFault => "plan_fault",
            Self::RefusedByDatabase => "refused_by_database",
            Self::Removed => "removed",
            Self::UnknownZone => "unknown_zone",
            Self::Unprocessable => "unprocessable",
            Self::UnreadableRow => "unreadable_row",
        }
    }
}
