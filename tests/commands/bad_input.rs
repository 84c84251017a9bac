//! Bad input for every command: one clear sentence, the right exit code, and nothing changed.
//!
//! `rollover/bad_input` asks the same of what closes periods, `config` of configuration files.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use clap::CommandFactory;

use crate::support::{Answer, TestDatabase};

const NOW: &str = "2026-05-16T12:00:00Z";

/// Lines that say something impossible, the exit code, and what the answer names.
const LINES: &[(&str, i32, &[&str])] = &[
    ("explain acmee", 2, &["`acmee`", "did you mean `acme`?"]),
    ("explain nobody@acme.example", 2, &["nobody@acme.example"]),
    ("explain acme --html /nowhere/acme.html", 2, &["/nowhere/acme.html"]),
    ("explain acme bolt", 2, &["unexpected argument", "bolt"]),
    ("status acme", 2, &["unexpected argument", "acme"]),
    ("statements --org acmee", 2, &["did you mean `acme`?"]),
    ("statements --period 2026-1", 2, &["2026-1", "2026-11"]),
    ("export invoices", 2, &["invoices", "closes", "adjustments"]),
    ("export closes --since 1.5", 2, &["1.5", "--since"]),
    ("doctor --deep", 2, &["unexpected argument", "--deep"]),
    ("usage check --org acmee --feature sms_sent", 2, &["did you mean `acme`?"]),
    ("usage check --org acme --feature faxes", 2, &["faxes"]),
    ("usage check --org acme --feature sms_sent --quantity 0", 2, &["0 must be greater than zero"]),
    (
        "usage check --org acme --feature sms_sent --quantity -1",
        2,
        &["-1 must be greater than zero"],
    ),
    ("usage check --org acme --feature sms_sent --quantity abc", 2, &["abc", "decimal number"]),
    ("usage check --org acme", 2, &["--feature"]),
    ("usage limits --org acmee", 2, &["did you mean `acme`?"]),
    ("usage limits", 2, &["--org"]),
    ("usage import /nowhere/may.csv", 2, &["/nowhere/may.csv", "No such file"]),
    ("usage import /", 2, &["directory"]),
    ("usage record --org acme --feature sms_sent --quantity 1 --used-at noon", 2, &["RFC 3339"]),
    ("orgs set acmee --name A", 2, &["did you mean `acme`?"]),
    ("orgs set acme --next-tier gold", 2, &["`gold`", "free", "pro"]),
    ("orgs set acme --tier gold", 2, &["`gold`", "free", "pro"]),
    ("orgs set acme --next-tier pro --next-tier-at noon", 2, &["noon", "RFC 3339"]),
    ("orgs set acme --next-tier pro --no-next-tier", 2, &["cannot be used with"]),
    ("orgs set acme --ends-at 2026-02-30", 2, &["2026-02-30", "RFC 3339"]),
    ("orgs set acme --cycle yearly --anchor-month 13", 2, &["13", "1 to 12"]),
    ("orgs set acme --anchor-day 32", 2, &["32", "1 to 31"]),
    ("orgs set acme --cycle hourly", 2, &["hourly", "monthly"]),
    ("orgs set acme --at-next", 2, &["--at-next", "zone", "anchor"]),
    ("orgs add c --name C --zone UTC --period-end noon", 2, &["noon", "RFC 3339"]),
    (
        "orgs add c --name C --zone UTC --period-end 2026-05-16T12:00:00Z",
        2,
        &["cannot end at 2026-05-16 12:00 UTC"],
    ),
    (
        "orgs add c --name C --zone UTC --cycle none --period-end 2026-05-15T00:00:00Z",
        2,
        &["cannot end at 2026-05-15 00:00 UTC"],
    ),
    ("orgs set acme --zone Europe/Berlin --at-next", 2, &["--at-next"]),
    ("orgs set acme --ends-at 2026-13-01", 2, &["2026-13-01", "RFC 3339"]),
    ("rollover --early --re-anchor", 2, &["--org"]),
    ("rollover --re-anchor --org acme", 2, &["--early"]),
    ("rollover --early --tier pro --org acme", 2, &["--re-anchor"]),
    ("rollover --early --re-anchor --tier gold --org acme", 2, &["`gold`", "free", "pro"]),
    ("orgs set acme --zone Europe/Berln", 2, &["Europe/Berln", "Europe/Berlin"]),
    ("orgs set acme --contact nobody", 2, &["nobody"]),
    ("orgs set acme --contact-role pay@acme.example", 2, &["EMAIL=VALUE"]),
    ("orgs set acme --contact-role pay@acme.example=boss", 2, &["`boss`", "billing"]),
    ("orgs set acme --contact-role nobody@acme.example=owner", 2, &["nobody@acme", "--contact"]),
    ("orgs set acme --contact-kinds pay@acme.example=packs", 2, &["`packs`", "pack_expires"]),
    ("orgs set acme --contact-kinds pay@acme.example=org_parked", 2, &["[mail] operators"]),
    ("alerts run --dry-run --full", 2, &["cannot be used with"]),
    ("orgs set acme --locale Klingon", 2, &["Klingon", "pt-BR"]),
    ("orgs set acme --thresholds 90,80", 2, &["ascending"]),
    ("orgs list --tier gold", 2, &["`gold`", "free", "pro"]),
    ("orgs list --limit 0", 2, &["0", "--limit"]),
    ("runs list --since noon", 2, &["noon", "RFC 3339"]),
    ("runs list --failed --outcome done", 2, &["cannot be used with"]),
    ("runs list --org acmee", 2, &["did you mean `acme`?"]),
    ("drift list --org acmee", 2, &["did you mean `acme`?"]),
    ("events list --org acmee", 2, &["did you mean `acme`?"]),
    ("events list --kind period.close", 2, &["period.closed"]),
    ("events list --after 1.5", 2, &["1.5", "--after"]),
    ("events list --after 99999", 2, &["99999", "another database"]),
    ("webhooks ping app", 2, &["`app`", "[[webhooks]]"]),
    ("webhooks resume app", 2, &["`app`", "[[webhooks]]"]),
    ("users add --org acme nobody", 2, &["nobody"]),
    ("limits set --org acme --feature sms_sent", 2, &["--included"]),
    ("limits set --org acme --feature faxes --reset", 2, &["faxes"]),
    ("limits set --org acme --feature sms_sent --included=-1", 2, &["-1 must not be negative"]),
    ("alerts resend 6f0", 2, &["6f0", "first four digits"]),
    ("alerts preview acme --set used=much", 2, &["used=much", "used=95%"]),
    ("alerts preview acme --locale xx", 2, &["xx", "pt-BR"]),
    ("orgs park acmee --reason odd", 2, &["did you mean `acme`?"]),
    ("orgs park acme", 2, &["--reason"]),
    ("orgs unpark acmee", 2, &["did you mean `acme`?"]),
    ("orgs pause acmee --reason odd", 2, &["did you mean `acme`?"]),
    ("orgs pause acme", 2, &["--reason"]),
    ("orgs pause acme --reason odd --until noon", 2, &["noon", "RFC 3339"]),
    ("orgs pause acme --reason odd --from noon", 2, &["noon", "period-end"]),
    ("orgs pause acme --reason odd --until 2026-05-15T00:00:00Z", 2, &["a later --until"]),
    ("orgs resume acmee", 2, &["did you mean `acme`?"]),
    ("usage set --org acmee --feature seats --level 1", 2, &["did you mean `acme`?"]),
    ("usage set --org acme --feature sms_sent --level 1", 2, &["sms_sent is metered"]),
    ("usage set --org acme --feature seats --level 1", 2, &["unknown feature seats"]),
    ("usage set --org acme --feature sms_sent --level=-1", 2, &["-1 must not be negative"]),
    ("usage set --org acme --feature seats --level 0.0000001", 2, &["more than 6 decimals"]),
    ("usage set --org acme --feature seats --level 1e22", 2, &["1e22"]),
    ("orgs show acmee", 2, &["did you mean `acme`?"]),
    ("orgs add c --name C --zone UTC --id 12", 2, &["12", "--id"]),
    ("orgs add c --name C --zone UTC --cycle hourly", 2, &["hourly", "monthly"]),
    ("orgs add c --name C --zone UTC --period-start noon", 2, &["noon", "RFC 3339"]),
    ("orgs add c --name C", 2, &["--zone"]),
    ("packs list --org acmee", 2, &["did you mean `acme`?"]),
    ("packs grant --org acme --feature sms_sent --quantity 1 --purchased-at noon", 2, &["noon"]),
    ("packs grant --org acme --feature sms_sent --quantity 1 --expires-at noon", 2, &["noon"]),
    ("orgs remove acmee", 2, &["did you mean `acme`?"]),
    ("orgs remove acme", 5, &["--with-history", "acme"]),
    ("orgs remove acme --with-history", 5, &["remove acme", "--yes"]),
    ("orgs merge acme", 2, &["INTO"]),
    ("orgs merge acme acmee", 2, &["did you mean `acme`?"]),
    ("orgs merge acme acme", 2, &["same org"]),
    ("users limits ann@acme.example --set scrapes", 2, &["`scrapes`", "FEATURE=QUANTITY"]),
    ("users limits ann@acme.example --set scrapes=-1", 2, &["-1 must not be negative"]),
    ("users limits ann@acme.example --set scrapes=0.0000001", 2, &["more than 6 decimals"]),
    ("users limits nobody@acme.example --set scrapes=1", 2, &["nobody@acme.example"]),
    ("users limits --set scrapes=1", 2, &["EMAIL|ID"]),
    ("users limits --org acmee", 2, &["did you mean `acme`?"]),
    ("alerts preview acme --kind summaries", 2, &["summaries", "summary"]),
    ("alerts preview acme --kind summary --set used=1", 2, &["--set"]),
    ("orgs set acme --contact-kinds pay@acme.example=user_limit", 2, &["user whose limit"]),
    ("users erase nobody", 2, &["nobody", "neither an address nor an id"]),
    ("users erase nobody@acme.example", 2, &["nobody@acme.example", "nothing is kept"]),
    ("users erase ann@acme.example --org acme", 2, &["--org"]),
    ("packs move --org acme --reference r-9 --into acme", 2, &["r-9"]),
    ("packs move --org acme --reference r-1 --into acme", 2, &["same org"]),
    ("packs move --org acme --into acme", 2, &["--reference", "--pack"]),
    ("packs refund --org acme --pack 7", 2, &["7", "--pack"]),
    ("packs refund --org acme --pack 6f0c3a52-4d0e-4a4e-9c51-0c5a5c1a2b3d", 2, &["pack"]),
    ("packs refund --org acme --reference r-9", 2, &["pack"]),
    ("packs refund --org acme", 2, &["--reference", "--pack"]),
    ("packs refund --org acme --reference r-1 --quantity 0", 2, &["0 must be greater than zero"]),
    ("packs refund --org acme --reference r-1 --quantity 1001", 5, &["1001"]),
    ("alerts list --org acmee", 2, &["did you mean `acme`?"]),
    ("alerts list --state lost", 2, &["lost", "given_up"]),
    ("alerts list --limit 0", 2, &["0", "--limit"]),
    ("alerts list --limit many", 2, &["many", "--limit"]),
    ("alerts resend 7", 2, &["7", "[ID]"]),
    ("alerts resend 6f0c3a52-4d0e-4a4e-9c51-0c5a5c1a2b3d", 2, &["6f0c3a52", "alerts list"]),
    ("alerts preview acmee", 2, &["did you mean `acme`?"]),
    ("alerts preview acme --threshold 0", 2, &["0", "--threshold"]),
    ("alerts preview acme --threshold 251", 2, &["251", "--threshold"]),
    ("alerts preview acme --feature faxes", 2, &["faxes"]),
    ("alerts test nobody", 2, &["nobody"]),
    ("runs list --job faxes", 2, &["faxes", "rollover"]),
    ("runs list --outcome lost", 2, &["lost", "skipped"]),
    ("runs list --limit 0", 2, &["0", "--limit"]),
    ("runs show abc", 2, &["abc", "<RUN>"]),
    ("runs show 999999", 2, &["999999", "runs list"]),
    ("schedule pause faxes --reason odd", 2, &["faxes", "rollover"]),
    ("schedule pause rollover", 2, &["--reason"]),
    ("schedule resume faxes", 2, &["faxes", "rollover"]),
    ("rollover --org acme --zone UTC", 2, &["cannot be used with"]),
    ("sync --check --force", 2, &["cannot be used with"]),
    ("sync --force", 2, &["--full or --org"]),
    ("sync --org acmee", 2, &["did you mean `acme`?"]),
    ("db import --naive-zone Mars/Phobos", 2, &["Mars/Phobos"]),
    ("db import --apply --undo", 2, &["cannot be used with"]),
    ("db import --undo --yes", 2, &["import"]),
    ("db import --drop-legacy --yes", 2, &["import"]),
    ("db migrate --grant app", 2, &["role's name"]),
    ("db migrate --grant owner=acme", 2, &["app=ROLE or member=ROLE"]),
    ("orgs list --format xml", 2, &["xml", "table", "json"]),
    ("orgs list --config /nowhere/periodd.toml", 78, &["/nowhere/periodd.toml"]),
    ("orgs list --at noon", 2, &["noon", "RFC 3339"]),
    ("dashboard --listen 0.0.0.0:7788", 2, &["0.0.0.0:7788", "loopback", "[http] listen"]),
    ("dashboard --listen here", 2, &["here", "127.0.0.1:8080"]),
    ("dashboard --org acme", 2, &["--html"]),
    ("dashboard --html /proc", 2, &["/proc", "not empty"]),
    ("dashboard --html /proc/periodd", 2, &["/proc/periodd"]),
    ("dashboard login --open", 2, &["--open"]),
    ("completions tcsh", 2, &["tcsh", "bash"]),
    ("completions bash --directory /nowhere", 2, &["--directory"]),
    ("completions man --directory /proc/periodd", 1, &["/proc/periodd"]),
    ("completions schemas --directory /proc/periodd", 1, &["/proc/periodd"]),
    ("config init --config /proc/periodd/periodd.toml", 1, &["/proc/periodd/periodd.toml"]),
    ("org list", 2, &["'org'", "orgs"]),
];

fn run(test: &TestDatabase, line: &str) -> Answer {
    let words: Vec<&str> = line.split_whitespace().collect();
    // The daemon's time is real; other lines set a time or a file of their own.
    let is_timed = words.contains(&"--at") || words == ["run"];
    let at: &[&str] = if is_timed { &[] } else { &["--at", NOW] };
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_periodd"));
    if !words.contains(&"--config") {
        command.arg("--config").arg(test.config());
    }
    command.args(at).args(words).env_remove("DATABASE_URL").env("NO_COLOR", "1");
    Answer::from(command.output().expect("the binary runs"))
}

/// What is wrong with an answer; nothing, if it is as it should be.
fn faults(line: &str, answer: &Answer, code: i32, words: &[&str]) -> Vec<String> {
    let Answer { code: exited, stdout, stderr } = answer;
    let mut faults = Vec::new();
    if *exited != code {
        faults.push(format!("exits {exited}, not {code}"));
    }
    if !stdout.is_empty() {
        faults.push(format!("answers {stdout}"));
    }
    let first = stderr.lines().next().unwrap_or_default();
    let ours = stderr.lines().filter(|line| line.starts_with("periodd: ")).count();
    if !(first.starts_with("periodd: ") || first.starts_with("error: ")) || ours > 1 {
        faults.push("does not say it in a sentence".to_owned());
    }
    for word in words.iter().filter(|word| !stderr.contains(**word)) {
        faults.push(format!("does not name `{word}`"));
    }
    for noise in ["Error {", "panicked", "sqlx", "DatabaseError", "SQLSTATE"] {
        if stderr.contains(noise) {
            faults.push(format!("says `{noise}`"));
        }
    }
    faults.into_iter().map(|fault| format!("`{line}` {fault}:\n{stderr}")).collect()
}

/// Everything that there is, but for what a run leaves in the ledger.
async fn everything(test: &TestDatabase) -> Vec<String> {
    let mut all = test.contents().await;
    for table in ["org_contacts", "tier_limits", "periodd_schedules", "periodd_outbox"] {
        all.extend(
            test.rows(&format!("select '{table}', t::text from {table} t order by 2")).await,
        );
    }
    all
}

async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.configure("[mail]\ntransport = \"directory\"\ndirectory = \"/proc/periodd\"\n");
    test.configure("from = \"a@example.com\"\n");
    test.sql("insert into tier_limits values ('pro', 'sms_sent', 5)").await;
    for line in [
        "orgs add acme --name Acme --zone Europe/Berlin --tier pro",
        "packs grant --org acme --feature sms_sent --quantity 100 --reference r-1",
        "usage record --org acme --feature sms_sent --quantity 2",
    ] {
        run(&test, line).exits(0);
    }
    test
}

#[tokio::test]
async fn what_is_impossible_is_refused_and_changes_nothing() {
    let test = acme().await;
    let before = everything(&test).await;
    let mut all = Vec::new();
    for (line, code, words) in LINES {
        all.extend(faults(line, &run(&test, line), *code, words));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    assert_eq!(everything(&test).await, before);
}

#[tokio::test]
async fn the_future_is_refused_but_in_a_sandbox() {
    let test = acme().await;
    let before = everything(&test).await;
    let config = format!("[database]\nurl = \"{}\"\n", test.url());
    for line in [
        "explain acme",
        "dashboard",
        "status",
        "doctor",
        "rollover",
        "sync",
        "alerts run",
        "alerts preview acme",
        "usage check --org acme --feature sms_sent",
        "usage record --org acme --feature sms_sent --quantity 1",
        "packs grant --org acme --feature sms_sent --quantity 1",
        "orgs add bolt --name Bolt --zone UTC",
    ] {
        let arguments = ["--at", "2999-01-01T00:00:00Z"].into_iter().chain(line.split(' '));
        let refused = test.periodd_configured(&config, &arguments.collect::<Vec<_>>()).exits(5);
        assert!(refused.stderr.contains("sandbox = true"), "{line}: {}", refused.stderr);
    }
    assert_eq!(everything(&test).await, before);
}

#[tokio::test]
async fn a_file_without_permission_is_named() {
    let test = acme().await;
    let directory = tempfile::tempdir().expect("a directory");
    let open = |path: &std::path::Path, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, mode).expect("a mode is set");
    };
    open(directory.path(), 0o755);
    let file = directory.path().join("may.csv");
    std::fs::write(&file, "org,feature,quantity,used_at\n").expect("a file");
    open(&file, 0o000);
    // Root reads every file: there the program runs as somebody else, from where he finds it.
    let (program, config) = (directory.path().join("periodd"), directory.path().join("p.toml"));
    std::fs::copy(env!("CARGO_BIN_EXE_periodd"), &program).expect("the program is copied");
    std::fs::copy(test.config(), &config).expect("the configuration is copied");
    open(&program, 0o755);
    open(&config, 0o644);
    let mut command = std::process::Command::new(program);
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534).current_dir(directory.path());
    }
    command.arg("--config").arg(config).args(["usage", "import"]).arg(&file);
    command.env_remove("DATABASE_URL").env("HOME", directory.path());
    let answer = Answer::from(command.output().expect("the binary runs"));
    let said = faults("usage import", &answer, 2, &["may.csv", "Permission denied"]);
    assert!(said.is_empty(), "{}", said.join("\n"));
}

#[tokio::test]
async fn a_role_without_rights_is_told_what_it_may_not() {
    let test = TestDatabase::empty().await;
    let role = format!("guest_{}", test.name);
    test.sql(&format!("create role {role} login")).await;
    let url = test.url().replace("user=postgres", &format!("user={role}"));
    let config = format!("[database]\nurl = \"{url}\"\n");
    let answer = test.periodd_configured(&config, &["db", "migrate"]);
    let said = faults("db migrate", &answer, 1, &["permission denied"]);
    test.sql(&format!("drop role {role}")).await;
    assert!(said.is_empty(), "{}", said.join("\n"));
}

/// A line for each command that works on a database, and the exit code for a database that is
/// newer than the program and for one that is not migrated.
const COMMANDS: &[(&str, i32, i32)] = &[
    ("run", 78, 78),
    ("rollover", 78, 78),
    ("sync", 78, 78),
    ("explain acme", 78, 78),
    ("orgs add bolt --name Bolt --zone UTC", 78, 78),
    ("orgs list", 78, 78),
    ("orgs show acme", 78, 78),
    ("orgs set acme --name A", 78, 78),
    ("orgs park acme --reason odd", 78, 78),
    ("orgs unpark acme", 78, 78),
    ("orgs pause acme --reason odd", 78, 78),
    ("orgs resume acme", 78, 78),
    ("orgs merge acme bolt", 78, 78),
    ("orgs remove acme", 78, 78),
    ("users add --org acme ann@acme.example", 78, 78),
    ("users list", 78, 78),
    ("users limits", 78, 78),
    ("users erase ann@acme.example", 78, 78),
    ("tokens add backend --scope read", 78, 78),
    ("tokens list", 78, 78),
    ("tokens revoke backend", 78, 78),
    ("dashboard", 78, 78),
    ("dashboard login", 78, 78),
    ("limits set --org acme --feature sms_sent --reset", 78, 78),
    ("usage record --org acme --feature sms_sent --quantity 1", 78, 78),
    ("usage set --org acme --feature seats --level 1", 78, 78),
    ("usage limits --org acme", 78, 78),
    ("usage check --org acme --feature sms_sent", 78, 78),
    ("usage import /dev/null", 78, 78),
    ("packs grant --org acme --feature sms_sent --quantity 1", 78, 78),
    ("packs list", 78, 78),
    ("packs refund --org acme --reference r-1", 78, 78),
    ("packs move --org acme --reference r-1 --into bolt", 78, 78),
    ("tiers list", 78, 78),
    ("tiers apply", 78, 78),
    ("tiers export", 78, 78),
    ("status", 78, 78),
    ("statements --org acme", 78, 78),
    ("export closes", 78, 78),
    // Its findings say it, beside all that can be looked at even so.
    ("doctor", 3, 3),
    ("runs list", 78, 78),
    ("runs show 1", 78, 78),
    ("drift list", 78, 78),
    ("events list", 78, 78),
    ("webhooks list", 78, 78),
    ("webhooks apply", 78, 78),
    ("webhooks resume app", 78, 78),
    ("forecast --backtest", 78, 78),
    ("schedule list", 78, 78),
    ("schedule next", 78, 78),
    ("schedule pause rollover --reason odd", 78, 78),
    ("schedule resume rollover", 78, 78),
    ("alerts run", 78, 78),
    ("alerts list", 78, 78),
    ("alerts resend 6f0c3a52-4d0e-4a4e-9c51-0c5a5c1a2b3d", 78, 78),
    ("alerts test me@example.com", 78, 78),
    ("alerts preview acme", 78, 78),
    ("db migrate", 78, 0),
    // It adopts tables that are not periodd's: here there are none, and it migrates.
    ("db import --apply --yes", 78, 0),
    ("db verify", 78, 78),
    // Whatever the schema is: which migrations there are, and where the database is.
    ("db status", 0, 0),
    ("db url", 0, 0),
];

/// Those that need no database, or have one of their own.
const WITHOUT: [&str; 10] = [
    "periods",
    "capacity",
    "alerts templates export",
    "demo",
    "completions",
    "config init",
    "config check",
    "config show",
    "config schema",
    "webhooks ping",
];

#[test]
fn no_command_is_left_out() {
    let mut leaves = BTreeSet::new();
    let mut pending = vec![(String::new(), periodd::cli::Cli::command())];
    while let Some((path, command)) = pending.pop() {
        if !command.is_subcommand_required_set() {
            leaves.insert(path.trim_start().to_owned());
        }
        let below = command.get_subcommands();
        pending.extend(below.map(|sub| (format!("{path} {}", sub.get_name()), sub.clone())));
    }
    let path = |line: &str| {
        let found = leaves.iter().filter(|leaf| line.starts_with(leaf.as_str()));
        found.max_by_key(|leaf| leaf.len()).unwrap_or_else(|| panic!("`{line}`")).clone()
    };
    let named = COMMANDS.iter().map(|(line, ..)| path(line)).chain(WITHOUT.map(str::to_owned));
    assert_eq!(named.collect::<BTreeSet<_>>(), leaves);
}

#[tokio::test]
async fn no_command_does_anything_without_its_database() {
    let test = acme().await;
    let nowhere = "[database]\nurl = \"postgresql:///periodd?host=/nowhere&user=nobody\"\n";
    let mut all = Vec::new();
    for (line, ..) in COMMANDS {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = test.periodd_configured(nowhere, &words);
        all.extend(faults(line, &answer, 69, &["unavailable", "[database] url"]));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[tokio::test]
async fn no_command_touches_a_database_that_is_newer() {
    let test = acme().await;
    test.sql(
        "insert into periodd_migrations (version, description, checksum)
         values (9999, 'from the future', '')",
    )
    .await;
    let before = everything(&test).await;
    let mut all = Vec::new();
    for (line, code, _) in COMMANDS.iter().filter(|(_, code, _)| *code == 78) {
        all.extend(faults(line, &run(&test, line), *code, &["newer", "9999"]));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    assert_eq!(everything(&test).await, before);
}

#[tokio::test]
async fn no_command_works_on_a_database_that_is_not_migrated() {
    let test = TestDatabase::empty().await;
    let mut all = Vec::new();
    for (line, _, code) in COMMANDS.iter().filter(|(.., code)| *code == 78) {
        all.extend(faults(line, &run(&test, line), *code, &["run `", "periodd", " db migrate`"]));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    let tables = "select table_name from information_schema.tables where table_schema = 'public'";
    assert!(test.rows(tables).await.is_empty());
}
