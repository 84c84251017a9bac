//! `periodd demo`: the binary on state directories of its own.

#![allow(clippy::unwrap_used, reason = "a helper that fails, fails its test")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::schema_files;
use crate::support::{Answer, invariants};
use periodd::cluster::{Cluster, Settings};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// A directory for a sample company; the one above can be entered by every user, as real ones.
struct Place {
    above: TempDir,
}

impl Place {
    fn new() -> Self {
        let above = tempfile::Builder::new().prefix("pd-demo-").tempdir().unwrap();
        fs::set_permissions(above.path(), Permissions::from_mode(0o755)).unwrap();
        Self { above }
    }

    fn state(&self) -> PathBuf {
        self.above.path().join("it's here")
    }

    fn demo(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
        command.arg("demo").arg("--state-dir").arg(self.state()).args(flags);
        command.env("NO_COLOR", "1").env_remove("PERIODD_CONFIG");
        command
    }

    fn run(&self, flags: &[&str]) -> Answer {
        Answer::from(self.demo(flags).output().expect("the binary runs"))
    }

    fn told(&self, flags: &[&str]) -> Value {
        let told = self.run(&[&["--format", "json"], flags].concat()).exits(0).json();
        schema_files::hold_loosely("demo", &told);
        told
    }

    fn cluster(&self) -> Cluster {
        Cluster::open(&Settings::new(self.state())).unwrap()
    }

    /// Asks the database itself; the cluster runs as long as that takes.
    fn check_invariants(&self) {
        let cluster = self.cluster();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&cluster.url()).await.unwrap();
            for (name, query) in invariants() {
                let query = sqlx::AssertSqlSafe(query);
                let broken = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
                assert!(broken.is_empty(), "{name}: {} rows violate it", broken.len());
            }
            connection.close().await.unwrap();
        });
        cluster.close().unwrap();
    }
}

impl Drop for Place {
    /// A test that failed leaves no server behind.
    fn drop(&mut self) {
        if self.state().join("postgresql/data/postmaster.pid").exists() {
            drop(Cluster::open(&Settings::new(self.state())));
        }
    }
}

/// The document without what names the directory.
fn story(mut document: Value) -> Value {
    for key in ["state_dir", "config", "mail_dir", "commands"] {
        document.as_object_mut().unwrap().remove(key).expect(key);
    }
    document
}

fn strings<'a>(rows: impl IntoIterator<Item = &'a Value>, key: &str) -> Vec<String> {
    let mut strings: Vec<String> =
        rows.into_iter().map(|row| row[key].as_str().unwrap().to_owned()).collect();
    strings.sort();
    strings.dedup();
    strings
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is a list: {value}"))
}

#[test]
fn the_story_is_the_same_every_time_and_goes_on() {
    let places = [Place::new(), Place::new()];
    let other = places[1].demo(&["--format", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let first = places[0].told(&[]);
    let other = Answer::from(other.wait_with_output().unwrap()).exits(0).json();
    assert_eq!(story(first.clone()), story(other));
    places[0].check_invariants();
    it_is_what_was_promised(&first);
    what_it_says_to_go_on_with_works(&first);
    every_page_has_something_to_show(&places[0], &first);
    the_readme_shows_what_it_prints(&places[1].run(&["--fresh"]).exits(0).stdout);

    let second = places[0].told(&[]);
    assert_eq!(second["from"], first["until"], "the clock goes on where it stood");
    assert_eq!(second["until"], "2026-08-31T10:00:00Z");
    assert_eq!(second["sound"], true);
    assert!(second["periods_closed"].as_u64() > Some(100), "{}", second["periods_closed"]);
    assert!(list(&second, "scenes").iter().all(|scene| scene["kind"] == "rollover"));
    places[0].check_invariants();
}

fn it_is_what_was_promised(told: &Value) {
    assert_eq!(told["sound"], true);
    assert_eq!(list(told, "rules").len(), invariants().len(), "every rule is asked");
    assert_eq!(list(told, "parked").len(), 0, "beside the story's");
    let totals = list(told, "totals");
    assert_eq!(strings(totals, "org").len(), 16);
    assert!(strings(totals, "time_zone").len() >= 9);
    // A level is what it was at the last close; a plan for life closes nothing.
    let total = |org: &str, key: &str| {
        let found = totals.iter().find(|total| total["org"] == org && total["feature"] == key);
        found.map(|total| [&total["used"], &total["included"]].map(Value::to_string))
    };
    assert_eq!(total("burrard", "seats"), Some(["18", "25"].map(str::to_owned)));
    let for_life = totals.iter().find(|total| total["org"] == "kallang").unwrap();
    assert_eq!((&for_life["periods"], &for_life["feature"]), (&json!(0), &Value::Null));
    assert_eq!(strings(totals, "tier"), ["business", "free", "pro", "starter"]);
    let some = |key: &str| totals.iter().any(|total| total[key].as_f64() > Some(0.0));
    assert!(["drawn", "carried", "expired", "uncovered"].into_iter().all(some));

    let scenes = list(told, "scenes");
    let event = |name: &str| scenes.iter().find(|scene| scene["event"] == name).expect(name);
    for name in ["bought", "set", "moved", "booked", "ended", "miscounted", "late", "mail_stopped"]
    {
        event(name);
    }
    let parked = event("parked");
    assert_eq!(parked["org"], "waitangi");
    assert!(parked["reason"].as_str().is_some_and(|why| why.contains("Pacific/Chatham")));
    what_was_planted_is_found(scenes);
    customers_are_warned(told);
    // Nothing closes while the daemon is away, and then everything does, as of when it was due.
    let (away, back) = (event("stopped")["at"].as_str(), event("started")["at"].as_str());
    let rollovers = || scenes.iter().filter(|scene| scene["kind"] == "rollover");
    assert!(rollovers().all(|scene| scene["at"].as_str() < away || scene["at"].as_str() >= back));
    let caught_up = rollovers().find(|scene| scene["at"].as_str() == back).unwrap();
    assert!(list(caught_up, "boundaries").len() > 30);

    let boundaries = || rollovers().flat_map(|scene| list(scene, "boundaries"));
    let closed: usize = boundaries().map(|boundary| list(boundary, "orgs").len()).sum();
    assert_eq!(json!(closed), told["periods_closed"]);
    let missing_midnight = json!("2026-03-29T01:00:00Z");
    assert!(
        boundaries().any(|b| b["time_zone"] == "Atlantic/Azores" && b["at"] == missing_midnight)
    );
}

/// One of the emails is told whole, and every one of them lies where it is said.
fn customers_are_warned(told: &Value) {
    let mail = PathBuf::from(told["mail_dir"].as_str().unwrap());
    let files = fs::read_dir(&mail).unwrap().map(|file| file.unwrap().path());
    let emls: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert!(told["emails"].as_u64() > Some(0), "{}", told["emails"]);
    assert_eq!(json!(emls.len()), told["emails"]);
    let email = |key: &str| told["email"][key].as_str().unwrap();
    let to = format!("To: {}\r\n", email("to"));
    assert!(emls.iter().any(|eml| eml.contains(&to)), "{to} in none of {}", emls.len());
    let percent = |level: &u32| email("subject").contains(&level.to_string());
    assert!((80..=100).any(|level| percent(&level)), "{}", email("subject"));
    assert!(email("text").contains("Renews"), "{}", email("text"));
}

/// A counter that a faulty program wrote to, usage that came within the grace, and some that came
/// too late for it.
fn what_was_planted_is_found(scenes: &[Value]) {
    let audits: Vec<&Value> = scenes.iter().filter(|scene| scene["kind"] == "audit").collect();
    assert_eq!(audits.len(), 3);
    assert_eq!(list(audits[0], "drift").len(), 0);
    let late = |audit: &Value| {
        let late = &audit["late"][0];
        [&late["org"], &late["kind"], &late["used"]].map(Value::to_string).join(" ")
    };
    assert_eq!(late(audits[0]), "\"alster\" \"late\" 95");
    assert_eq!(late(audits[1]), "\"fleet\" \"set_aside\" 12");
    let [drift] = &list(audits[1], "drift")[..] else { panic!("one: {}", audits[1]) };
    assert_eq!(
        (&drift["org"], &drift["place"]),
        (&json!("burrard"), &json!("usage_counters.used"))
    );
    let purchase = &list(audits[2], "purchases")[0];
    assert_eq!((&purchase["org"], &purchase["quantity"]), (&json!("ipanema"), &json!(400)));
    assert_eq!(list(audits[2], "drift")[0]["org"], "hudson");
    let held = |key: &str| drift[key].as_f64().unwrap();
    assert!((held("after") - held("before") - 480.0).abs() < 1e-9, "{drift}");
}

/// Every command line, as a shell reads it, from where the demo was run.
fn what_it_says_to_go_on_with_works(told: &Value) {
    let commands = list(told, "commands");
    assert_eq!(commands.len(), 9);
    for command in &commands[..7] {
        let command = command.as_str().unwrap();
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        // An org is parked.
        let found = command.contains("--dry-run") || command.ends_with("status");
        let answer = Answer::from(output).exits(if found { 3 } else { 0 });
        let expected = match command {
            _ if command.ends_with("orgs list") => "Australia/Lord_Howe",
            _ if command.ends_with("explain alster") => "Alster Radio (alster)",
            // By the time that the demo has come to, nothing is late.
            _ if command.ends_with("status") => {
                for zero in ["orgs that are due", "metrics to count", "counters to copy"] {
                    assert!(answer.stdout.contains(&format!("{zero:<28}0")), "{}", answer.stdout);
                }
                "waitangi has been parked since 2026-05-12"
            }
            _ if command.ends_with("alerts list") => "sent",
            _ if command.ends_with("packs list --org anfa") => "order-2",
            _ if command.contains("rollover --dry-run") => "would close",
            _ => "postgresql://",
        };
        assert!(answer.stdout.contains(expected), "{command}\n{}", answer.stdout);
    }
}

/// The pages that the last command serves, as files: every one of them has something to show, as of
/// the demo's date.
fn every_page_has_something_to_show(place: &Place, told: &Value) {
    let pages = place.above.path().join("pages");
    let command = list(told, "commands")[8].as_str().unwrap();
    assert!(command.ends_with("dashboard --at 2026-05-31T10:00:00Z --open"), "{command}");
    let command = command.replace("--open", &format!("--html {}", pages.display()));
    Answer::from(Command::new("sh").args(["-c", &command]).output().unwrap()).exits(0);
    let page = |name: &str| {
        let page = fs::read_to_string(pages.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!page.contains("Not known"), "{name}: {page}");
        page.replace("&#x2f;", "/")
    };
    let now = page("index.html");
    for said in ["16 orgs in 15 zones.", "waitangi", "Pacific/Chatam", "As of"] {
        assert!(now.contains(said), "{said}: {now}");
    }
    let runs = page("runs-span-week.html");
    for said in ["rollover", "period closed", "1 email too late", "1 purchase without a pack"] {
        assert!(runs.contains(said), "{said}: {runs}");
    }
    assert!(page("orgs-furnas.html").contains("given up"));
    assert!(page("orgs-kallang.html").contains("without an end"));
    assert!(page("orgs-burrard.html").contains("seats"));
    assert!(page("orgs-waitangi.html").contains("This org is parked"));
    assert!(page("orgs-hudson.html").contains("usage_counters.used"));
}

/// The README's lines are the demo's, but for where its directory is.
fn the_readme_shows_what_it_prints(printed: &str) {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, rest) = readme.split_once("Output of `make demo` (shortened):\n\n```text\n").unwrap();
    let shown = rest.split("```").next().unwrap();
    let is_told = |line: &&str| {
        !line.is_empty() && *line != "[…]" && !line.contains("--config") && !line.starts_with('─')
    };
    let mut printed = printed.lines();
    for line in shown.lines().filter(is_told) {
        assert!(printed.any(|other| other == line), "not in this order: {line}");
    }
}

#[test]
fn a_story_that_was_interrupted_is_taken_up() {
    let place = Place::new();
    for line in ["Feb 17 10:15Z", "the daemon stops"] {
        let mut child = place.demo(&[]).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(told.any(|told| told.unwrap().contains(line)), "it comes to {line}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let taken_up = place.told(&[]);
    assert!(taken_up["from"].as_str() > Some("2026-04-01"));
    place.check_invariants();
    let whole = place.told(&["--fresh"]);
    assert_eq!(whole["from"], "2026-01-05T00:00:00Z");
    assert_eq!(taken_up["totals"], whole["totals"]);
    place.check_invariants();
}

#[test]
fn what_is_not_a_demo_is_left_alone() {
    let place = Place::new();
    let state = place.state();
    let refused = |flags: &[&str]| place.run(flags).exits(5).stderr;

    fs::create_dir(&state).unwrap();
    fs::write(state.join("thesis.txt"), "years of work").unwrap();
    let sentence = "is not empty and not a demo directory";
    assert!(refused(&["--fresh"]).contains(sentence));
    fs::write(state.join("periodd.toml"), "[database]\nsandbox = false\n").unwrap();
    assert!(refused(&[]).contains(sentence));
    assert_eq!(fs::read_dir(&state).unwrap().count(), 2, "nothing was made");

    for (variable, value, said) in [
        ("PERIODD__DATABASE__URL", "postgres://me@db.example.com/app", "database.url"),
        ("PERIODD__DATABASE__SANDBOX", "false", "database.sandbox"),
        ("PERIODD__DAEMON__STATE_DIR", "/var/lib/periodd", "daemon.state_dir"),
    ] {
        let place = Place::new();
        let output = place.demo(&[]).env(variable, value).output().unwrap();
        let stderr = Answer::from(output).exits(5).stderr;
        assert!(stderr.contains(said) && stderr.contains(variable), "{stderr}");
        assert!(!stderr.contains("db.example.com"), "{stderr}");
        assert!(!place.state().join("postgresql").exists());
    }

    for flags in [["--at", "2026-01-01T00:00:00Z"], ["--config", "/etc/periodd.toml"]] {
        assert!(place.run(&flags).exits(2).stderr.contains("cannot be used with demo"));
    }
}

#[test]
fn a_company_that_somebody_works_with_is_not_erased() {
    let place = Place::new();
    fs::create_dir(place.state()).unwrap();
    mark(&place.state());
    let cluster = place.cluster();
    let stderr = place.run(&["--fresh"]).exits(69).stderr;
    assert!(stderr.contains("is used by another process"), "{stderr}");
    assert!(place.state().join("postgresql/data/PG_VERSION").exists());
    cluster.close().unwrap();
}

/// Makes a directory look like one of a demo.
fn mark(directory: &Path) {
    let text =
        "# Written by `periodd demo`\n[database]\nsandbox = true\n[daemon]\nstate_dir = \".\"\n";
    fs::write(directory.join("periodd.toml"), text).unwrap();
}
