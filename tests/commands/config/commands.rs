//! `periodd config` as an operator types it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::config::{load, values, with_environment, written};
use crate::smtp::{Act, ScriptedServer, Verb};
use crate::support::{Answer, TestDatabase};
use periodd::config::Config;
use serde_json::json;

/// The binary with nothing of this machine's configuration in its environment.
fn periodd(file: Option<&Path>, variables: &[(&str, &str)], arguments: &[&str]) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
    command.env_clear().env("HOME", "/home/me").envs(variables.iter().copied());
    if let Some(file) = file {
        command.arg("--config").arg(file);
    }
    command.args(arguments).output().expect("the binary runs").into()
}

const OFFLINE: [&str; 3] = ["config", "check", "--offline"];

/// One fault of each kind that a contract names.
const WRONG: &str = "\
[rollover]
batchsize = 500
batch_size = 80.5
connections = \"2\"
[schedule.sync]
cron = \"0 61 * * * *\"
time_zone = \"Europe/Berln\"
[alerts]
thresholds = [80, 101]
[mail]
from = \"billing at example.com\"
";

/// What is said of them, with the file as `F`.
const SAID: &str = "\
F:2:1: unknown key `batchsize` in [rollover]; did you mean `batch_size`?
    batchsize = 500
    ^^^^^^^^^
F:3:14: `batch_size` must be a whole number from 1 to 10000, not 80.5
    batch_size = 80.5
                 ^^^^
F:4:15: `connections` must be a whole number from 1 to 64, not the text \"2\"; remove the quotes
    connections = \"2\"
                  ^^^
F:6:8: invalid cron expression `0 61 * * * *`: invalid minute `61`; write second \
        minute hour day month weekday
    cron = \"0 61 * * * *\"
           ^^^^^^^^^^^^^^
F:7:13: unknown time zone `Europe/Berln`; did you mean Europe/Berlin?
    time_zone = \"Europe/Berln\"
                ^^^^^^^^^^^^^^
F:9:19: each of `thresholds` must be a whole number from 1 to 100, not 101
    thresholds = [80, 101]
                      ^^^
F:11:8: invalid email address `billing at example.com`; write name@example.com or Some Name \
        <name@example.com>
    from = \"billing at example.com\"
           ^^^^^^^^^^^^^^^^^^^^^^^^
";

#[test]
fn check_says_everything_that_is_wrong_with_its_line_and_a_caret() {
    let (_directory, file) = written(WRONG);
    let answer = periodd(Some(&file), &[], &OFFLINE).exits(78);
    assert_eq!(answer.stdout, "");
    assert_eq!(answer.stderr.replace(file.to_str().unwrap(), "F"), SAID);

    let json = [&OFFLINE[..], &["--format", "json"]].concat();
    let answer = periodd(Some(&file), &[("PERIODD__LOG__LEVEL", "loud")], &json).exits(78);
    let problems = &answer.json()["problems"];
    assert_eq!(problems.as_array().unwrap().len(), 8);
    assert_eq!(problems[0]["place"], format!("{}:2:1", file.display()));
    assert_eq!(
        problems[0]["message"],
        "unknown key `batchsize` in [rollover]; did you mean `batch_size`?"
    );
    assert_eq!(problems[7]["place"], "environment variable PERIODD__LOG__LEVEL");
}

#[test]
fn every_command_refuses_a_wrong_configuration_with_the_same_words() {
    let (_directory, file) = written("[rollover]\nbatchsize = 500\n");
    for arguments in [&["orgs", "list"][..], &["config", "show"], &["rollover"]] {
        let answer = periodd(Some(&file), &[], arguments).exits(78);
        let said = format!("periodd: {}:2:1: unknown key `batchsize` in", file.display());
        assert!(answer.stderr.starts_with(&said), "{answer:?}");
        assert!(answer.stderr.ends_with("\n    batchsize = 500\n    ^^^^^^^^^\n"), "{answer:?}");
    }
}

#[test]
fn check_offline_judges_what_is_on_this_machine_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("periodd.toml");
    fs::write(
        &file,
        "[database]\nurl_file = \"url\"\n[daemon]\nstate_dir = \"state\"\n[mail]\n\
         transport = \"smtp\"\nfrom = \"a@example.com\"\n[mail.smtp]\nhost = \"mail.invalid\"\n",
    )
    .unwrap();
    let missing = periodd(Some(&file), &[], &OFFLINE).exits(78);
    assert!(missing.stderr.starts_with("the secret in ") && missing.stderr.contains("/url cannot"));
    let secret = directory.path().join("url");
    fs::write(&secret, "postgres://u:hunter2@nowhere.invalid/d\n").unwrap();
    let open = periodd(Some(&file), &[], &OFFLINE).exits(3);
    assert!(open.stdout.contains("contains a secret and is readable by others"), "{open:?}");
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let answer = periodd(Some(&file), &[], &OFFLINE).exits(0);
    assert_eq!(answer.stderr, "");
    assert!(answer.stdout.contains("configuration  good"), "{answer:?}");
    assert!(!directory.path().join("state").exists(), "nothing is made");
    let json = periodd(Some(&file), &[], &[&OFFLINE[..], &["--format", "json"]].concat()).json();
    let good = json!({ "what": "configuration", "good": true, "found": file.to_str() });
    assert_eq!(json, json!({ "file": file.to_str(), "checks": [good] }));
}

#[test]
fn check_tries_every_template() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("periodd.toml");
    let template = directory.path().join("templates/alert/body.txt");
    fs::create_dir_all(template.parent().unwrap()).unwrap();
    fs::write(&template, "{{ org.name }}\n").unwrap();
    let own = "[mail]\ntemplates_dir = \"templates\"\n";
    fs::write(&file, own).unwrap();
    periodd(Some(&file), &[], &OFFLINE).exits(0);

    fs::write(&template, "fine\n{{ org.nmae }}\n").unwrap();
    let answer = periodd(Some(&file), &[], &OFFLINE).exits(78);
    let place = format!("{}:2: undefined value", template.display());
    assert!(answer.stderr.starts_with(&place), "{answer:?}");

    fs::write(&template, "fine\n").unwrap();
    fs::write(
        &file,
        format!("{own}[[features]]\nname = \"minutes_transcribed\"\ntemplate = \"x\"\n"),
    )
    .unwrap();
    let answer = periodd(Some(&file), &[], &OFFLINE).exits(78);
    assert!(
        answer.stderr.contains("the template folder `x`, which [mail] templates_dir does not have"),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn check_greets_the_servers_that_are_named_and_sends_nothing() {
    let database = TestDatabase::new().await;
    let server = ScriptedServer::start().await;
    let port = server.port;
    database.configure(&format!(
        "[mail]\ntransport = \"smtp\"\nfrom = \"a@example.com\"\n\
         [mail.smtp]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n"
    ));
    let check = ["config", "check", "--format", "json"];
    let answer = database.periodd(&check).exits(0).json();
    let found = |answer: &serde_json::Value| -> Vec<(bool, String)> {
        let checks = answer["checks"].as_array().unwrap().iter();
        checks
            .map(|c| (c["good"] == true, c["found"].as_str().unwrap().to_owned()))
            .skip(1)
            .collect()
    };
    let schema = "the database that is configured answers, its schema is current";
    let greeted = format!("127.0.0.1:{port} accepts the login");
    assert_eq!(found(&answer), [(true, schema.to_owned()), (true, greeted)]);
    assert_eq!((server.connections(), server.received()), (1, vec![]));

    server.always(Verb::Connect, Act::Reply("421 4.3.2 closed for today"));
    let answer = found(&database.periodd(&check).exits(69).json());
    assert!(answer[0].0 && !answer[1].0, "{answer:?}");
    assert!(answer[1].1.contains("closed for today"), "{answer:?}");

    let nobody = "[database]\nurl = \"postgres://u@127.0.0.1:1/app\"\n";
    let answer = found(&database.periodd_configured(nobody, &check).exits(69).json());
    assert!(answer[0].1.contains("127.0.0.1:1 (database app)"), "{answer:?}");
    assert_eq!(answer.len(), 2, "mail is looked at all the same");
}

#[test]
fn check_leaves_a_private_cluster_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let variables = [("PERIODD__DAEMON__STATE_DIR", state.to_str().unwrap())];
    let binaries = std::env::var("PERIODD_TEST_BINARIES").unwrap();
    let with_server = [variables[0], ("PERIODD__DATABASE__SERVER_BINARIES", &binaries)];
    let answer = periodd(None, &with_server, &["config", "check"]).exits(0);
    assert!(answer.stdout.contains("the private cluster is stopped"), "{answer:?}");
    let nowhere = [variables[0], ("PERIODD__DATABASE__SERVER_BINARIES", "/nowhere")];
    periodd(None, &nowhere, &["config", "check"]).exits(69);
    assert!(!state.exists(), "nothing is made");
}

#[test]
fn the_first_command_says_where_the_private_cluster_is_made() {
    let directory = tempfile::Builder::new().prefix("pd-").tempdir().unwrap();
    // The server is another user, where root runs it.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let state = directory.path().join("state");
    let binaries = std::env::var("PERIODD_TEST_BINARIES").unwrap();
    let variables = [
        ("PERIODD__DAEMON__STATE_DIR", state.to_str().unwrap()),
        ("PERIODD__DATABASE__SERVER_BINARIES", &binaries),
    ];
    let made = format!("made a private cluster in {}", state.display());
    let first = periodd(None, &variables, &["orgs", "list"]).exits(0);
    assert!(first.stderr.contains(&made), "{first:?}");
    let second = periodd(None, &variables, &["orgs", "list"]).exits(0);
    assert!(!second.stderr.contains(&made), "{second:?}");
}

#[test]
fn init_writes_a_file_to_begin_with_and_never_over_another() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a/b/periodd.toml");
    let answer = periodd(Some(&file), &[], &["config", "init"]).exits(0);
    assert_eq!(answer.stdout, format!("{} written\n", file.display()));
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text, Config::starter_text());
    let config = load(Some(&file), &[]).unwrap();
    let defaults = with_environment(&[]).unwrap();
    assert_eq!(values(&config), values(&defaults), "nothing in it is in force");
    let lines = text.lines().filter(|line| !line.is_empty());
    assert!(lines.clone().all(|line| line.starts_with('#') || line.starts_with('[')), "{text}");
    assert!(lines.clone().all(|line| !line.starts_with("[[")), "{text}");

    fs::write(&file, "[log]\nlevel = \"warn\"\n").unwrap();
    let answer = periodd(Some(&file), &[], &["config", "init"]).exits(5);
    assert!(answer.stderr.contains("was not changed; pass --force to replace it"), "{answer:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "[log]\nlevel = \"warn\"\n");
    periodd(Some(&file), &[], &["config", "init", "--force"]).exits(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let names: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "no draft is left: {names:?}");

    let named = directory.path().join("named.toml");
    let variables = [("PERIODD_CONFIG", named.to_str().unwrap())];
    periodd(None, &variables, &["config", "init"]).exits(0);
    assert_eq!(fs::read_to_string(&named).unwrap(), text);
}

#[test]
fn a_key_of_the_first_file_works_once_its_mark_is_taken_away() {
    let marked: Vec<String> = Config::starter_text()
        .lines()
        .map(|line| line.replace("# batch_size", "batch_size"))
        .collect();
    let (_directory, file) =
        written(marked.join("\n").replace("batch_size = 500", "batch_size = 7"));
    let config = load(Some(&file), &[]).unwrap();
    assert_eq!(config.rollover.batch_size, 7);
    assert!(config.source("rollover.batch_size").to_string().starts_with(file.to_str().unwrap()));
}

#[test]
fn show_prints_values_with_their_sources_and_secrets_as_stars() {
    let (_directory, file) = written("[rollover]\nbatch_size = 5\n");
    let variables = [
        ("PERIODD__DATABASE__URL", "postgres://u:hunter2@h/d"),
        ("PERIODD__ROLLOVER__ENDED_TIER", "007"),
    ];
    let shown = periodd(Some(&file), &variables, &["config", "show"]).exits(0);
    let name = file.display();
    assert!(shown.stdout.starts_with(&format!("# {name}\n")), "{shown:?}");
    for part in [
        format!("batch_size = 5                            # {name}:2:14\n"),
        "# url = \"***\"  # environment variable PERIODD__DATABASE__URL\n".to_owned(),
        "ended_tier = \"007\"                        # environment variable".to_owned(),
        "drain_timeout = \"30s\"                     # default\n".to_owned(),
    ] {
        assert!(shown.stdout.contains(&part), "{part} in\n{}", shown.stdout);
    }
    let json = ["config", "show", "--format", "json"];
    let answer = periodd(Some(&file), &variables, &json).exits(0);
    let rows = answer.json();
    let row = rows.as_array().unwrap().iter().find(|row| row["key"] == "database.url").unwrap();
    let source = "environment variable PERIODD__DATABASE__URL";
    assert_eq!(*row, json!({ "key": "database.url", "value": "***", "source": source }));
    assert!(!format!("{shown:?}{answer:?}").contains("hunter2"));
}

#[test]
fn schema_is_the_schema_and_its_help_says_where_it_belongs() {
    let answer = periodd(None, &[], &["config", "schema"]).exits(0);
    assert_eq!(answer.json(), Config::json_schema());
    let help = periodd(None, &[], &["config", "schema", "--help"]).exits(0);
    assert!(help.stdout.contains("#:schema ./periodd.schema.json"), "{help:?}");
}
