//! Quantities in requests: exact numbers, or the same as text.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};

use crate::billing::Quantity;

/// A quantity as clients write it: `12.5` or `"12.5"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amount(pub(super) Quantity);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Whatever it is, its own text is read: no digit passes through a float.
        let value = serde_json::Value::deserialize(deserializer)?;
        let text = match &value {
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::String(text) => text.clone(),
            other => {
                return Err(D::Error::custom(format_args!(
                    "a quantity is a number or a text, not {}",
                    Kind(other)
                )));
            }
        };
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

struct Kind<'a>(&'a serde_json::Value);

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            serde_json::Value::Null => "null",
            serde_json::Value::Bool(_) => "a truth value",
            serde_json::Value::Array(_) => "a list",
            _ => "an object",
        })
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A quantity with at most 6 decimals, below 10^22.",
            "anyOf": [
                { "type": "number" },
                { "type": "string", "pattern": r"^-?\d{1,22}(\.\d{1,6})?$" }
            ]
        })
    }
}
