//! The configuration as an operator meets it: files and variables in, values or sentences out.

// Helpers stand outside of test functions, where the lint does not look for its exception.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use periodd::billing::Quantity;
use periodd::config::{
    CatchUp, Config, ConfigError, Copied, Format, Keep, Limit, Scope, Source, Transport,
};
use tempfile::TempDir;

const HOME: (&str, &str) = ("HOME", "/home/me");

/// A directory with a `periodd.toml` of that content.
fn written(toml: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("periodd.toml");
    std::fs::write(&file, toml).unwrap();
    (directory, file)
}

fn load(file: Option<&Path>, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let pairs = [HOME].iter().chain(variables).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::load(file, pairs.collect::<Vec<_>>().into_iter())
}

fn with_file(toml: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let (_directory, file) = written(toml);
    load(Some(&file), variables)
}

fn with_environment(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    with_file("", variables)
}

/// What is said about a file, under the name `F`.
fn refusal(toml: impl AsRef<[u8]>) -> String {
    let (_directory, file) = written(toml);
    let error = load(Some(&file), &[]).expect_err("this must be refused");
    error.to_string().replace(file.to_str().unwrap(), "F")
}

/// Every key of the configuration with its value.
fn values(config: &Config) -> Vec<(String, Option<serde_json::Value>)> {
    config.sources().iter().map(|s| (s.key.clone(), s.value.clone())).collect()
}

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
    assert_eq!(defaults.rollover.batch_size, 1000);
    assert_eq!(defaults.rollover.catch_up, CatchUp::Replay);
    assert_eq!(defaults.rollover.max_periods_per_pass, 12);
    assert_eq!(defaults.rollover.ended_tier, "free");
    assert_eq!(defaults.alerts.thresholds.0, [80, 90, 100]);
    assert_eq!(defaults.mail.transport, Transport::Directory);
    assert_eq!(defaults.retention.metrics_keep, Keep::For { months: 25, days: 0 });
    assert!(!defaults.http.enabled);
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
fn everything_on() -> String {
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

/// The keys of a TOML file by their path, lists without their positions.
fn keys_of(toml: &str) -> BTreeSet<String> {
    fn collect(path: &str, value: &toml::Value, keys: &mut BTreeSet<String>) {
        match value {
            toml::Value::Table(table) if !path.ends_with("limits") => {
                for (key, value) in table {
                    collect(format!("{path}.{key}").trim_start_matches('.'), value, keys);
                }
            }
            toml::Value::Array(items) if items.iter().all(toml::Value::is_table) => {
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
fn the_commented_examples_are_right_once_a_contradiction_is_taken_out() {
    let toml = everything_on().replace("url_file = ", "# url_file = ");
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
    assert_eq!(batch_size["default"], 1000);
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

/// Files with one thing wrong, and what is said about each.
const REFUSED: [(&str, &str); 25] = [
    (
        "[rollover]\nbatchsize = 500\n",
        "F:2:1: `batchsize` is no key of [rollover]; did you mean `batch_size`?\n    \
             batchsize = 500\n    ^^^^^^^^^",
    ),
    (
        "[rolover]\n",
        "F:1:2: `rolover` is no section; did you mean `rollover`?\n    [rolover]\n     ^^^^^^^",
    ),
    (
        "[rollover]\ndrain_timeout = \"5s\"\n",
        "F:2:1: `drain_timeout` is no key of [rollover]; it belongs to [daemon]\n    \
             drain_timeout = \"5s\"\n    ^^^^^^^^^^^^^",
    ),
    (
        "[log]\nzzz = 1\n",
        "F:2:1: `zzz` is no key of [log]; there are level, format\n    zzz = 1\n    ^^^",
    ),
    (
        "[rollover]\nbatch_size = 80.5\n",
        "F:2:14: `batch_size` must be a whole number from 1 to 10000, not 80.5\n    \
             batch_size = 80.5\n                 ^^^^",
    ),
    (
        "[rollover]\nbatch_size = \"42\"\n",
        "F:2:14: `batch_size` must be a whole number from 1 to 10000, not the text \"42\"; \
             leave the quotes out\n    batch_size = \"42\"\n                 ^^^^",
    ),
    (
        "[rollover]\nbatch_size = 0\n",
        "F:2:14: `batch_size` must be a whole number from 1 to 10000, not 0\n    \
             batch_size = 0\n                 ^",
    ),
    (
        "[rollover]\ncatch_up = \"replai\"\n",
        "F:2:12: `catch_up` must be \"replay\", \"collapse\" or \"halt\", not the text \
             \"replai\"; did you mean `replay`?\n    \
             catch_up = \"replai\"\n               ^^^^^^^^",
    ),
    (
        "[rollover]\nended_tier = 7\n",
        "F:2:14: `ended_tier` must be text in quotes, not 7\n    \
             ended_tier = 7\n                 ^",
    ),
    (
        "[rollover]\nended_tier = \"\"\n",
        "F:2:14: `ended_tier` is empty; leave it out instead\n    \
             ended_tier = \"\"\n                 ^^",
    ),
    (
        "[schedule.sync]\nenabled = \"yes\"\n",
        "F:2:11: `enabled` must be true or false, not the text \"yes\"\n    \
             enabled = \"yes\"\n              ^^^^^",
    ),
    (
        "[schedule.sync]\ncron = \"61 * * * * *\"\n",
        "F:2:8: `61 * * * * *` is no cron line: `61` is no second; \
             write second minute hour day month weekday\n    \
             cron = \"61 * * * * *\"\n           ^^^^^^^^^^^^^^",
    ),
    (
        "[schedule.sync]\n\ttime_zone = \"Europe/Berln\"\n",
        "F:2:14: `Europe/Berln` is no time zone; did you mean Europe/Berlin?\n    \
             \ttime_zone = \"Europe/Berln\"\n    \t            ^^^^^^^^^^^^^^",
    ),
    (
        "[schedule.sync]\r\ntimeout = \"1 month\"\r\n",
        "F:2:11: `1 month` is no exact duration; write a number with its unit, such as \
             \"30s\", \"5m\" or \"72h\"\n    timeout = \"1 month\"\n              ^^^^^^^^^",
    ),
    (
        "[alerts]\nthresholds = [80, 80.5]\n",
        "F:2:19: each of `thresholds` must be a whole number from 1 to 100, not 80.5\n    \
             thresholds = [80, 80.5]\n                      ^^^^",
    ),
    (
        "[alerts]\nthresholds = [80, 90, 90]\n",
        "F:2:23: `thresholds` must rise, but 90 follows 90\n    \
             thresholds = [80, 90, 90]\n                          ^^",
    ),
    (
        "[alerts]\nthresholds = [1,2,3,4,5,6,7,8,9,10,11]\n",
        "F:2:14: `thresholds` has 11 entries; the most is 10\n    \
             thresholds = [1,2,3,4,5,6,7,8,9,10,11]\n                 ^^^^^^^^^^^^^^^^^^^^^^^^^",
    ),
    (
        "[sync]\nmax_fix_ratio = nan\n",
        "F:2:17: `max_fix_ratio` must be a number from 0 to 1, not nan\n    \
             max_fix_ratio = nan\n                    ^^^",
    ),
    (
        "[mail]\nfrom = \"billing at example.com\"\n",
        "F:2:8: `billing at example.com` is no email address; write name@example.com or \
             Some Name <name@example.com>\n    from = \"billing at example.com\"\n           \
             ^^^^^^^^^^^^^^^^^^^^^^^^",
    ),
    (
        "[mail]\nfrom = \"A\\r\\nBcc: x@y <a@b>\"\n",
        "F:2:8: `from` holds a control character or something that is not UTF-8\n    \
             from = \"A\\r\\nBcc: x@y <a@b>\"\n           ^^^^^^^^^^^^^^^^^^^^^",
    ),
    (
        "[http]\nlisten = \"localhost:80\"\n",
        "F:2:10: `localhost:80` is no address to listen on; write IP:PORT, such as \
             127.0.0.1:9464\n    listen = \"localhost:80\"\n             ^^^^^^^^^^^^^^",
    ),
    (
        "[retention]\nmetrics_keep = \"36h\"\n",
        "F:2:16: `36h` is no stretch of the calendar; write \"25 months\", \"90 days\" or \
             \"forever\"\n    metrics_keep = \"36h\"\n                   ^^^^^",
    ),
    (
        "[[packs]]\ncode = \"p\"\nfeature = \"scrapes\"\nprice_cents = 1\n",
        "F:1:1: a [[packs]] block needs the key `quantity`\n    [[packs]]\n    ^^^^^^^^^",
    ),
    (
        "[rollover\nbatch_size = 1\n",
        "F:1:10: this is not valid TOML: unclosed table, expected `]`\n    \
             [rollover\n             ^",
    ),
    (
        "[log]\nlevel = \"info\"\nlevel = \"warn\"\n",
        "F:3:1: this is not valid TOML: duplicate key\n    level = \"warn\"\n    ^^^^^",
    ),
];

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (toml, said) in REFUSED {
        assert_eq!(refusal(toml), said, "for\n{toml}");
    }
}

#[test]
fn quantities_are_exact_or_refused() {
    let tier = |limit: &str| {
        format!(
            "[[tiers]]\ncode = \"t\"\nname = \"T\"\nmonthly_price_cents = 0\n\
             limits = {{ scrapes = {limit} }}\n"
        )
    };
    let limit = |text: &str| with_file(&tier(text), &[]).map(|c| c.tiers[0].limits["scrapes"]);
    let exactly = |text: &str| Ok(Limit::Included(text.parse().unwrap()));
    assert_eq!(limit("600"), exactly("600"));
    assert_eq!(limit("\"12.000001\""), exactly("12.000001"));
    assert_eq!(limit("0"), exactly("0"));
    assert_eq!(limit("\"unlimited\""), Ok(Limit::Unlimited));
    for (text, said) in [
        ("1.5", "not 1.5; without quotes a decimal is not exact"),
        ("\"0.1234567\"", "`0.1234567` has more than 6 decimals"),
        ("-1", "`-1` is negative; a limit is 0 or more"),
        ("\"lots\"", "`lots` is no decimal number; write a quantity or \"unlimited\""),
        ("true", "must be a whole number, a decimal in quotes (\"12.5\") or \"unlimited\""),
    ] {
        let message = limit(text).unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn all_problems_are_said_at_once_in_the_order_of_the_file() {
    let toml = "x = 1\n[log]\nlevel = \"loud\"\n[mail]\ntransport = \"smtp\"\n[rollover]\n\
                batch_size = 0\n";
    let (_directory, file) = written(toml);
    let variables = [("PERIODD__LOG__COLOR", "no"), ("PERIODD__ROLLOVER__CONNECTIONS", "-1")];
    let error = load(Some(&file), &variables).unwrap_err();
    let places: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| problem.replace(file.to_str().unwrap(), "F"))
        .map(|problem| problem.split(": ").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        places,
        [
            "F:1:1",
            "F:3:9",
            "F:5:13",
            "F:5:13",
            "F:7:14",
            "environment variable PERIODD__LOG__COLOR",
            "environment variable PERIODD__ROLLOVER__CONNECTIONS",
        ]
    );
}

#[test]
fn a_syntax_error_hides_only_what_follows_from_it() {
    let said = refusal("[log]\nlevl = 1\n[mail.smtp\nhost = 3\n[mail]\ntransport = \"smtp\"\n");
    assert!(said.contains("F:2:1: `levl` is no key of [log]"), "{said}");
    assert!(said.contains("F:3:11: this is not valid TOML"), "{said}");
    assert!(!said.contains("needs `host`"), "the host was lost by the syntax error:\n{said}");
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for (toml, said) in [
        ("[mail]\ntransport = \"smtp\"\nfrom = \"a@b\"\n", "F:2:13: \"smtp\" needs `host`"),
        (
            "mail.transport = \"smtp\"\nmail.smtp.host = \"h\"\n",
            "F:1:18: \"smtp\" needs `from` in [mail]",
        ),
        (
            "[database]\nurl = \"postgres:///a\"\nurl_file = \"b\"\n",
            "F:2:7: `url` and `url_file` both name a database; remove one",
        ),
        ("[database]\nmax_connections = 2\n", "F:2:19: `connections` in [rollover] (2) must be"),
        (
            "[mail.smtp]\nhost = \"mail.example.com\"\ntls = \"none\"\nusername = \"u\"\n\
             password_file = \"p\"\n",
            "F:3:7: tls = \"none\" would send the password in the clear",
        ),
        ("[mail.smtp]\nusername = \"u\"\n", "F:2:12: `username` needs `password_file`"),
        ("[schedule.sync]\ntimeout = \"0s\"\n", "F:2:11: `timeout` must be longer than nothing"),
        (
            "[[features]]\nname = \"Calls\"\n[[features]]\nname = \"calls\"\n",
            "F:4:8: `calls` is there twice, first at F:2:8",
        ),
        (
            "[[packs]]\ncode = \"p\"\nfeature = \"scrap\"\nquantity = 1\nprice_cents = 1\n",
            "F:3:11: `scrap` is no feature; did you mean `scrapes`?",
        ),
        (
            "[[sync.derived]]\ntable = \"users\"\ncolumn = \"c\"\nkey = \"id\"\n\
             feature = \"scrapes\"\nscope = \"user\"\nquantity = \"purchased_remaining\"\n",
            "F:7:12: packs belong to orgs",
        ),
    ] {
        let message = refusal(toml);
        assert!(message.starts_with(said), "{message}\nfor\n{toml}");
    }
}

#[test]
fn limits_name_features_in_any_case_of_letters() {
    let tier = "[[tiers]]\ncode = \"t\"\nname = \"T\"\nmonthly_price_cents = 0\n";
    let named = |limits: &str| with_file(&format!("{tier}limits = {limits}\n"), &[]);
    assert!(named("{ SCRAPES = 1, \"Sms_Sent\" = 2 }").is_ok());
    let unknown = named("{ faxes = 1 }").unwrap_err().to_string();
    assert!(
        unknown.contains(":5:12: `faxes` is no feature; add a [[features]] block"),
        "{unknown}"
    );
    let twice = named("{ SCRAPES = 1, scrapes = 1 }").unwrap_err().to_string();
    assert!(twice.contains("`scrapes` and `SCRAPES` are the same feature"), "{twice}");
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let toml = "[rollover]\nbatch_size = 10\nconnections = 3\n[[features]]\nname = \"calls\"\n";
    let variables = [
        ("PERIODD__ROLLOVER__BATCH_SIZE", "42"),
        ("PERIODD__ALERTS__THRESHOLDS", "[80, 95]"),
        ("PERIODD__SCHEDULE__AUDIT__TIME_ZONE", "america/new_york"),
        ("PERIODD__SYNC__MAX_FIX_RATIO", "1"),
        ("PERIODD__HTTP__ENABLED", "true"),
        ("PERIODD__TIERS", "[{ code = \"t\", name = \"T\", monthly_price_cents = 5 }]"),
    ];
    let (_directory, file) = written(toml);
    let config = load(Some(&file), &variables).unwrap();
    assert_eq!(config.rollover.batch_size, 42);
    assert_eq!(config.rollover.connections, 3);
    assert_eq!(config.rollover.max_periods_per_pass, 12);
    assert_eq!(config.alerts.thresholds.0, [80, 95]);
    assert_eq!(config.schedule.audit.time_zone.as_str(), "America/New_York");
    assert!((config.sync.max_fix_ratio - 1.0).abs() < f64::EPSILON);
    assert!(config.http.enabled);
    assert_eq!(config.tiers[0].monthly_price_cents, 5);
    assert_eq!(config.tiers[0].currency.as_str(), "USD");
    assert_eq!(config.features.len(), 1, "a list replaces the whole list beneath it");

    let name = file.display();
    let source = |key: &str| config.source(key).to_string();
    assert_eq!(source("rollover.batch_size"), "environment variable PERIODD__ROLLOVER__BATCH_SIZE");
    assert_eq!(source("rollover.connections"), format!("{name}:3:15"));
    assert_eq!(source("rollover.max_periods_per_pass"), "default");
    assert_eq!(source("features[0].name"), format!("{name}:5:8"));
    assert_eq!(source("features[1].name"), "default");
}

#[test]
fn text_stays_the_text_it_was() {
    let from_environment = with_environment(&[("PERIODD__ROLLOVER__ENDED_TIER", "007")]).unwrap();
    assert_eq!(from_environment.rollover.ended_tier, "007");
    let from_file = with_file("[rollover]\nended_tier = \"007\"\n", &[]).unwrap();
    assert_eq!(from_file.rollover.ended_tier, "007");
    let code = "[[tiers]]\ncode = \"1e3\"\nname = \"true\"\nmonthly_price_cents = 0\n";
    let tier = with_file(code, &[]).unwrap().tiers.remove(0);
    assert_eq!((tier.code.as_str(), tier.name.as_str()), ("1e3", "true"));
}

#[test]
fn variables_are_read_as_strictly_as_the_file() {
    for (name, value, said) in [
        (
            "PERIODD__ROLOVER__BATCH_SIZE",
            "1",
            "no key has this name; did you mean `PERIODD__ROLLOVER__BATCH_SIZE`?",
        ),
        (
            "PERIODD__rollover__batch_size",
            "1",
            "no key has this name; did you mean `PERIODD__ROLLOVER__BATCH_SIZE`?",
        ),
        ("PERIODD__ROLLOVER", "1", "no key has this name"),
        (
            "PERIODD__ROLLOVER__BATCH_SIZE",
            "80.5",
            "`batch_size` must be a whole number from 1 to 10000, not 80.5",
        ),
        (
            "PERIODD__ROLLOVER__BATCH_SIZE",
            "007",
            "`batch_size` must be a whole number from 1 to 10000, not the text \"007\"",
        ),
        (
            "PERIODD__ROLLOVER__BATCH_SIZE",
            "",
            "`batch_size` must be a whole number from 1 to 10000, not the text \"\"",
        ),
        ("PERIODD__HTTP__ENABLED", "yes", "`enabled` must be true or false, not the text \"yes\""),
        (
            "PERIODD__ALERTS__THRESHOLDS",
            "80, 95",
            "`thresholds` must be a list in brackets, not the text \"80, 95\"",
        ),
        ("PERIODD__LOG__LEVEL", "INFO", "not the text \"INFO\"; did you mean `info`?"),
        ("PERIODD__LOG__LEVEL", "", "`level` is empty; leave it out instead"),
    ] {
        let message = with_environment(&[(name, value)]).unwrap_err().to_string();
        let start = format!("environment variable {name}: ");
        assert!(message.starts_with(&start) && message.contains(said), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn variables_of_others_are_none_of_our_business() {
    assert!(with_environment(&[("PERIODDX__A", "1"), ("PERIOD__B", "1")]).is_ok());
}

#[test]
fn a_password_is_taken_from_everywhere_but_the_file_and_shown_nowhere() {
    const URL: &str = "postgres://u:hunter2@db.example.com/app";
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("database-url"), format!("{URL}\n")).unwrap();
    std::fs::write(directory.path().join("smtp-password"), "hunter2\n").unwrap();
    std::fs::write(
        directory.path().join("periodd.toml"),
        "[database]\nurl_file = \"database-url\"\n[mail.smtp]\nusername = \"u\"\n\
         password_file = \"smtp-password\"\n",
    )
    .unwrap();
    let file = directory.path().join("periodd.toml");
    let credentials = [("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap())];
    let variables = [
        ("PERIODD__DATABASE__URL", URL),
        ("PERIODD__MAIL__SMTP__USERNAME", "u"),
        ("PERIODD__MAIL__SMTP__PASSWORD", "hunter2"),
    ];
    for config in [
        load(Some(&file), &[]).unwrap(),
        with_environment(&credentials).unwrap(),
        with_environment(&variables).unwrap(),
        load(Some(&file), &variables).unwrap(),
        with_environment(&[variables.as_slice(), &credentials].concat()).unwrap(),
    ] {
        let url = config.database_url().unwrap().unwrap();
        assert_eq!(url.reveal(), URL);
        assert_eq!(config.smtp_password().unwrap().unwrap().reveal(), "hunter2");
        let shown = format!(
            "{config:?} {config:#?} {url} {url:?} {} {}",
            config.show(Format::Toml),
            config.show(Format::Json)
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_password_in_the_file_is_refused_and_not_repeated() {
    let url = refusal("[database]\nurl = \"postgres://u:hunter2@h/d\"\n");
    assert_eq!(
        url,
        "F:2:7: a password does not belong into this file; put the URL into the file that \
         `url_file` names, into the systemd credential database-url or into \
         PERIODD__DATABASE__URL\n    url = \"postgres://***\n          ^^^^^^^^^^^^^^^"
    );
    for toml in [
        "[mail.smtp]\npassword = \"hunter2\"\n",
        "[mail.smtp]\npassword = [\"hunter2\"]\n",
        "[mail]\nsmtp = { host = \"h\", password = \"hunter2\" }\n",
        "[mail.smtp]\nsecret = \"hunter2\"\n",
        "[database]\npassword = \"hunter2\"\n",
        "[database]\nurl = \"postgres://h/d?sslpassword=hunter2\"\n",
        "[database]\nurl = \"postgres://u:hunter2@h/d\n",
        "[database]\nurl = \"mysql://u:hunter2@h/d\"\n",
        "[database]\nurl_file = \"postgres://u:hunter2@h/d\"\n",
        "[mail.smtp]\nhost = \"smtp://u:hunter2@h\"\n",
    ] {
        let message = refusal(toml);
        assert!(!message.contains("hunter2"), "{message}");
    }
    let variables = [
        ("PERIODD__DATABASE__URL", "mysql://u:hunter2@h"),
        ("PERIODD__DATABASE__PASSWORD", "hunter2"),
        ("PERIODD__MAIL__SMTP__PASSWORD", "hunter2\u{1b}"),
    ];
    let message = with_environment(&variables).unwrap_err();
    assert_eq!(message.problems().len(), 3, "{message}");
    assert!(!format!("{message} {message:?}").contains("hunter2"), "{message}");
}

#[test]
fn a_credential_beside_a_url_in_the_file_is_ambiguous() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("database-url"), "postgres:///a").unwrap();
    let credentials = [("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap())];
    let toml = "[database]\nurl = \"postgres:///b\"\n";
    let message = with_file(toml, &credentials).unwrap_err().to_string();
    assert!(message.contains("`url` and the systemd credential database-url both"), "{message}");
}

#[test]
fn a_secret_file_that_is_missing_or_empty_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("url");
    let config = with_environment(&[("PERIODD__DATABASE__URL_FILE", secret.to_str().unwrap())]);
    let config = config.unwrap();
    let said = || config.database_url().unwrap_err().to_string();
    let name = secret.display();
    assert!(said().starts_with(&format!("the secret in {name} cannot be read: No such file")));
    std::fs::write(&secret, "\n").unwrap();
    assert_eq!(said(), format!("{name} must hold the secret on its only line"));
    std::fs::write(&secret, "mysql://u:hunter2@h\n").unwrap();
    let expected = "a database URL begins with postgres:// or postgresql://";
    assert_eq!(said(), format!("{name}: {expected}"));
}

#[test]
fn directories_follow_the_machine_unless_they_are_set() {
    let dirs = |toml: &str, variables: &[(&str, &str)]| {
        let config = with_file(toml, variables).unwrap();
        (config.daemon.state_dir, config.daemon.socket_dir, config.mail.directory)
    };
    let paths = |a: &str, b: &str, c: &str| (a.into(), b.into(), c.into());
    assert_eq!(
        dirs("", &[("STATE_DIRECTORY", "/s:/other"), ("RUNTIME_DIRECTORY", "/r")]),
        paths("/s", "/r", "/s/mail")
    );
    assert_eq!(
        dirs("[daemon]\nstate_dir = \"/x\"\n", &[("STATE_DIRECTORY", "/s")]),
        paths("/x", "/x/run", "/x/mail")
    );
    let home = dirs("", &[]).0;
    let is_root = home == Path::new("/var/lib/periodd");
    assert!(is_root || home == Path::new("/home/me/.local/state/periodd"), "{home:?}");
}

#[test]
fn a_relative_path_starts_at_the_file_it_stands_in() {
    let (directory, file) = written("[mail]\ntemplates_dir = \"letters\"\n");
    let config = load(Some(&file), &[]).unwrap();
    assert_eq!(config.mail.templates_dir.unwrap(), directory.path().join("letters"));
}

#[test]
fn the_file_is_found_where_it_is_named() {
    let (directory, file) = written("[rollover]\nbatch_size = 7\n");
    let named = load(None, &[("PERIODD_CONFIG", file.to_str().unwrap())]).unwrap();
    assert_eq!((named.rollover.batch_size, named.file()), (7, Some(file.as_path())));

    std::fs::create_dir(directory.path().join("periodd")).unwrap();
    std::fs::rename(&file, directory.path().join("periodd/periodd.toml")).unwrap();
    let base = [("XDG_CONFIG_HOME", directory.path().to_str().unwrap())];
    assert_eq!(load(None, &base).unwrap().rollover.batch_size, 7);

    let missing = load(Some(&file), &[]).unwrap_err().to_string();
    assert!(missing.starts_with(&format!("{} cannot be read: No such file", file.display())));
    assert!(load(None, &[("PERIODD_CONFIG", file.to_str().unwrap())]).is_err());
}

#[test]
fn files_that_are_not_plain_utf8_text() {
    assert_eq!(
        refusal(b"[log]\nlevel = \"\xff\"\n"),
        "F:2:10: this is not UTF-8 text\n    level = \"\n             ^"
    );
    let marked = "\u{feff}[log]\r\nlevel = \"warn\"\r\n";
    assert!(with_file(marked, &[]).is_ok());
    assert!(refusal("\u{feff}x = 1").starts_with("F:1:1: `x` is no section"));
    assert!(refusal("a = \u{7}").starts_with("F:1:"));
}

#[test]
fn what_is_shown_can_be_loaded_again() {
    let toml = "[rollover]\nbatch_size = 5\n[mail]\nfrom = \"\\\"Ex, Ltd\\\" <a@b>\"\n\
                [[tiers]]\ncode = \"t\"\nname = \"T \\\"1\\\"\"\nmonthly_price_cents = 1\n\
                limits = { scrapes = \"0.5\" }\n";
    let (_directory, file) = written(toml);
    let config = load(Some(&file), &[("PERIODD__DATABASE__URL", "postgres:///x")]).unwrap();
    let shown = config.show(Format::Toml);
    let name = file.display();
    assert!(shown.contains(&format!("batch_size = 5                            # {name}:2:14\n")));
    let secret = "# url = \"***\"  # environment variable PERIODD__DATABASE__URL\n";
    assert!(shown.contains(secret), "{shown}");

    let (_again, again) = written(&shown);
    let url = [("PERIODD__DATABASE__URL", "postgres:///x")];
    assert_eq!(values(&load(Some(&again), &url).unwrap()), values(&config));

    let rows: serde_json::Value = serde_json::from_str(&config.show(Format::Json)).unwrap();
    let row = |key: &str| rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
    assert_eq!(row("rollover.batch_size")["value"], 5);
    assert_eq!(row("rollover.batch_size")["source"], format!("{name}:2:14"));
    assert_eq!(row("database.url")["value"], "***");
    assert_eq!(row("mail.templates_dir")["value"], serde_json::Value::Null);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(100))]

    /// Whatever happens to a file, it is loaded or refused with places inside it.
    #[test]
    fn a_damaged_file_is_refused_in_sentences(
        at in 0_usize..14_000,
        removed in 0_usize..40,
        added in "[\\[\\]{}=\"'.#0-9a-z_ \n\r\t\u{0}\u{e9}\u{1f600}]{0,6}",
    ) {
        let mut letters: Vec<char> = everything_on().chars().collect();
        let at = at.min(letters.len());
        letters.splice(at..(at + removed).min(letters.len()), added.chars());
        let damaged: String = letters.into_iter().collect();
        let (_directory, file) = written(&damaged);
        if let Err(error) = load(Some(&file), &[]) {
            let lines = damaged.lines().count().max(1);
            for problem in error.problems() {
                let place = problem.strip_prefix(file.to_str().unwrap()).unwrap_or_default();
                let line = place.split(':').nth(1).and_then(|line| line.parse().ok());
                let line: usize = line.unwrap_or_else(|| panic!("no line in {problem}"));
                proptest::prop_assert!((1..=lines + 1).contains(&line), "{problem}");
                proptest::prop_assert_eq!(problem.lines().count(), 3, "{}", problem);
            }
        }
    }
}
