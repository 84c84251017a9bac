//! The question before an import, at a terminal: `script` lends one.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::adoption::situation;
use crate::support::TestDatabase;

/// What is said at the terminal, and the exit code, when this is typed at the question.
fn answered(test: &TestDatabase, typed: &[u8]) -> (String, Option<i32>) {
    let import = test.command(&["db", "import", "--apply"]);
    let words = std::iter::once(import.get_program()).chain(import.get_args());
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"])
        .env_remove("DATABASE_URL")
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs: it comes with util-linux");
    let mut keys = terminal.stdin.take().expect("its keyboard");
    let mut screen = terminal.stdout.take().expect("its screen");
    let (mut said, mut some) = (Vec::new(), [0; 4096]);
    let mut is_answered = false;
    loop {
        let count = screen.read(&mut some).expect("what it says");
        if count == 0 {
            break;
        }
        said.extend(&some[..count]);
        if !is_answered && String::from_utf8_lossy(&said).contains("Continue? [y/N]") {
            keys.write_all(typed).expect("typed");
            is_answered = true;
        }
    }
    let said = String::from_utf8_lossy(&said).into_owned();
    (said, terminal.wait().expect("it ended").code())
}

#[tokio::test]
async fn the_question_names_the_orgs_and_can_be_broken_off() {
    let test = situation(include_str!("002.sql")).await;
    let untouched = "select to_regclass('organizations_legacy') is null as untouched";
    for (typed, code) in [(&b"\x03"[..], 130), (b"n\n", 5)] {
        let (said, ended) = answered(&test, typed);
        assert!(said.contains("replace organizations, users, usage_metrics"), "{said}");
        assert!(said.contains("of 8 orgs"), "{said}");
        assert_eq!(ended, Some(code), "{said}");
        assert_eq!(test.rows(untouched).await, ["true"], "{said}");
    }
    let (said, ended) = answered(&test, b"y\n");
    assert_eq!(ended, Some(0), "{said}");
    assert_eq!(test.rows(untouched).await, ["false"]);
}
