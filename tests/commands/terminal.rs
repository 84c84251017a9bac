//! What only happens on a terminal: colours, a width to keep to, and a question. The terminal is
//! one that `script` makes.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Answer, TestDatabase};

async fn two_orgs() -> TestDatabase {
    let test = TestDatabase::new().await;
    for (slug, zone) in [("acme", "Europe/Berlin"), ("bolt", "UTC")] {
        test.periodd(&["orgs", "add", slug, "--name", slug, "--zone", zone]).exits(0);
    }
    test
}

/// A line on a terminal of that many columns, where somebody types.
fn on_a_terminal(
    test: &TestDatabase,
    line: &str,
    columns: u16,
    environment: &[(&str, &str)],
    typed: &str,
) -> Answer {
    let (program, config) = (env!("CARGO_BIN_EXE_periodd"), test.config());
    let line =
        format!("stty cols {columns} -echo; '{program}' --config '{}' {line}", config.display());
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &line, "/dev/null"]);
    script.env_remove("DATABASE_URL").env_remove("NO_COLOR").env("TERM", "xterm");
    script.envs(environment.iter().copied());
    let mut script = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("util-linux has script");
    let mut keyboard = script.stdin.take().expect("piped");
    keyboard.write_all(typed.as_bytes()).expect("typed");
    let output = script.wait_with_output().expect("it ends");
    drop(keyboard);
    Answer::from(output)
}

#[tokio::test]
async fn colours_are_for_terminals_that_want_them() {
    let test = two_orgs().await;
    let show = |environment: &[(&str, &str)]| {
        on_a_terminal(&test, "orgs show acme", 100, environment, "").exits(0).stdout
    };
    assert!(show(&[]).contains("\u{1b}["));
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let page = show(&[environment]);
        assert!(page.contains("acme (acme)"), "{page}");
        assert!(!page.contains('\u{1b}'), "{environment:?}: {page}");
    }
    let document = on_a_terminal(&test, "orgs show acme --format json", 100, &[], "").exits(0);
    assert!(!document.stdout.contains('\u{1b}'), "{document:?}");
}

#[tokio::test]
async fn tables_keep_to_the_width() {
    let test = two_orgs().await;
    let widest = |columns| {
        let colourless = [("NO_COLOR", "1")];
        let page = on_a_terminal(&test, "orgs list", columns, &colourless, "").exits(0).stdout;
        assert!(page.contains("acme"), "{page}");
        page.lines().map(|line| line.trim_end().chars().count()).max().expect("lines")
    };
    let whole = widest(200);
    assert!(whole > 40, "{whole}");
    assert!(widest(40) <= 40);
    assert_eq!(widest(100), whole);
}

#[tokio::test]
async fn a_question_names_the_number_and_only_yes_means_yes() {
    let test = two_orgs().await;
    let starts = "select slug, current_period_start from organizations order by 1";
    let before = test.rows(starts).await;
    let early = |typed| on_a_terminal(&test, "rollover --early", 100, &[], typed);
    for typed in ["n\n", "\n", "yesterday\n"] {
        let answer = early(typed).exits(5);
        let question = "This will grant a whole included quantity once more, and close the open \
                        period of 2 orgs. Continue? [y/N] ";
        assert!(answer.stdout.contains(question), "{answer:?}");
        assert!(answer.stdout.contains("not confirmed; nothing was changed"), "{answer:?}");
        assert_eq!(test.rows(starts).await, before);
    }
    early("y\n").exits(0);
    assert_ne!(test.rows(starts).await, before);
    // Where nobody can be asked, it is refused without --yes.
    let refused = test.periodd(&["rollover", "--early"]).exits(5);
    assert!(refused.stderr.contains("2 orgs") && refused.stderr.contains("--yes"), "{refused:?}");
}

#[tokio::test]
async fn whoever_watches_a_rollover_sees_how_far_it_is() {
    for (flag, is_told) in [("", true), ("--quiet", false)] {
        let test = TestDatabase::new().await;
        test.configure("[rollover]\nbatch_size = 100\n");
        test.sql(
            "insert into organizations (slug, name, time_zone,
                                        current_period_start, current_period_end)
             select 'org-' || i, 'Org', 'UTC', '2026-04-01Z', '2026-05-01Z'
             from generate_series(1, 600) as i",
        )
        .await;
        let rollover = format!("{flag} rollover --at 2026-05-02T00:00:00Z");
        let watched = on_a_terminal(&test, &rollover, 100, &[], "").exits(0).stdout;
        assert_eq!(watched.contains("/600"), is_told, "how many of how many: {watched:?}");
        assert!(watched.contains("closed 600 periods of 600 orgs"), "{watched:?}");
    }
}

/// Names that customers choose, on an operator's terminal: an escape would clear the screen, a
/// line break would forge a row.
#[tokio::test]
async fn what_names_hold_is_shown_and_not_obeyed() {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations (id, slug, name, time_zone, subscription_tier)
         values ('11111111-1111-1111-1111-111111111111', E'evil\\x1b[31m',
                 E'\\x1b]0;pwned\\x07\\x1b[2J\\nAll is well\\u009b8m\\u202e', 'UTC', 'pro'),
                ('22222222-2222-2222-2222-222222222222', 'bolt', 'x', E'No/Zone\\x1b[5m', 'pro');
         insert into users (organization_id, email)
         select id, E'a\\x1b[7m@x.example' from organizations;
         insert into features values (E'feat\\x1b[41m', 'u');
         insert into usage_metrics (organization_id, metric_type, metric_value)
         select id, E'feat\\x1b[41m', 5 from organizations",
    )
    .await;
    let org = "11111111-1111-1111-1111-111111111111";
    for line in [
        &["orgs", "list"][..],
        &["orgs", "show", org],
        &["explain", org],
        &["rollover"],
        &["explain", "bolt"],
        &["status"],
        &["doctor"],
        &["usage", "limits", "--org", org],
        &["runs", "list"],
        &["orgs", "show", "nobody\u{1b}[31m"],
        &["--format", "json", "orgs", "list"],
        &["--format", "json", "explain", org],
    ] {
        let answer = test.periodd(line);
        for text in [&answer.stdout, &answer.stderr] {
            let obeyed = |c: char| c != '\n' && periodd::text::is_invisible(c);
            assert!(!text.contains(obeyed), "{line:?}: {text:?}");
            assert!(!text.contains("\nAll is well"), "{line:?}: {text}");
        }
    }
    let document = test.periodd(&["--format", "json", "orgs", "show", org]).json();
    assert_eq!(document["name"], "\u{1b}]0;pwned\u{7}\u{1b}[2J\nAll is well\u{9b}8m\u{202e}");
}
