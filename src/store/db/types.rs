//! How the types of `billing` travel to PostgreSQL and back.

use std::fmt;

use jiff::Span;
use jiff::civil::date;
use rust_decimal::Decimal;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef, Postgres,
};
use sqlx::{Decode, Type};

use crate::billing::instant::OutOfRange;
use crate::billing::parking::ParkedCode;
use crate::billing::{Instant, LocalDate, Quantity, TimeOfDay};

/// PostgreSQL counts from 2000-01-01T00:00:00Z.
const POSTGRESQL_EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
const TIMESTAMPTZ: PgTypeInfo = PgTypeInfo::with_oid(Oid(1184));
const TIMESTAMPTZ_ARRAY: PgTypeInfo = PgTypeInfo::with_oid(Oid(1185));
const DATE: PgTypeInfo = PgTypeInfo::with_oid(Oid(1082));
const DATE_ARRAY: PgTypeInfo = PgTypeInfo::with_oid(Oid(1182));
const TIME: PgTypeInfo = PgTypeInfo::with_oid(Oid(1083));
const TIME_ARRAY: PgTypeInfo = PgTypeInfo::with_oid(Oid(1183));

impl Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        TIMESTAMPTZ
    }
}

impl PgHasArrayType for Instant {
    fn array_type_info() -> PgTypeInfo {
        TIMESTAMPTZ_ARRAY
    }
}

impl Encode<'_, Postgres> for Instant {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let since_epoch = match *self {
            // `-infinity`: before whatever a row holds.
            Self::MIN => i64::MIN,
            at => at.microseconds() - POSTGRESQL_EPOCH_MICROSECONDS,
        };
        buffer.extend_from_slice(&since_epoch.to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Instant {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                let since_epoch = i64::from_be_bytes(value.as_bytes()?.try_into()?);
                // `infinity` is the largest number; it leaves the calendar and is refused here.
                let microseconds = since_epoch.saturating_add(POSTGRESQL_EPOCH_MICROSECONDS);
                Ok(Self::from_microseconds(microseconds)?)
            }
            PgValueFormat::Text => Ok(value.as_str()?.parse()?),
        }
    }
}

impl Type<Postgres> for LocalDate {
    fn type_info() -> PgTypeInfo {
        DATE
    }
}

impl PgHasArrayType for LocalDate {
    fn array_type_info() -> PgTypeInfo {
        DATE_ARRAY
    }
}

impl Encode<'_, Postgres> for LocalDate {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let days = (self.0 - date(2000, 1, 1)).get_days();
        buffer.extend_from_slice(&days.to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for LocalDate {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                let days = i32::from_be_bytes(value.as_bytes()?.try_into()?);
                Ok(days_after_2000(days)?)
            }
            PgValueFormat::Text => Ok(Self(value.as_str()?.parse()?)),
        }
    }
}

/// The date that many days after 2000-01-01. `infinity` is the largest number.
fn days_after_2000(days: i32) -> Result<LocalDate, OutOfRange> {
    let span = Span::new().try_days(days).map_err(|_| OutOfRange)?;
    let date = date(2000, 1, 1).checked_add(span).map_err(|_| OutOfRange)?;
    if date.year() < 1 { Err(OutOfRange) } else { Ok(LocalDate(date)) }
}

impl Type<Postgres> for TimeOfDay {
    fn type_info() -> PgTypeInfo {
        TIME
    }
}

impl PgHasArrayType for TimeOfDay {
    fn array_type_info() -> PgTypeInfo {
        TIME_ARRAY
    }
}

impl Encode<'_, Postgres> for TimeOfDay {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&(self.seconds() * 1_000_000).to_be_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for TimeOfDay {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                // Where somebody dropped the range, what is finer than a second is cut off, and the
                // end of the day is its last second: a list of orgs is there for the others.
                let microseconds = i64::from_be_bytes(value.as_bytes()?.try_into()?);
                let seconds = (microseconds / 1_000_000).clamp(0, 86_399);
                Self::from_seconds(seconds).ok_or_else(|| "no such time of day".into())
            }
            PgValueFormat::Text => Ok(value.as_str()?.parse()?),
        }
    }
}

impl Type<Postgres> for Quantity {
    fn type_info() -> PgTypeInfo {
        Decimal::type_info()
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        Decimal::compatible(ty)
    }
}

impl PgHasArrayType for Quantity {
    fn array_type_info() -> PgTypeInfo {
        Decimal::array_type_info()
    }
}

impl Encode<'_, Postgres> for Quantity {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.decimal().encode_by_ref(buffer)
    }
}

impl Decode<'_, Postgres> for Quantity {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        // The library's own words name its type, which says nothing to whoever reads them.
        let decimal = Decimal::decode(value);
        let decimal = decimal.map_err(|_| "a quantity must be a decimal number below 10^22")?;
        Ok(Self::try_from(decimal)?)
    }
}

impl Type<Postgres> for ParkedCode {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(ty)
    }
}

impl Encode<'_, Postgres> for ParkedCode {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&str as Encode<'_, Postgres>>::encode_by_ref(&self.name(), buffer)
    }
}

impl Decode<'_, Postgres> for ParkedCode {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let name = value.as_str()?;
        Self::ALL.into_iter().find(|code| code.name() == name).ok_or_else(|| "no such code".into())
    }
}

/// A value that is shown, whatever the row holds: what cannot be read is `?`, and the rest of the
/// row and of the list is there. For lists and pages; what decides reads the value itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readable<T>(Option<T>);

impl<T> Readable<T> {
    /// The value; `None` where it cannot be read.
    pub fn value(self) -> Option<T> {
        self.0
    }

    /// Can it be read?
    pub const fn is_readable(&self) -> bool {
        self.0.is_some()
    }
}

impl<T: fmt::Display> fmt::Display for Readable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("?"),
        }
    }
}

impl<T: serde::Serialize> serde::Serialize for Readable<T> {
    /// The value, or null.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Readable<T> {
    fn inline_schema() -> bool {
        Option::<T>::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Option::<T>::json_schema(generator)
    }
}

impl<T: Type<Postgres>> Type<Postgres> for Readable<T> {
    fn type_info() -> PgTypeInfo {
        T::type_info()
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        T::compatible(ty)
    }
}

impl<'r, T: Decode<'r, Postgres>> Decode<'r, Postgres> for Readable<T> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(T::decode(value).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_outside_of_the_calendar_are_refused_and_never_panic() {
        assert_eq!(days_after_2000(0), Ok(LocalDate(date(2000, 1, 1))));
        for days in [i32::MIN, i32::MAX, 2_921_940, -730_120, 10_000_000] {
            assert_eq!(days_after_2000(days), Err(OutOfRange), "{days}");
        }
        assert_eq!(days_after_2000(2_921_939), Ok(LocalDate(date(9999, 12, 31))));
        assert_eq!(days_after_2000(-730_119), Ok(LocalDate(date(1, 1, 1))));
    }
}
