//! How values look in JSON: their part of the schemas of answers.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::instant::time_of_day::TimeOfDay;
use super::instant::{Instant, LocalDate};
use super::period::LocalTime;
use super::quantity::Quantity;
use super::quota::Included;

/// Gives kinds of values their schema, each with a sentence.
macro_rules! shapes {
    ($($kind:ident: $schema:tt;)*) => {
        $(
            impl JsonSchema for $kind {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($kind).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!($schema)
                }
            }
        )*
    };
}

shapes! {
    Instant: {
        "description": "An instant, written in UTC: 2026-05-01T22:00:00Z.",
        "type": "string",
        "format": "date-time",
    };
    LocalTime: {
        "description": "An instant on a wall clock, with its offset: 2026-05-02T00:00:00+02:00.",
        "type": "string",
        "format": "date-time",
    };
    LocalDate: {
        "description": "A calendar date without a zone.",
        "type": "string",
        "format": "date",
    };
    TimeOfDay: {
        "description": "A local time of day, to the second: 14:32:10.",
        "type": "string",
        "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$",
    };
    Quantity: {
        "description": "An exact decimal with at most six decimals. Parse it as a decimal: a \
                        float loses digits.",
        "type": "number",
    };
    Included: {
        "description": "What a tier includes, an exact decimal; null: unlimited.",
        "type": ["number", "null"],
        "minimum": 0,
    };
}
