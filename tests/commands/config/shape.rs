//! The shipped file, the schema and the types say the same.

use crate::config::{load, values, with_environment, with_file, written};
use periodd::billing::Quantity;
use periodd::config::{
    Config, Keep, Source,
    sections::{CatchUp, Copied, Scope, Transport},
    values::Limit,
};
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn the_shipped_file_is_the_defaults() {
    let defaults = with_environment(&[]).unwrap();
    let (_directory, file) = written(Config::default_text());
    let shipped = load(Some(&file), &[]).unwrap();
    assert_eq!(values(&shipped), values(&defaults));
    assert!(defaults.sources().iter().all(|setting| setting.source == Source::Default));

    assert_eq!(defaults.database.url, None);
    assert_eq!(defaults.daemon.drain_timeout.0, Duration::from_secs(30));
    assert_eq!(defaults.schedule.rollover.cron.as_str(), "0 * * * * *");
    assert_eq!(defaults.schedule.audit.cron.as_str(), "0 30 3 * * *");
    assert_eq!(defaults.rollover.batch_size, 500);
    assert_eq!(defaults.rollover.catch_up, CatchUp::Replay);
    assert_eq!(defaults.rollover.max_periods_per_pass, 12);
    assert_eq!(defaults.rollover.ended_tier, "free");
    assert_eq!(defaults.alerts.thresholds.0, [80, 90, 100]);
    assert_eq!(defaults.mail.transport, Transport::Directory);
    assert_eq!(defaults.retention.metrics_keep, Keep::For { months: 25, days: 0 });
    let derived: Vec<_> = defaults
        .sync
        .derived
        .iter()
        .map(|d| (d.table.as_str(), d.column.as_str(), d.feature.as_str(), d.scope, d.quantity))
        .collect();
    let minutes = "minutes_transcribed";
    assert_eq!(
        derived,
        [
            ("organizations", "used_minutes", minutes, Scope::Org, Copied::Used),
            ("organizations", "overage_minutes", minutes, Scope::Org, Copied::PurchasedRemaining),
            ("users", "usage_this_month", "scrapes", Scope::User, Copied::Used),
        ]
    );
}

/// The shipped file with the keys that are commented out taken into force.
pub(crate) fn everything_on() -> String {
    let is_key = |line: &str| {
        let Some(text) = line.strip_prefix("# ") else { return false };
        let key = text.split(" = ").next().unwrap_or_default();
        text.starts_with("[[")
            || text.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let lines = Config::default_text().lines();
    let lines: Vec<_> = lines.map(|line| if is_key(line) { &line[2..] } else { line }).collect();
    lines.join("\n")
}

/// Tables whose keys are names that the operator chose.
const MAPS: [&str; 2] = ["limits", "uncovered_price_cents"];

/// The keys of a TOML file by their path, lists without their positions.
fn keys_of(toml: &str) -> BTreeSet<String> {
    fn collect(path: &str, value: &toml::Value, keys: &mut BTreeSet<String>) {
        match value {
            toml::Value::Table(table) if !MAPS.iter().any(|map| path.ends_with(map)) => {
                for (key, value) in table {
                    collect(format!("{path}.{key}").trim_start_matches('.'), value, keys);
                }
            }
            toml::Value::Array(items) if items.first().is_some_and(toml::Value::is_table) => {
                for item in items {
                    collect(path, item, keys);
                }
            }
            _ => {
                keys.insert(path.to_owned());
            }
        }
    }
    let mut keys = BTreeSet::new();
    collect("", &toml::Value::Table(toml.parse().unwrap()), &mut keys);
    keys
}

/// The keys of the JSON Schema, likewise.
fn keys_of_schema() -> BTreeSet<String> {
    fn collect(path: &str, schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
        let table = [schema, &schema["items"]].into_iter().find(|s| s["properties"].is_object());
        let Some(table) = table else {
            assert!(schema["description"].is_string(), "{path} has no description");
            keys.insert(path.to_owned());
            return;
        };
        assert_eq!(table["additionalProperties"], false, "{path} takes any key");
        for (key, schema) in table["properties"].as_object().unwrap() {
            collect(format!("{path}.{key}").trim_start_matches('.'), schema, keys);
        }
    }
    let mut keys = BTreeSet::new();
    collect("", &Config::json_schema(), &mut keys);
    keys
}

#[test]
fn the_shipped_file_and_the_schema_have_the_same_keys() {
    assert_eq!(keys_of(&everything_on()), keys_of_schema());
}

#[test]
fn every_key_of_the_shipped_file_is_explained() {
    let everything_on = everything_on();
    let mut section = "";
    let mut explained = BTreeSet::new();
    let mut before = "";
    for line in everything_on.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            let is_explained = before.starts_with("# ") || explained.contains(&(section, key));
            assert!(is_explained, "{section} {key} has no comment above it");
            explained.insert((section, key));
        }
        before = line;
    }
    assert!(explained.len() > 80, "only {} keys were looked at", explained.len());
}

#[test]
fn the_commented_examples_are_right_once_contradictions_are_taken_out() {
    let toml = everything_on().replace("url_file = ", "# url_file = ");
    let toml = toml.replace("secret_env = ", "# secret_env = ");
    let config = with_file(&toml, &[]).unwrap();
    assert_eq!(
        config.tiers[0].limits["minutes_transcribed"],
        Limit::Included(Quantity::units(600))
    );
    assert_eq!(config.tiers[0].limits["scrapes"], Limit::Unlimited);
    assert_eq!(config.packs[0].quantity.0, Quantity::units(300));
    assert_eq!(config.features[0].thresholds.as_ref().unwrap().0, [50, 80, 100]);
}

#[test]
fn the_schema_says_types_bounds_words_and_defaults() {
    let schema = Config::json_schema();
    let key = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
    let batch_size = key("/properties/rollover/properties/batch_size");
    assert_eq!(batch_size["type"], "integer");
    assert_eq!(batch_size["maximum"], 10_000);
    assert_eq!(batch_size["default"], 500);
    let words = &key("/properties/rollover/properties/catch_up/oneOf");
    let words: Vec<_> = words.as_array().unwrap().iter().map(|word| &word["const"]).collect();
    assert_eq!(words, ["replay", "collapse", "halt"]);
    assert_eq!(
        key("/properties/packs/items/required"),
        &serde_json::json!(["code", "feature", "quantity", "price_cents"])
    );
    assert_eq!(key("/properties/database").get("required"), None);
    assert!(!schema.to_string().contains("x-"), "our own notes are not for editors");
    assert!(!schema.to_string().contains("\"null\""), "TOML has no null");
}

/// Every whole number of the configuration fits the type that holds it.
#[test]
fn every_whole_number_has_bounds() {
    fn look(schema: &serde_json::Value) {
        if schema["type"] == "integer" {
            assert!(schema["minimum"].is_i64() && schema["maximum"].is_i64(), "{schema}");
        }
        match schema {
            serde_json::Value::Object(parts) => parts.values().for_each(look),
            serde_json::Value::Array(parts) => parts.iter().for_each(look),
            _ => {}
        }
    }
    look(&Config::json_schema());
}
