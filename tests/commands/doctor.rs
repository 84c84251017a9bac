//! `doctor`: each deep fault is found, and a database that is well has none.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::smtp::{Act, ScriptedServer, Verb};
use crate::support::{Answer, TestDatabase};

fn run(test: &TestDatabase, line: &str) -> Answer {
    test.periodd(&line.split_whitespace().collect::<Vec<_>>())
}

const NOW: &str = "2026-05-16T12:00:00Z";

async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    let config = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(test.config(), config).expect("its mode is set");
    let state = test.config().parent().expect("a directory").join("state");
    std::fs::create_dir(&state).expect("a directory");
    test.configure(&format!("[daemon]\nstate_dir = \"{}\"\n", state.display()));
    test.sql("insert into tier_limits values ('pro', 'sms_sent', 10)").await;
    let add = "orgs add acme --name Acme --zone Europe/Berlin --tier pro";
    run(&test, &format!("{add} --period-start 2026-03-31T22:00:00Z --at {NOW}")).exits(0);
    let grant = "packs grant --org acme --feature sms_sent --quantity 10 --reference r";
    run(&test, &format!("{grant} --purchased-at 2026-04-02T00:00:00Z --at {NOW}")).exits(0);
    let record = "usage record --org acme --feature sms_sent --quantity 15";
    run(&test, &format!("{record} --used-at 2026-04-12T09:00:00Z --at {NOW}")).exits(0);
    run(&test, &format!("rollover --at {NOW}")).exits(0);
    test
}

/// The checks that found something worse than good to know, with what mends it.
fn found(diagnosis: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let checks = diagnosis["checks"].as_array().expect("checks").iter();
    let findings = checks.flat_map(|check| check["findings"].as_array().expect("findings"));
    let bad = findings.filter(|finding| finding["severity"] != "note");
    bad.map(|finding| (text(&finding["check"]), text(&finding["mend"]))).collect()
}

fn examined(test: &TestDatabase) -> (i32, Vec<(String, String)>) {
    let answer = run(test, &format!("doctor --at {NOW} --format json"));
    (answer.code, found(&answer.json()))
}

#[tokio::test]
async fn a_database_that_is_well_has_no_fault() {
    let test = acme().await;
    let before = test.digests().await;
    assert_eq!(examined(&test), (0, vec![]));
    assert_eq!(test.digests().await, before, "nothing was changed");
    let page = run(&test, &format!("doctor --at {NOW}")).exits(0).stdout;
    assert!(page.contains("✓ the books are right"), "{page}");
}

#[tokio::test]
async fn each_deep_fault_is_found() {
    for (fault, check, mend) in [
        ("delete from periodd_migrations where version = 5", "migrations", "periodd db migrate"),
        (
            "create function f() returns trigger language plpgsql as 'begin return new; end';
             create trigger t after insert on users for each row execute function f()",
            "schema",
            "drop trigger, and do the same in the application",
        ),
        (
            "alter table users force row level security",
            "schema",
            "alter table … no force row level security",
        ),
        (
            "alter table usage_metrics disable row level security",
            "schema",
            "alter table … enable row level security",
        ),
        (
            "alter table users add shoe_size numeric(3, 1)",
            "schema",
            "alter table … alter column … type numeric",
        ),
        ("update organizations set current_period_end = null", "no_period", "periodd rollover"),
        (
            "update organizations set current_period_end = '2026-04-10Z'",
            "inverted_period",
            "periodd db import --apply",
        ),
        (
            "update organizations set current_period_end = '2026-05-31T21:59:59.999Z'",
            "inclusive_end",
            "periodd db import --apply",
        ),
        (
            "update organizations set current_period_end = '2026-05-10Z'",
            "overdue",
            "periodd rollover",
        ),
        (
            "update organizations set current_period_start = '2026-05-02Z'",
            "not_touching",
            "set current_period_start to the end of the last period in billing_periods",
        ),
        (
            "update organizations set time_zone = 'Mars/Phobos'",
            "zone",
            "periodd orgs set ORG --zone ZONE",
        ),
        (
            "update overage_packs set remaining = remaining + 1",
            "packs",
            "periodd packs list, beside the ledger overage_entries",
        ),
        ("update usage_counters set used = used + 1", "drift", "periodd sync --full"),
        (
            "insert into features values ('faxes', 'faxes')",
            "features",
            "add [[features]] blocks, then periodd tiers apply; or correct the application",
        ),
    ] {
        let test = acme().await;
        test.sql(fault).await;
        let (code, all) = examined(&test);
        assert!(all.contains(&(check.to_owned(), mend.to_owned())), "{check}: {all:#?}");
        assert_eq!(code, 3, "{check}");
    }
}

#[tokio::test]
async fn files_that_others_may_read_are_found() {
    let test = acme().await;
    let secret = test.config().parent().expect("a directory").join("url");
    std::fs::write(&secret, test.url()).expect("written");
    let text = format!("[database]\nurl_file = \"{}\"\nsandbox = true\n", secret.display());
    std::fs::write(test.config(), text).expect("written");
    for (file, mode, mend) in [
        (secret.clone(), 0o644, format!("chmod 600 {}", secret.display())),
        (test.config(), 0o666, format!("chmod go-w {}", test.config().display())),
    ] {
        let change = |mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, permissions).expect("its mode is set");
        };
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("set");
        change(mode);
        let (code, all) = examined(&test);
        assert_eq!(code, 3);
        assert!(all.contains(&("file_mode".to_owned(), mend.clone())), "{all:#?}");
        change(0o600);
    }
}

#[tokio::test]
async fn roles_have_what_they_were_given_and_no_more() {
    let test = acme().await;
    let give = "db migrate --with-roles";
    run(&test, give).exits(0);
    assert_eq!(examined(&test), (0, vec![]));
    for (fault, mend) in [
        ("revoke insert on usage_metrics from periodd_app", give),
        ("revoke execute on function record_usage from periodd_app", give),
        ("revoke select on usage_alerts_view from periodd_member", give),
        ("drop policy of_the_app on users", give),
    ] {
        test.sql(fault).await;
        let mend = format!("periodd {mend}");
        assert_eq!(examined(&test), (3, vec![("rights".to_owned(), mend)]), "{fault}");
        run(&test, give).exits(0);
        assert_eq!(examined(&test), (0, vec![]), "{fault}: what is said mends it");
    }
    for fault in [
        "grant update on usage_counters to periodd_member",
        "grant delete on overage_entries to public",
        "grant select on periodd_outbox to periodd_app",
    ] {
        test.sql(fault).await;
        let (code, all) = examined(&test);
        assert_eq!(code, 3, "{fault}");
        for (check, mend) in all {
            assert!(check == "rights" && mend.starts_with("revoke "), "{fault}: {check}: {mend}");
            test.sql(&mend).await;
        }
        assert_eq!(examined(&test), (0, vec![]), "{fault}: what is said mends it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_is_greeted_and_nothing_is_sent() {
    let test = acme().await;
    let server = ScriptedServer::start().await;
    let password = test.config().parent().expect("a directory").join("password");
    std::fs::write(&password, "secret-of-mail").expect("written");
    let owner_only = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&password, owner_only).expect("its mode is set");
    test.configure(&format!(
        "[mail]\ntransport = \"smtp\"\nfrom = \"a@example.com\"\n\
         [mail.smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         username = \"us\"\npassword_file = \"{}\"\n",
        server.port,
        password.display()
    ));
    assert_eq!(examined(&test), (0, vec![]));
    assert_eq!((server.connections(), server.received()), (1, vec![]));

    server.always(Verb::Auth, Act::Reply("535 5.7.8 who are you"));
    let (code, all) = examined(&test);
    let mend = "smtp.username and smtp.password_file in [mail]".to_owned();
    assert_eq!((code, all), (3, vec![("mail_login".to_owned(), mend)]));
    let page = run(&test, &format!("doctor --at {NOW}")).exits(3).stdout;
    assert!(page.contains("who are you") && !page.contains("secret-of-mail"), "{page}");

    server.always(Verb::Connect, Act::Reply("421 4.3.2 closed for today"));
    let (code, all) = examined(&test);
    assert_eq!((code, all[0].0.as_str()), (3, "mail_server"));
}
