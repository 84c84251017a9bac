//! The frame of the command line: formats, exit codes, sentences, pipes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

fn periodd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
    command.args(arguments);
    command
}

/// Exit code, stdout, stderr.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = periodd(arguments).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

#[test]
fn periods_prints_what_the_contract_says() {
    let arguments = "periods --zone Europe/Berlin --cycle monthly --anchor-day 31 \
                     --at 2026-01-31T12:00:00Z --count 3";
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let (code, table, notes) = run(&arguments);
    assert_eq!((code, notes.as_str()), (0, ""));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "headings, a rule and three periods:\n{table}");
    assert!(lines[0].starts_with("start") && lines[0].ends_with("end (UTC)"), "{table}");
    assert_eq!(
        lines[3].split("  ").map(str::trim).collect::<Vec<_>>(),
        ["2026-02-28 00:00 +01", "2026-03-31 00:00 +02", "2026-02-27 23:00", "2026-03-30 22:00"]
    );
    assert!(!table.contains('\u{1b}'), "no colour where nobody sees it");

    let (code, document, notes) = run(&[&["--format", "json"], &arguments[..]].concat());
    assert_eq!((code, notes.as_str()), (0, ""));
    let list: serde_json::Value = serde_json::from_str(&document).expect("one document");
    let second = serde_json::json!({
        "start": "2026-02-27T23:00:00Z",
        "end": "2026-03-30T22:00:00Z",
        "start_local": "2026-02-28T00:00:00+01:00",
        "end_local": "2026-03-31T00:00:00+02:00",
    });
    assert_eq!(list[1], second);
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), 3);
    assert!(list.windows(2).all(|pair| pair[0]["end"] == pair[1]["start"]), "periods touch");
}

#[test]
fn without_at_the_period_contains_now() {
    let (code, document, _) =
        run(&["periods", "--zone", "UTC", "--cycle", "daily", "--format", "json"]);
    assert_eq!(code, 0);
    let list: serde_json::Value = serde_json::from_str(&document).expect("one document");
    let now = periodd::clock::now();
    let instant = |key: &str| -> periodd::billing::Instant {
        list[0][key].as_str().expect("text").parse().expect("an instant")
    };
    // At midnight the day may turn between the two looks at the clock.
    let day = jiff::SignedDuration::from_hours(24);
    assert!(instant("start") <= now && now < instant("end").plus(day).expect("in range"));
}

#[test]
fn a_bad_argument_gets_one_sentence_and_exit_code_2() {
    let berlin = ["periods", "--zone", "Europe/Berlin", "--cycle"];
    for (arguments, sentence) in [
        (
            &["periods", "--zone", "Europe/Berln", "--cycle", "daily"][..],
            "periodd: unknown time zone `Europe/Berln`; did you mean Europe/Berlin?\n",
        ),
        (
            &["periods", "--zone", "Berlin", "--cycle", "daily"],
            "periodd: unknown time zone `Berlin`; did you mean Europe/Berlin?\n",
        ),
        (
            &[&berlin[..], &["monthly", "--anchor-day", "32"]].concat(),
            "periodd: anchor day 32 does not exist; use 1 to 31\n",
        ),
        (
            &[&berlin[..], &["weekly", "--anchor-day", "-1"]].concat(),
            "periodd: anchor weekday -1 does not exist; use 1 to 7\n",
        ),
        (
            &[&berlin[..], &["yearly", "--anchor-month", "13"]].concat(),
            "periodd: anchor month 13 does not exist; use 1 to 12\n",
        ),
        (
            &[&berlin[..], &["quarterly", "--anchor-month", "0"]].concat(),
            "periodd: anchor month 0 does not exist; use 1 to 12\n",
        ),
        (
            &[&berlin[..], &["daily", "--count", "0"]].concat(),
            "periodd: a count of 0 is too small; use 1 or more\n",
        ),
        (
            &[&berlin[..], &["daily", "--at", "9999-12-29T00:00:00Z", "--count", "9"]].concat(),
            "periodd: the date is outside the years 1 to 9999; \
             ask for an earlier time or for fewer periods\n",
        ),
        (
            &["periods", "--batch", "--at", "2026-05-01T00:00:00Z"],
            "periodd: --at cannot be used with --batch; put an `at` in every line\n",
        ),
    ] {
        assert_eq!(run(arguments), (2, String::new(), sentence.to_owned()), "{arguments:?}");
    }
}

#[test]
fn a_misspelt_command_line_gets_a_suggestion_and_exit_code_2() {
    for (arguments, suggestion) in [
        (&["perods"][..], "'periods'"),
        (&["periods", "--zon", "UTC", "--cycle", "daily"], "'--zone'"),
        (&["periods", "--zone", "UTC", "--cycle", "dayly"], "'daily'"),
        (&["periods", "--zone", "UTC", "--cycle", "daily", "--at", "noon"], "RFC 3339"),
        (
            &["periods", "--zone", "UTC", "--cycle", "daily", "--anchor-time", "24:00"],
            "invalid time of day `24:00`; write it as 14:32 or 14:32:10",
        ),
        (&["periods", "--zone", "UTC"], "--cycle <CYCLE>"),
        (&["periods", "--batch", "--count", "2"], "cannot be used with"),
        (&[], "Usage: periodd"),
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(stderr.contains(suggestion), "{arguments:?}: {stderr}");
    }
    let (_, _, stderr) = run(&["rollover", "--feature", "sms_sent"]);
    assert!(!stderr.contains("--at'"), "another option is no suggestion: {stderr}");
}

#[test]
fn help_says_the_exit_codes_and_gives_every_command_an_example() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for line in ["2  usage", "69  database or mail server unavailable", "130  interrupted"] {
        assert!(help.contains(line), "{help}");
    }
    let mut pending = vec![(Vec::new(), <periodd::cli::Cli as clap::CommandFactory>::command())];
    while let Some((path, command)) = pending.pop() {
        for below in command.get_subcommands() {
            let path: Vec<String> =
                path.iter().cloned().chain([below.get_name().to_owned()]).collect();
            let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
            arguments.push("--help");
            let (code, help, _) = run(&arguments);
            assert_eq!(code, 0);
            let (_, examples) = help.split_once("Example").unwrap_or_else(|| panic!("{help}"));
            assert!(examples.contains(&format!("  periodd {}", path.join(" "))), "{help}");
            pending.push((path, below.clone()));
        }
    }
}

#[test]
fn the_command_line_is_consistent_in_itself() {
    <periodd::cli::Cli as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let many = ["periods", "--zone", "UTC", "--cycle", "daily", "--count", "20000"];
    for format in ["table", "json"] {
        let mut child = periodd(&many)
            .args(["--format", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut first = String::new();
        // The reader is dropped, and the pipe with it, long before all is written.
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("read");
        let Output { status, stderr, .. } = child.wait_with_output().expect("it ends");
        assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(0), ""));
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let full = std::fs::File::create("/dev/full").expect("Linux has it");
    let output = periodd(&["periods", "--zone", "UTC", "--cycle", "daily"])
        .stdout(full)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("periodd: cannot write to standard output: "), "{said}");
}

mod output {
    //! How pages are laid out.

    use periodd::cli::output::{Cell, Page, Table, Tone};

    fn page() -> Page {
        let mut table = Table::new(["org", "used"]);
        table.row([Cell::text("acme"), Cell::number(1200)]);
        table.row([Cell::text("a firm with a long name").tone(Tone::Bad), Cell::number(7)]);
        Page::new().line("Two orgs").table(table)
    }

    #[test]
    fn a_page_is_plain_text_without_trailing_blanks() {
        let expected = "\
Two orgs
org                      used
──────────────────────────────
acme                     1200
a firm with a long name     7
";
        assert_eq!(page().render(None, false), expected);
    }

    #[test]
    fn a_page_fits_the_terminal() {
        for width in [20_u16, 24, 40] {
            let text = page().render(Some(width), false);
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(usize::from(width)), "{text}");
        }
    }

    #[test]
    fn colours_come_only_when_wanted() {
        assert!(page().render(None, true).contains("\u{1b}["));
        assert!(!page().render(None, false).contains('\u{1b}'));
    }
}
