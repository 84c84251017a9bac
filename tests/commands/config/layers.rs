//! Defaults, file, environment and machine: which value wins, and what is never shown.

use crate::config::shape::everything_on;
use crate::config::{load, refusal, values, with_environment, with_file, written};
use periodd::config::Format;
use std::path::Path;

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let toml = "[rollover]\nbatch_size = 10\nconnections = 3\n[[features]]\nname = \"calls\"\n";
    let variables = [
        ("PERIODD__ROLLOVER__BATCH_SIZE", "42"),
        ("PERIODD__ALERTS__THRESHOLDS", "[80, 95]"),
        ("PERIODD__SCHEDULE__AUDIT__TIME_ZONE", "america/new_york"),
        ("PERIODD__SYNC__MAX_FIX_RATIO", "1"),
        ("PERIODD__DATABASE__SANDBOX", "true"),
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
    assert!(config.database.sandbox);
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
            "unknown key; did you mean `PERIODD__ROLLOVER__BATCH_SIZE`?",
        ),
        (
            "PERIODD__rollover__batch_size",
            "1",
            "unknown key; did you mean `PERIODD__ROLLOVER__BATCH_SIZE`?",
        ),
        ("PERIODD__ROLLOVER", "1", "unknown key"),
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
        (
            "PERIODD__DATABASE__SANDBOX",
            "yes",
            "`sandbox` must be true or false, not the text \"yes\"",
        ),
        (
            "PERIODD__ALERTS__THRESHOLDS",
            "80, 95",
            "`thresholds` must be a list in brackets, not the text \"80, 95\"",
        ),
        ("PERIODD__LOG__LEVEL", "INFO", "not the text \"INFO\"; did you mean `info`?"),
        ("PERIODD__LOG__LEVEL", "", "`level` is empty; omit it instead"),
        ("PERIODD_LOG_LEVEL", "info", "unknown variable; did you mean `PERIODD__LOG__LEVEL`?"),
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
        Box::new(load(Some(&file), &[]).unwrap()),
        Box::new(with_environment(&credentials).unwrap()),
        Box::new(with_environment(&variables).unwrap()),
        Box::new(load(Some(&file), &variables).unwrap()),
        Box::new(with_environment(&[variables.as_slice(), &credentials].concat()).unwrap()),
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
        "F:2:7: passwords must not be in this file; put the URL in the file named by `url_file`, \
         in the systemd credential database-url or in PERIODD__DATABASE__URL\n    url = \
         \"postgres://***\n          ^^^^^^^^^^^^^^^"
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
    let expected = "a database URL starts with postgres:// or postgresql://";
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
    let (state, socket, _) = dirs("", &[]);
    if rustix::process::geteuid().is_root() {
        let as_the_service = [Path::new("/var/lib/periodd"), Path::new("/run/periodd")];
        assert_eq!([state.as_path(), socket.as_path()], as_the_service);
    } else {
        let home = Path::new("/home/me/.local/state/periodd");
        assert_eq!((state, socket), (home.to_owned(), home.join("run")));
    }
    assert_eq!(dirs("", &[("STATE_DIRECTORY", "/s")]).1, Path::new("/s/run"));
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
        "F:2:10: not UTF-8 text\n    level = \"\n             ^"
    );
    let marked = "\u{feff}[log]\r\nlevel = \"warn\"\r\n";
    assert!(with_file(marked, &[]).is_ok());
    assert!(refusal("[web]\nenabled = true").starts_with("F:1:2: unknown section `web`"));
    assert!(refusal("\u{feff}x = 1").starts_with("F:1:1: unknown section `x`"));
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

#[test]
fn of_an_endpoint_only_the_host_is_shown() {
    let toml = "[[webhooks]]\nname = \"app\"\nsecret_env = \"S\"\n\
                url = \"https://app.example.com/hooks/s3cret?key=s3cret\"\n";
    let (_directory, file) = written(toml);
    let config = load(Some(&file), &[]).unwrap();
    for format in [Format::Toml, Format::Json] {
        let shown = config.show(format);
        assert!(shown.contains("\"https://app.example.com/***\""), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
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
            // What comes after the first hundred is counted, and has no place.
            for problem in error.problems().iter().take(100) {
                let place = problem.strip_prefix(file.to_str().unwrap()).unwrap_or_default();
                let line = place.split(':').nth(1).and_then(|line| line.parse().ok());
                let line: usize = line.unwrap_or_else(|| panic!("no line in {problem}"));
                proptest::prop_assert!((1..=lines + 1).contains(&line), "{problem}");
                proptest::prop_assert_eq!(problem.lines().count(), 3, "{}", problem);
            }
        }
    }
}
