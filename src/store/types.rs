//! How the types of `billing` travel to PostgreSQL and back.

use jiff::ToSpan;
use jiff::civil::date;
use rust_decimal::Decimal;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef, Postgres,
};
use sqlx::{Decode, Type};

use crate::billing::{Instant, LocalDate, Quantity};

/// PostgreSQL counts from 2000-01-01T00:00:00Z.
const POSTGRESQL_EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
const TIMESTAMPTZ: PgTypeInfo = PgTypeInfo::with_oid(Oid(1184));
const TIMESTAMPTZ_ARRAY: PgTypeInfo = PgTypeInfo::with_oid(Oid(1185));
const DATE: PgTypeInfo = PgTypeInfo::with_oid(Oid(1082));
const DATE_ARRAY: PgTypeInfo = PgTypeInfo::with_oid(Oid(1182));

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
        let since_epoch = self.microseconds() - POSTGRESQL_EPOCH_MICROSECONDS;
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
                Ok(Self(date(2000, 1, 1).checked_add(days.days())?))
            }
            PgValueFormat::Text => Ok(Self(value.as_str()?.parse()?)),
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
        let decimal = decimal.map_err(|_| "a quantity is no decimal number below 10^22")?;
        Ok(Self::try_from(decimal)?)
    }
}
