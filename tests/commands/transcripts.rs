//! The README's transcripts: what it says that the program prints is what the program prints.
//!
//! The tour is run against a real database, at the business time that it tells of. Of all other
//! examples, in every document, the command line must at least be one that the program takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{self, TestDatabase};
use clap::CommandFactory;

/// When the tour takes place.
const NOW: &str = "2026-11-22T12:00:00Z";

/// A command of a transcript, and what it prints.
struct Step {
    /// Where it stands: `README.md:71`.
    place: String,
    command: String,
    printed: String,
}

fn document(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The commands of every console block, with the lines that follow each. `#` is root's prompt.
fn steps(name: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut goes_on, mut complete) = (false, false, true);
    for (place, line) in document(name).lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
            complete = true;
            continue;
        }
        if !inside {
            continue;
        }
        let typed = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "));
        match (steps.last_mut(), typed) {
            (Some(step), _) if goes_on => {
                step.command.push('\n');
                step.command.push_str(line);
                goes_on = line.ends_with('\\');
            }
            (_, Some(typed)) => {
                let place = format!("{name}:{}", place + 1);
                let command = typed.to_owned();
                goes_on = command.ends_with('\\');
                complete = false;
                steps.push(Step { place, command, printed: String::new() });
            }
            (Some(step), None) if !complete => {
                step.printed.push_str(line);
                step.printed.push('\n');
            }
            _ => panic!("{name}:{}: a console block begins with a command", place + 1),
        }
    }
    steps
}

/// Lines from a heading to the next of its rank.
fn chapter(name: &str, heading: &str) -> (usize, usize) {
    let text = document(name);
    let begins = |line: &str| line == heading;
    let first = text.lines().position(begins).unwrap_or_else(|| panic!("{name}: no {heading}"));
    let length = text.lines().skip(first + 1).position(|line| line.starts_with("## "));
    (first + 1, first + 1 + length.unwrap_or(usize::MAX - first - 1))
}

/// Ids differ from run to run; an empty line between two commands belongs to neither.
fn masked(text: &str) -> String {
    // Whole, or as much of it as tables show.
    let is_short = |word: &str| word.len() == 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let is_id =
        |word: &str| uuid::Uuid::try_parse(word).is_ok() && word.len() == 36 || is_short(word);
    let line = |line: &str| -> String {
        let words = line.split_inclusive(|c: char| !c.is_ascii_hexdigit() && c != '-');
        let masked = words.map(|word| {
            let id = word.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
            if is_id(id) { word.replace(id, "<id>") } else { word.to_owned() }
        });
        masked.collect::<String>().trim_end().to_owned()
    };
    text.trim_end().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_tour_prints_what_the_readme_says() {
    let test = TestDatabase::empty().await;
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_periodd"));
    let tools = std::env::var("PERIODD_TEST_BINARIES").expect("the server's programs");
    // The tour's database has a name and an owner of its own here, and its day is not today.
    let (server, name, binary) = (support::server(), &test.name, binary.display());
    let prelude = format!(
        "psql() {{ shift; '{tools}/psql' -X -h '{server}' -U postgres '{name}' \"$@\"; }}
         periodd() {{
             case \" $* \" in
                 *' --at '*) '{binary}' \"$@\" ;;
                 *) '{binary}' \"$@\" --at {NOW} ;;
             esac
         }}\n"
    );
    let (first, last) = chapter("README.md", "## A tour");
    let line_of = |step: &Step| -> usize {
        step.place.rsplit(':').next().and_then(|line| line.parse().ok()).expect("a line")
    };
    let tour = steps("README.md").into_iter();
    let tour: Vec<Step> = tour.filter(|step| (first..last).contains(&line_of(step))).collect();
    assert!(tour.len() >= 12, "the tour has {} steps", tour.len());
    let home = tempfile::tempdir().expect("a directory");
    let mut faults = Vec::new();
    for step in tour {
        if step.command == "export PERIODD__DATABASE__URL=postgresql:///app" {
            continue;
        }
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("exec 2>&1\n{prelude}{}", step.command))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", home.path())
            .env("NO_COLOR", "1")
            .env("PERIODD__DATABASE__URL", test.url())
            .env("PERIODD__DATABASE__SANDBOX", "true")
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if masked(&printed) != masked(&step.printed) {
            let Step { place, command, printed: said } = &step;
            faults.push(format!(
                "{place}: `{command}` prints\n{printed}\nand the README says\n{said}"
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The first block of that language below a heading.
fn block(heading: &str, language: &str) -> String {
    let text = document("README.md");
    let chapter = text.split(&format!("{heading}\n")).nth(1).expect("a chapter");
    let block = chapter.split(&format!("```{language}\n")).nth(1).expect("a block");
    block.split("```").next().unwrap_or_default().to_owned()
}

/// The first hour begins on any day: its dates are last month's and today's.
#[tokio::test]
async fn the_first_hour_prints_what_the_readme_says_on_any_day() {
    const MARK: &str = "=== the next step ===";
    let test = TestDatabase::empty().await;
    let (first, last) = chapter("README.md", "## The first hour");
    let line_of = |step: &Step| -> usize {
        step.place.rsplit(':').next().and_then(|line| line.parse().ok()).expect("a line")
    };
    // Installing the package is root's, and another test's.
    let hour = steps("README.md").into_iter().filter(|step| {
        (first..last).contains(&line_of(step)) && !step.command.starts_with("apt-get")
    });
    let hour: Vec<Step> = hour.collect();
    assert!(hour.len() >= 12, "the first hour has {} steps", hour.len());
    let home = tempfile::tempdir().expect("a directory");
    let binary = env!("CARGO_BIN_EXE_periodd");
    let mut script = format!("cd\nexec 2>&1\nperiodd() {{ '{binary}' \"$@\"; }}\n");
    for step in &hour {
        // Products are added to the file once it is written.
        if step.command.starts_with("periodd config check") {
            let products = block("## The first hour", "toml");
            script.push_str(&["cat >> ~/periodd.toml <<'END'\n", &products, "END\n"].concat());
        }
        let command = step.command.replace("postgresql:///app", &format!("'{}'", test.url()));
        script.push_str(&["echo '", MARK, "'\n", &command, "\n"].concat());
    }
    let output = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home.path())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let printed = String::from_utf8_lossy(&output.stdout);
    let printed = printed.replace(&home.path().display().to_string(), "/home/ann");
    // How wide a table is depends on the name of the directory.
    let squeezed = |text: &str| {
        let words = text.split(|c: char| c.is_whitespace() || c == '─');
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    };
    for (step, printed) in hour.iter().zip(printed.split(MARK).skip(1)) {
        let place = &step.place;
        assert_eq!(squeezed(printed), squeezed(&step.printed), "{place}: {}", step.command);
    }
}

/// The words of a command line up to what is the shell's: a pipe, a redirection, a comment.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quote, mut begun) = (None, false);
    for c in command.replace("\\\n", " ").chars() {
        match (c, quote) {
            ('\'' | '"', None) => (quote, begun) = (Some(c), true),
            (c, Some(open)) if c == open => quote = None,
            ('|' | '&' | ';' | '>' | '<', None) => break,
            ('#', None) if !begun => break,
            (' ', None) => {
                if begun {
                    words.push(String::new());
                }
                begun = false;
            }
            (c, _) => {
                begun = true;
                words.last_mut().expect("one is begun").push(c);
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_line_in_the_documents_is_one_that_the_program_takes() {
    let mut seen = 0;
    let mut faults = Vec::new();
    let folder = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"));
    let pages = folder.expect("documents").map(|entry| entry.expect("a file").path());
    let pages = pages.filter(|page| page.extension().is_some_and(|kind| kind == "md"));
    let pages = pages.map(|page| format!("docs/{}", page.file_name().unwrap().to_string_lossy()));
    for name in pages.chain(["README.md".to_owned()]) {
        for step in steps(&name) {
            // The first hour names last month by a variable.
            let line = step.command.replace("$last_month", "2026-10");
            for command in line.split(" && ") {
                let words = words(command);
                let of_ours = words.iter().position(|word| word == "periodd");
                let Some(first) = of_ours.filter(|place| {
                    words[..*place].iter().all(|word| word.contains('=') || word == "sudo")
                }) else {
                    continue;
                };
                seen += 1;
                let parsed = periodd::cli::Cli::command().try_get_matches_from(&words[first..]);
                if let Err(error) = parsed
                    && error.use_stderr()
                {
                    faults.push(format!("{}: {error}", step.place));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(seen > 30, "only {seen} commands were found");
}

#[test]
fn every_example_of_the_help_is_one_that_the_program_takes() {
    let mut seen = 0;
    let mut faults = Vec::new();
    let mut pending = vec![periodd::cli::Cli::command()];
    while let Some(command) = pending.pop() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.replace("\\\n", " ").lines().map(str::trim_start) {
            if !line.starts_with("periodd ") {
                continue;
            }
            seen += 1;
            // What stands in a column of its own behind it is a remark.
            let line = line.split("  ").next().unwrap_or(line);
            let parsed = periodd::cli::Cli::command().try_get_matches_from(words(line));
            if let Err(error) = parsed
                && error.use_stderr()
            {
                faults.push(format!("{}: {line}: {error}", command.get_name()));
            }
        }
        pending.extend(command.get_subcommands().cloned());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(seen > 60, "only {seen} examples were found");
}
