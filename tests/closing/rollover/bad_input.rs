//! Bad input gets one clear sentence, the right exit code, and changes nothing.

use crate::story::{add, dump, including, rollover};
use crate::support::{Answer, TestDatabase};

const NOW: &str = "2026-05-10T00:00:00Z";

async fn acme() -> TestDatabase {
    let test = including(500).await;
    add(&test, "acme", "2026-05-01T00:00:00Z", &["--zone", "UTC"]);
    test
}

/// One sentence of ours on stderr that contains these words, and nothing on stdout.
#[track_caller]
fn says(answer: &Answer, words: &[&str]) {
    assert!(answer.stdout.is_empty(), "{answer:?}");
    let first = answer.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("periodd: ") || first.starts_with("error: "), "{answer:?}");
    let sentences = answer.stderr.lines().filter(|line| line.starts_with("periodd: ")).count();
    assert!(sentences <= 1, "{answer:?}");
    for word in words {
        assert!(answer.stderr.contains(word), "`{word}` is missing in {answer:?}");
    }
    for noise in ["Error {", "panicked", "sqlx", "DatabaseError", "SQLSTATE"] {
        assert!(!answer.stderr.contains(noise), "{answer:?}");
    }
}

#[tokio::test]
async fn arguments_that_say_something_impossible_change_nothing() {
    let test = acme().await;
    let grant = ["packs", "grant", "--feature", "minutes_transcribed"];
    let record = ["usage", "record", "--feature", "minutes_transcribed"];
    let to_acme = ["--org", "acme", "--quantity"];
    let fax = ["--org", "acme", "--quantity", "1", "--feature", "faxes"];
    test.periodd(&[&grant[..], &to_acme, &["100", "--reference", "inv-1"]].concat()).exits(0);
    let before = dump(&test).await;

    let cases: Vec<(Vec<&str>, i32, Vec<&str>)> = vec![
        ([&grant[..], &to_acme, &["-1"]].concat(), 2, vec!["-1", "greater than zero"]),
        ([&grant[..], &to_acme, &["0"]].concat(), 2, vec!["0", "greater than zero"]),
        ([&grant[..], &to_acme, &["1.0000001"]].concat(), 2, vec!["1.0000001", "6 decimals"]),
        ([&grant[..], &to_acme, &["NaN"]].concat(), 2, vec!["NaN", "decimal number"]),
        ([&grant[..], &to_acme, &["1e3"]].concat(), 2, vec!["1e3", "decimal number"]),
        ([&grant[..], &to_acme, &["99999999999999999999999"]].concat(), 2, vec!["too large"]),
        ([&record[..], &to_acme, &["-1"]].concat(), 2, vec!["-1", "--correction"]),
        ([&record[..], &to_acme, &["0"]].concat(), 2, vec!["0", "greater than zero"]),
        ([&record[..], &to_acme, &["0.1234567"]].concat(), 2, vec!["0.1234567", "6 decimals"]),
        (
            [&record[..], &["--org", "acmee", "--quantity", "1"]].concat(),
            2,
            vec!["`acmee`", "did you mean `acme`?"],
        ),
        (
            [&grant[..], &["--org", "zzz", "--quantity", "1"]].concat(),
            2,
            vec!["`zzz`", " orgs list`"],
        ),
        (vec!["orgs", "show", "acmee"], 2, vec!["`acmee`", "did you mean `acme`?"]),
        ([&["usage", "record"], &fax[..]].concat(), 2, vec!["faxes"]),
        ([&["packs", "grant"], &fax[..]].concat(), 2, vec!["faxes"]),
        ([&record[..], &to_acme, &["1", "--user", "no@body"]].concat(), 2, vec!["no@body"]),
        (
            [&record[..], &to_acme, &["1", "--used-at", "2026-05-10T00:00:01Z"]].concat(),
            5,
            vec!["2026-05-10 00:00:01 UTC", "future"],
        ),
        (
            [&record[..], &to_acme, &["1", "--used-at", "2026-05-32"]].concat(),
            2,
            vec!["2026-05-32", "RFC 3339"],
        ),
        (
            [&grant[..], &to_acme, &["1", "--expires-at", "2026-05-09T00:00:00Z"]].concat(),
            2,
            vec!["2026-05-09", "expire"],
        ),
        (
            [&grant[..], &to_acme, &["1", "--expires-at", NOW, "--purchased-at", NOW]].concat(),
            2,
            vec!["expire"],
        ),
        (
            [&grant[..], &to_acme, &["101", "--reference", "inv-1"]].concat(),
            2,
            vec!["inv-1", "100", "minutes_transcribed"],
        ),
        (vec!["rollover", "--org", "acmee"], 2, vec!["did you mean `acme`?"]),
        (vec!["rollover", "--zone", "Mars/Phobos"], 2, vec!["Mars/Phobos"]),
        (vec!["rollover", "--zone", "Europe/Berln"], 2, vec!["Europe/Berln", "Europe/Berlin"]),
    ];
    for (arguments, code, words) in cases {
        let answer = test.periodd(&[&["--at", NOW][..], &arguments].concat());
        let answer = answer.exits(code);
        says(&answer, &words);
        assert_eq!(dump(&test).await, before, "{arguments:?}");
    }
    test.check_invariants().await;
}

#[tokio::test]
async fn orgs_that_cannot_be_added_are_not_added() {
    let test = acme().await;
    let before = dump(&test).await;
    let id = test.rows("select id from organizations").await;
    let cases: [(&[&str], &[&str]); 11] = [
        (&["acme", "--zone", "UTC"], &["`acme`", "already in use"]),
        (&["b", "--zone", "UTC", "--id", &id[0]], &[&id[0], "already in use"]),
        (&["b", "--zone", "Mars/Phobos"], &["Mars/Phobos"]),
        (&["b", "--zone", "EST"], &["EST"]),
        (&["b", "--zone", "UTC", "--tier", "gold"], &["`gold`", "free", "pro"]),
        (&["b", "--zone", "UTC", "--anchor-day", "32"], &["32", "31"]),
        (&["b", "--zone", "UTC", "--anchor-day", "0"], &["0", "1 to 31"]),
        (&["b", "--zone", "UTC", "--cycle", "weekly", "--anchor-day", "8"], &["8", "7"]),
        (&["b", "--zone", "UTC", "--cycle", "yearly", "--anchor-month", "13"], &["13", "12"]),
        (&["b", "--zone", "UTC", "--period-start", "2026-05-10T00:00:01Z"], &["future"]),
        (&["a slug", "--zone", "UTC"], &["`a slug`"]),
    ];
    for (flags, words) in cases {
        let fixed = ["--at", NOW, "orgs", "add", "--name", "B"];
        let answer = test.periodd(&[&fixed[..], flags].concat());
        says(&answer.exits(2), words);
        assert_eq!(dump(&test).await, before, "{flags:?}");
    }
    let malformed = test.periodd(&["--at", "someday", "rollover"]).exits(2);
    says(&malformed, &["someday", "RFC 3339"]);
}

#[tokio::test]
async fn a_database_that_is_newer_than_the_binary_is_left_alone() {
    let test = acme().await;
    test.sql(
        "insert into periodd_migrations (version, description, checksum)
         values (9999, 'from the future', '')",
    )
    .await;
    let before = dump(&test).await;
    for command in [&["rollover"][..], &["db", "migrate"], &["orgs", "list"]] {
        let arguments = [&["--at", "2026-07-01T00:00:00Z"], command].concat();
        says(&test.periodd(&arguments).exits(78), &["newer", "9999"]);
        assert_eq!(dump(&test).await, before, "{command:?}");
    }
}

#[tokio::test]
async fn a_database_that_is_not_migrated_is_told_so() {
    let test = TestDatabase::empty().await;
    for command in [&["rollover"][..], &["orgs", "list"]] {
        says(&test.periodd(command).exits(78), &[" db migrate`"]);
    }
    let tables = "select table_name from information_schema.tables where table_schema = 'public'";
    assert!(test.rows(tables).await.is_empty());
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_unavailable() {
    let test = acme().await;
    for url in [
        "postgresql:///periodd?host=/nowhere&user=nobody",
        "postgresql://nobody@127.0.0.1:1/periodd",
    ] {
        let config = format!("[database]\nurl = \"{url}\"\n");
        let answer = test.periodd_configured(&config, &["rollover"]).exits(69);
        says(&answer, &["unavailable", "[database] url"]);
    }
}

#[tokio::test]
async fn a_grant_or_a_use_that_was_said_before_answers_as_before() {
    let test = acme().await;
    let grant = ["--at", NOW, "--format", "json", "packs", "grant", "--org", "acme"];
    let what = ["--feature", "minutes_transcribed", "--quantity", "100", "--reference", "inv-1"];
    let ids = [(); 2].map(|()| {
        let answer = test.periodd(&[&grant[..], &what].concat()).exits(0);
        answer.json()[0]["id"].as_str().unwrap().to_owned()
    });
    assert_eq!(ids[0], ids[1]);
    assert_eq!(test.rows("select count(*) from overage_packs").await, ["1"]);
    rollover(&test, "2026-06-02T00:00:00Z", &[]).exits(0);
    test.check_invariants().await;
}
