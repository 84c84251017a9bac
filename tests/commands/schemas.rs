//! `--format json`: every command answers what its schema in `docs/schemas` says.

use std::collections::BTreeSet;

use clap::CommandFactory;

use crate::schema_files;
use crate::support::TestDatabase;

const CATALOGUE: &str = r#"
[[features]]
name = "sms_sent"
unit = "messages"

[[features]]
name = "scrapes"

[[features]]
name = "seats"
kind = "level"

[[tiers]]
code = "pro"
name = "Professional"
monthly_price_cents = 8900
limits = { sms_sent = 10, scrapes = "unlimited" }

[[packs]]
code = "sms-50"
feature = "sms_sent"
quantity = "50.5"
price_cents = 900
"#;

const NOW: &str = "2026-05-16T12:00:00Z";

/// Every command with an answer, once at least, in an order in which each has something to say;
/// with its exit code.
const STORY: &[(&str, i32)] = &[
    ("config check", 3),
    ("config show", 0),
    ("db status", 0),
    ("db migrate", 0),
    ("db url", 0),
    ("db import", 0),
    ("tiers apply --dry-run", 3),
    ("tiers apply", 0),
    ("tiers apply", 0),
    ("webhooks apply", 0),
    ("webhooks apply", 0),
    ("config check", 0),
    ("tiers list", 0),
    ("status", 0),
    (
        "orgs add acme --name Acme --zone Europe/Berlin --tier pro \
         --period-start 2026-03-31T22:00:00Z",
        0,
    ),
    ("orgs add bolt --name Bolt --zone UTC", 0),
    ("orgs add idle --name Idle --zone Asia/Tokyo --cycle yearly", 0),
    ("orgs set acme --contact ann@acme.example --next-tier pro --status active", 0),
    ("orgs set acme --contact-role ann@acme.example=billing", 0),
    ("orgs set acme --contact-kinds ann@acme.example=threshold,pack_expires", 0),
    ("orgs set acme --contact-kinds ann@acme.example=all", 0),
    ("orgs set bolt --cycle weekly --anchor-day 3 --tier pro", 0),
    ("orgs park bolt --reason odd", 0),
    ("orgs list", 0),
    ("explain bolt", 0),
    ("status", 3),
    ("orgs unpark bolt", 0),
    ("orgs unpark --all", 0),
    ("orgs pause idle --reason winter --until 2026-09-01", 0),
    ("orgs show idle", 0),
    ("orgs resume idle", 0),
    ("usage set --org bolt --feature seats --level 4.5", 0),
    ("usage limits --org bolt", 0),
    (
        "packs grant --org acme --feature sms_sent --quantity 20 \
         --purchased-at 2026-04-02T00:00:00Z --reference r-1",
        0,
    ),
    (
        "packs grant --org bolt --feature sms_sent --quantity 5.25 \
         --expires-at 2026-12-01T00:00:00Z --reference r-2",
        0,
    ),
    (
        "usage record --org acme --feature sms_sent --quantity 15 \
         --used-at 2026-04-12T09:00:00Z --key k1",
        0,
    ),
    (
        "usage record --org acme --feature sms_sent --quantity 15 \
         --used-at 2026-04-12T09:00:00Z --key k1",
        0,
    ),
    ("usage record --org acme --feature sms_sent --quantity 9.5 --used-at 2026-05-02T09:00:00Z", 0),
    ("explain acme", 0),
    ("rollover --dry-run", 3),
    ("rollover", 0),
    ("rollover", 0),
    ("statements --closed-since 2026-01-01", 0),
    ("orgs show acme", 0),
    ("orgs show idle", 0),
    ("packs list", 0),
    ("packs refund --org acme --reference r-1 --dry-run", 3),
    ("packs refund --org acme --reference r-1 --quantity 1 --key re-1", 0),
    ("packs refund --org acme --reference r-1 --quantity 1 --key re-1", 0),
    ("usage record --org acme --feature sms_sent --quantity 31 --used-at 2026-05-04T09:00:00Z", 0),
    ("usage limits --org acme", 0),
    ("usage check --org acme --feature sms_sent --quantity 1", 3),
    ("usage check --org acme --feature sms_sent --quantity 5000", 3),
    ("usage import FILE --dry-run", 3),
    ("usage import FILE --skip-bad", 4),
    ("sync --full --check", 0),
    ("sync", 0),
    ("usage record --org acme --feature sms_sent --quantity 4 --used-at 2026-04-13T09:00:00Z", 0),
    ("sync --full", 0),
    ("alerts run", 0),
    ("alerts list", 0),
    ("alerts preview acme", 0),
    ("alerts preview acme --kind summary", 0),
    ("alerts test me@example.com", 0),
    ("runs list", 0),
    ("runs show 1", 0),
    ("schedule list", 0),
    ("schedule next", 0),
    ("schedule pause retention --reason audit", 0),
    ("schedule resume retention", 0),
    ("doctor", 0),
    ("db verify", 0),
    ("users add --org acme bob@acme.example", 0),
    ("users list", 0),
    ("users limits bob@acme.example --set sms_sent=5", 0),
    ("users limits", 0),
    ("tokens add backend --scope read", 0),
    ("tokens list", 0),
    ("dashboard login --org acme", 0),
    ("dashboard --html PAGES", 0),
    ("tokens revoke backend", 0),
    ("limits set --org acme --feature sms_sent --included 70", 0),
    ("drift list", 0),
    ("events list", 0),
    ("webhooks list", 0),
    ("webhooks ping app", 0),
    ("webhooks resume app", 0),
    ("forecast --backtest", 0),
    ("tiers export", 0),
    ("alerts templates export DIR", 0),
];

/// The end of the story: who goes.
const END: [(&str, i32); 9] = [
    ("packs move --org bolt --reference r-2 --into idle --dry-run", 3),
    ("packs move --org bolt --reference r-2 --into idle", 0),
    ("users erase bob@acme.example --dry-run", 3),
    ("users erase bob@acme.example --yes", 0),
    ("orgs merge bolt idle --dry-run", 3),
    ("orgs merge bolt idle --yes", 0),
    ("orgs remove acme --with-history --dry-run", 3),
    ("orgs remove acme --with-history --yes", 0),
    ("orgs list", 0),
];

#[tokio::test]
async fn every_answer_is_what_its_schema_says() {
    let test = TestDatabase::new().await;
    let files = tempfile::tempdir().expect("a directory");
    test.configure(CATALOGUE);
    let (state, mail) = (files.path().join("state"), files.path().join("mail"));
    std::fs::create_dir(&state).expect("a directory");
    test.configure("[http]\nenabled = true\n");
    test.configure(&format!("[daemon]\nstate_dir = \"{}\"\n", state.display()));
    test.configure(&format!(
        "[mail]\ntransport = \"directory\"\nfrom = \"a@example.com\"\ndirectory = \"{}\"\n",
        mail.display()
    ));
    let secret = files.path().join("secret");
    std::fs::write(&secret, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&secret, mode).expect("its mode is set");
    test.configure(&format!(
        "[events]\nenabled = true\n[[webhooks]]\nname = \"app\"\nurl = \"http://{}/hooks\"\n\
         secret_file = \"{}\"\n",
        endpoint(),
        secret.display()
    ));
    let templates = files.path().join("templates");
    let pages = files.path().join("pages");
    let usage = files.path().join("usage.csv");
    let lines = "org,feature,quantity,used_at\nacme,sms_sent,1.5,2026-05-03T00:00:00Z\nx,y,z,0\n";
    std::fs::write(&usage, lines).expect("written");

    let mut answered: BTreeSet<&str> = BTreeSet::new();
    let described = described();
    for &(line, code) in STORY {
        let words = line.split(' ').map(|word| match word {
            "FILE" => usage.to_str().expect("UTF-8"),
            "DIR" => templates.to_str().expect("UTF-8"),
            "PAGES" => pages.to_str().expect("UTF-8"),
            word => word,
        });
        let words: Vec<&str> = words.chain(["--format", "json", "--yes", "--at", NOW]).collect();
        let answer = test.periodd(&words);
        assert_eq!(answer.code, code, "{line}: {answer:?}");
        let command = described
            .iter()
            .filter(|command| line == **command || line.starts_with(&format!("{command} ")))
            .max_by_key(|command| command.len());
        let command = command.unwrap_or_else(|| panic!("{line}: there is no schema"));
        schema_files::hold(command, &answer.json());
        answered.insert(command);
    }

    everything_of_acme(&test).await;

    // Those that need an id, a place of their own or no time.
    let list = test.periodd(&["alerts", "list", "--format", "json"]).exits(0).json();
    let email = list["emails"][0]["id"].as_str().expect("an email was sent").to_owned();
    let new_file = files.path().join("new.toml");
    let new_file = new_file.to_str().expect("UTF-8");
    for (command, arguments) in [
        ("alerts resend", &["alerts", "resend", email.as_str(), "--at", NOW][..]),
        ("config init", &["config", "init", "--config", new_file]),
        ("capacity", &["capacity", "--orgs", "9", "--features", "3", "--metrics-per-day", "1k"]),
        ("periods", &["periods", "--zone", "UTC", "--cycle", "daily", "--count", "2"]),
    ] {
        let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_periodd"));
        if !arguments.contains(&"--config") {
            run.arg("--config").arg(test.config());
        }
        let output = run.args(arguments).args(["--format", "json"]).output().expect("it runs");
        let answer = crate::support::Answer::from(output).exits(0);
        schema_files::hold(command, &answer.json());
        answered.insert(command);
    }

    for (line, code) in END {
        let words = line.split(' ').chain(["--format", "json", "--at", NOW]);
        let answer = test.periodd(&words.collect::<Vec<_>>()).exits(code);
        let command = line.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ");
        let command = described.iter().find(|known| **known == command).expect("a schema");
        schema_files::hold(command, &answer.json());
        answered.insert(command);
    }

    // The demo's answer is held to its schema by the demo's own test.
    let unanswered: Vec<&String> = described
        .iter()
        .filter(|command| !answered.contains(command.as_str()) && *command != "demo")
        .collect();
    assert!(unanswered.is_empty(), "nothing was held to these schemas: {unanswered:?}");
}

/// An endpoint that takes every message, as long as the test runs.
fn endpoint() -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            // Each message is smaller than what is read at once, and each has its connection.
            let mut request = [0; 8 * 1024];
            let _ = stream.read(&mut request);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    address
}

/// At the end of the story `explain` has something to say in each of its sections.
async fn everything_of_acme(test: &TestDatabase) {
    test.sql(
        "update usage_counters c set used = used + 1 from organizations o
         where o.id = c.org_id and o.slug = 'acme' and c.period_start = o.current_period_start",
    )
    .await;
    test.periodd(&["sync", "--full", "--at", NOW]).exits(0);
    let explain = ["explain", "acme", "--at", NOW];
    let document = test.periodd(&[&explain[..], &["--format", "json"]].concat()).exits(0).json();
    schema_files::hold("explain", &document);
    for section in ["features", "packs", "closed", "adjustments", "alerts", "mends"] {
        let rows = document[section].as_array().expect("a list");
        assert!(!rows.is_empty(), "{section}: {document:#}");
    }
    assert!(document["period"]["passed_percent"].is_number(), "{document:#}");
    assert!(document["local_time"].is_string(), "{document:#}");
    let drawn = &document["packs"][0]["drawn"];
    assert_ne!(drawn.as_f64(), Some(0.0), "a pack has paid: {}", document["packs"]);
    let page = test.periodd(&explain).exits(0).stdout;
    for heading in ["uncovered", "late", "decided", "repaired", "refunded", "% passed"] {
        assert!(page.contains(heading), "{heading}: {page}");
    }
}

#[tokio::test]
async fn a_command_that_fails_answers_one_document_as_well() {
    let test = TestDatabase::new().await;
    test.periodd(&["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"]).exits(0);
    for (line, kind, code) in [
        ("orgs show nobody", "usage", 2),
        (
            "usage record --org acme --feature scrapes --quantity 1 \
             --used-at 2999-01-01T00:00:00Z",
            "refused",
            5,
        ),
        ("usage record --org acme --feature sms_sent --quantity 0", "usage", 2),
        ("usage record --org acme --feature sms_sent", "usage", 2),
        ("usage record --org acme --feature sms_sent --quantity many", "usage", 2),
        ("nonsense", "usage", 2),
        ("packs refund --org acme --reference r", "usage", 2),
    ] {
        for format in [&["--format", "json"][..], &["--format=json"]] {
            let words: Vec<&str> = line.split(' ').chain(format.iter().copied()).collect();
            let answer = test.periodd(&words).exits(code);
            let document = answer.json();
            schema_files::hold("error", &document);
            let error = &document["error"];
            assert_eq!((&error["kind"], &error["exit"]), (&kind.into(), &code.into()), "{line}");
            let sentence = error["message"].as_str().expect("a sentence");
            assert!(!sentence.is_empty() && answer.stderr.contains(sentence), "{line}: {answer:?}");
        }
    }
    // The configuration, before there is a database.
    let bad = "[rollover]\nbatchsize = 5\n";
    let bad = test.periodd_configured(bad, &["status", "--format", "json"]);
    let document = bad.exits(78).json();
    assert_eq!(document["error"]["kind"], "configuration");
    // For people nothing is on stdout, and help is no error.
    assert_eq!(test.periodd(&["orgs", "show", "nobody"]).exits(2).stdout, "");
    let help = test.periodd(&["orgs", "show", "--help", "--format", "json"]).exits(0);
    assert!(help.stdout.contains("Usage:") && !help.stdout.contains("\"error\""), "{help:?}");
}

#[tokio::test]
async fn a_refused_configuration_and_a_database_to_adopt_are_described() {
    let test = TestDatabase::empty().await;
    test.sql(
        "create table users (id uuid primary key, email text);
         create table organizations (id uuid primary key, name text);
         insert into organizations values ('11111111-1111-1111-1111-111111111111', 'Acme')",
    )
    .await;
    let found = test.periodd(&["db", "import", "--format", "json"]).exits(3).json();
    assert!(found.is_object(), "{found}");
    schema_files::hold("db import", &found);

    let bad = "[rollover]\nbatchsize = 5\n";
    let refused = test.periodd_configured(bad, &["config", "check", "--format", "json"]).exits(78);
    schema_files::hold("config check", &refused.json());
}

#[test]
fn the_schemas_are_those_of_the_program() {
    let written = tempfile::tempdir().expect("a directory");
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_periodd"))
        .args(["completions", "schemas", "--directory"])
        .arg(written.path())
        .status();
    assert!(run.expect("it runs").success());
    let files = |directory: &std::path::Path| -> Vec<(String, String)> {
        let entries = std::fs::read_dir(directory).expect("a directory");
        let mut files: Vec<(String, String)> = entries
            .map(|entry| {
                let entry = entry.expect("a file");
                let text = std::fs::read_to_string(entry.path()).expect("text");
                (entry.file_name().to_string_lossy().into_owned(), text)
            })
            .collect();
        files.sort();
        files
    };
    let mend = "run `periodd completions schemas --directory docs/schemas`, and say in the \
                CHANGELOG what changed for programs that read answers";
    assert!(files(written.path()) == files(&schema_files::directory()), "{mend}");
}

#[test]
fn every_command_has_a_schema_but_those_that_answer_in_a_format_of_their_own() {
    let mut commands = Vec::new();
    let mut pending = vec![(String::new(), periodd::cli::Cli::command())];
    while let Some((name, command)) = pending.pop() {
        if !command.is_subcommand_required_set() {
            commands.push(name.clone());
        }
        for below in command.get_subcommands() {
            let name = format!("{name} {}", below.get_name()).trim().to_owned();
            pending.push((name, below.clone()));
        }
    }
    commands
        .retain(|name| !["run", "completions", "config schema", "export"].contains(&name.as_str()));
    commands.sort();
    assert_eq!(described(), commands);
}

/// The commands with a schema.
fn described() -> Vec<String> {
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_periodd"))
        .args(["completions", "schemas"])
        .output();
    let all: serde_json::Value =
        serde_json::from_slice(&run.expect("it runs").stdout).expect("one document");
    let mut names: Vec<String> = all.as_object().expect("by command").keys().cloned().collect();
    names.sort();
    names
}
