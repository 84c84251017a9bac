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
    let plain = |(check, mend): (String, String)| (check, test.plain(&mend));
    (answer.code, found(&answer.json()).into_iter().map(plain).collect())
}

#[tokio::test]
async fn a_database_that_is_well_has_no_fault() {
    let test = acme().await;
    let before = test.digests().await;
    assert_eq!(examined(&test), (0, vec![]));
    assert_eq!(test.digests().await, before, "nothing was changed");
    let page = run(&test, &format!("doctor --at {NOW}")).exits(0).stdout;
    assert!(page.contains("✓ the books are consistent"), "{page}");
}

/// Each deep check with its fixture is in `proposed.rs`; these are further faults of the same
/// kinds.
#[tokio::test]
async fn faults_of_the_schema_have_the_statement_that_repairs_each() {
    for (fault, check, repair) in [
        (
            "alter table org_alert_settings disable row level security",
            "schema",
            "alter table org_alert_settings enable row level security",
        ),
        (
            "grant create on schema public to public",
            "schema",
            "revoke create on schema public from public",
        ),
        (
            "grant create on schema public to pg_monitor",
            "schema",
            "revoke create on schema public from pg_monitor",
        ),
        (
            "grant truncate on usage_metrics to public",
            "rights",
            "revoke truncate, references, trigger on usage_metrics from public",
        ),
    ] {
        let test = acme().await;
        test.sql(fault).await;
        let (code, all) = examined(&test);
        assert!(all.contains(&(check.to_owned(), repair.to_owned())), "{check}: {all:#?}");
        assert_eq!(code, 3, "{check}");
        test.sql(repair).await;
        assert_eq!(examined(&test), (0, vec![]), "{repair}");
    }
}

/// What `status` finds, `doctor` finds, too.
#[tokio::test]
async fn doctor_finds_what_status_finds() {
    let test = acme().await;
    test.sql(
        "insert into periodd_runs (job, trigger, outcome, replica, started_at, finished_at, error)
         values ('rollover', 'command', 'failed', 'web-1', now(), now(), 'oh');
         insert into periodd_schedules (job, trigger, seed, settled, paused_at, pause_reason)
         values ('rollover', 'schedule', 1, '2026-05-16T11:59Z', '2026-05-16Z', 'moving');
         insert into periodd_suppressions (org_id, email)
         select id, 'ann@acme.example' from organizations;
         insert into org_contacts (org_id, email)
         select id, 'ann@acme.example' from organizations;
         update organizations set current_period_end = '2026-05-16T11:30Z'",
    )
    .await;
    let status = run(&test, &format!("status --at {NOW} --format json")).exits(3).json();
    let of_status: Vec<String> = status["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|finding| finding["check"].as_str().expect("a check").to_owned())
        .collect();
    for check in ["overdue", "paused", "failed", "dead_address"] {
        assert!(of_status.contains(&check.to_owned()), "{check}: {of_status:?}");
    }
    let doctor = run(&test, &format!("doctor --at {NOW} --format json")).exits(3).json();
    let of_doctor = doctor.to_string();
    for check in of_status {
        assert!(of_doctor.contains(&format!("\"check\":\"{check}\"")), "{check}: {doctor:#}");
    }
}

/// Where the schema is older, most cannot be asked, and nothing is said of that.
#[tokio::test]
async fn nothing_is_said_of_what_was_not_looked_at() {
    let test = TestDatabase::empty().await;
    let page = run(&test, "doctor").exits(3).stdout;
    assert!(page.contains("✗ the schema is current"), "{page}");
    assert!(page.contains("? the books are consistent (not checked)"), "{page}");
    assert!(!page.contains("✓ the books") && !page.contains("no problems found\n"), "{page}");
    let problems = page.matches("problem: ").count();
    assert_eq!(problems, 1, "one cause is one problem: {page}");
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
    assert_eq!((code, all[0].0.as_str()), (3, "mail_login"));
    assert!(all[0].1.contains("username and password_file in [mail.smtp]"), "{all:?}");
    let page = run(&test, &format!("doctor --at {NOW}")).exits(3).stdout;
    assert!(page.contains("who are you") && !page.contains("secret-of-mail"), "{page}");

    server.always(Verb::Connect, Act::Reply("421 4.3.2 closed for today"));
    let (code, all) = examined(&test);
    assert_eq!((code, all[0].0.as_str()), (3, "mail_server"));
}

/// Each of them with its remedy is in `proposed.rs`; here is where they end.
#[tokio::test]
async fn of_http_only_what_clients_and_readers_of_emails_would_meet_is_found() {
    let test = acme().await;
    let http = |test: &TestDatabase| -> Vec<String> {
        let diagnosis = run(test, &format!("doctor --at {NOW} --format json")).json();
        let checks = diagnosis["checks"].as_array().expect("checks").iter();
        let findings = checks.flat_map(|check| check["findings"].as_array().expect("findings"));
        let of_http = ["no_token", "endless_tokens", "unsubscribe_links"];
        let named = findings.filter_map(|finding| {
            let name = finding["check"].as_str().filter(|name| of_http.contains(name))?;
            Some(format!("{name}: {}", finding["what"].as_str().expect("a sentence")))
        });
        named.collect()
    };
    run(&test, "tokens add old --scope read").exits(0);
    assert_eq!(http(&test), [] as [String; 0], "nothing is served");
    test.configure(
        "[http]\nenabled = true\npublic_url = \"https://billing.example.com\"\n\
         listen = \"[::]:7788\"\n",
    );
    assert_eq!(http(&test), ["endless_tokens: 1 token does not expire: old"]);
    run(&test, "tokens revoke old").exits(0);
    let open = "no_token: HTTP listens on [::]:7788, for other machines too, and no token is \
                valid: clients are refused";
    assert_eq!(http(&test), [open]);
    test.sql(
        "insert into periodd_tokens (name, digest, scopes, expires_at)
         values ('expired', decode(repeat('00', 32), 'hex'), '{read}', now())",
    )
    .await;
    assert_eq!(http(&test), [open]);
    run(&test, "tokens add new --scope read --expires 90d").exits(0);
    assert_eq!(http(&test), [] as [String; 0]);
    // Links lead to this server, or to another one.
    let own = "https://billing.example.com/unsubscribe/{token}";
    test.configure(&format!("[mail]\nunsubscribe_url = \"{own}\"\n"));
    assert_eq!(http(&test), [] as [String; 0]);
    let settings = std::fs::read_to_string(test.config()).expect("the configuration");
    let other = settings.replace(own, "https://example.com/u/{token}");
    std::fs::write(test.config(), other).expect("written");
    let elsewhere = "unsubscribe_links: links to unsubscribe lead to \
                     https://example.com/u/{token}, and not to [http] public_url, \
                     https://billing.example.com";
    assert_eq!(http(&test), [elsewhere]);
}

/// Of history that nobody has verified, only what was closed lately is asked about; that is said.
#[tokio::test]
async fn history_that_was_never_verified_is_noted() {
    let test = acme().await;
    test.sql("update billing_periods set recorded_at = now() - interval '36 days'").await;
    let config = format!("[database]\nurl = \"{}\"\n", test.url());
    let noted = || {
        let answer = test.periodd_configured(&config, &["doctor", "--format", "json"]).json();
        let checks = answer["checks"].as_array().expect("checks").clone();
        let findings = checks.iter().flat_map(|check| check["findings"].as_array().expect("some"));
        let books = findings.filter(|finding| finding["check"] == "books");
        books.map(|finding| finding["severity"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(noted(), ["note"]);
    test.periodd_configured(&config, &["db", "verify"]).exits(0);
    assert_eq!(noted(), Vec::<Value>::new());
}
