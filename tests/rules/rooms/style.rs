//! What a user reads has none of the phrases that docs/style.md bans.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};

use super::{File, source, sources};

const STYLE: &str = include_str!("../../../docs/style.md");

/// Files that are read as they are, from the top of the repository.
const TEXTS: [&str; 13] = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs",
    "docs/schemas",
    "config",
    "migrations/api",
    "packaging/debian",
    "systemd",
    "src/config/starter.rs",
    "src/config/sections.rs",
    "src/config/catalogue.rs",
    "src/mail/templates/alert",
];

/// A literal that begins so is a statement, and nobody reads it.
const STATEMENTS: [&str; 14] = [
    "select",
    "with",
    "insert",
    "update",
    "delete",
    "from",
    "join",
    "left join",
    "and",
    "or",
    "where",
    "create",
    "alter",
    "exists",
];

/// Plain English that a banned phrase is a part of.
const PLAIN: [&str; 4] = ["is no longer", "are no longer", "there is no", "there are no"];

/// The phrases of the table's first column.
fn banned() -> Vec<&'static str> {
    let (_, table) = STYLE.split_once("| banned |").expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells.flat_map(|cell| cell.split(',').map(str::trim)).collect()
}

/// The banned phrases of a text, each as often as it stands there. Placeholders are not words.
fn found(text: &str, banned: &[&'static str]) -> Vec<(usize, &'static str)> {
    let mut plain = String::with_capacity(text.len());
    let mut depth = 0_usize;
    for c in text.chars() {
        depth = match c {
            '{' => depth + 1,
            '}' => depth.saturating_sub(1),
            '\n' => 0,
            _ => depth,
        };
        plain.push(if depth > 0 { '_' } else { c.to_ascii_lowercase() });
    }
    let plain =
        PLAIN.iter().fold(plain, |text, phrase| text.replace(phrase, &"_".repeat(phrase.len())));
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || "_-'\"".contains(c));
    let mut found = Vec::new();
    for phrase in banned {
        for (at, _) in plain.match_indices(phrase) {
            let before = plain[..at].chars().next_back();
            let after = plain[at + phrase.len()..].chars().next();
            if !is_word(before.filter(|c| *c != '"')) && !is_word(after.filter(|c| *c != '"')) {
                found.push((plain[..at].matches('\n').count() + 1, *phrase));
            }
        }
    }
    found.sort_unstable();
    found
}

fn complaint(place: &str, phrase: &str) -> String {
    format!("{place}: `{phrase}` is banned; docs/style.md has what to write instead")
}

/// The literals of a source that people may read.
fn sentences(file: &File) -> Vec<(usize, String)> {
    let literals = source::literals(&file.text).into_iter();
    let is_sentence = |text: &str| {
        let begin = text.trim_start().to_ascii_lowercase();
        let is_statement = STATEMENTS
            .iter()
            .any(|word| begin.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '\n'])));
        text.contains(' ') && !is_statement
    };
    literals.filter(|(_, text)| is_sentence(text)).collect()
}

#[test]
fn sentences_in_the_sources_are_plain() {
    let banned = banned();
    assert!(banned.len() > 40, "{banned:?}");
    let mut faults = Vec::new();
    for file in sources(&["src"]) {
        let tests = file.text.find("#[cfg(test)]").unwrap_or(file.text.len());
        let last = file.text[..tests].matches('\n').count() + 1;
        for (line, text) in sentences(&file).into_iter().filter(|(line, _)| *line <= last) {
            for (_, phrase) in found(&text, &banned) {
                faults.push(complaint(&format!("{}:{line}", file.path), phrase));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn texts_are_plain() {
    let banned = banned();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    let mut seen = 0;
    for text in TEXTS {
        let path = top.join(text);
        let files = if path.is_dir() {
            let entries =
                fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("a file"));
            entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
        } else {
            vec![path]
        };
        for path in files {
            let name = path.strip_prefix(top).expect("it is below").display().to_string();
            let Ok(text) = fs::read_to_string(&path) else { continue };
            if name == "docs/style.md" || name == "docs/invariants.md" {
                continue;
            }
            seen += 1;
            let text = read_by_people(&name, &text);
            for (line, phrase) in found(&text, &banned) {
                faults.push(complaint(&format!("{name}:{line}"), phrase));
            }
        }
    }
    assert!(seen > 60, "only {seen} files were read");
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The lines of a file that reach somebody; the others are empty, so that lines keep their numbers.
fn read_by_people(name: &str, text: &str) -> String {
    // Statements in the page of benchmarks, and the server's plans of them.
    let mut is_fenced = false;
    let mut is_code = |line: &str| {
        let is_fence = name == "docs/benchmarks.md" && line.starts_with("```");
        is_fenced ^= is_fence;
        is_fenced || is_fence
    };
    let is_read = |line: &str| match name.rsplit_once('.').map(|(_, kind)| kind) {
        Some("sql") => line.contains("raise exception"),
        Some("json") => line.contains("\"description\""),
        Some("rs") => line.trim_start().starts_with("///") || line.starts_with('#'),
        _ => true,
    };
    let lines = text.lines().map(|line| if !is_code(line) && is_read(line) { line } else { "" });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn help_is_plain() {
    fn look(command: &mut Command, path: &str, faults: &mut Vec<String>) {
        let path = format!("{path} {}", command.get_name());
        let help = command.render_long_help().to_string();
        for (_, phrase) in found(&help, &banned()) {
            faults.push(complaint(&format!("help of `{}`", path.trim()), phrase));
        }
        for inner in command.get_subcommands_mut() {
            look(inner, &path, faults);
        }
    }
    let mut faults = Vec::new();
    look(&mut periodd::cli::Cli::command(), "", &mut faults);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Spelled out, a command lacks the options that it needs to work where it is pasted: a
/// `crate::command::Command` carries them. Help is about any configuration.
fn spelled_out(text: &str, verbs: &[String]) -> bool {
    let is_help = text.contains("Example") || text.contains("\n  periodd ");
    let is_verb = |rest: &str| {
        let word = rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        verbs.iter().any(|verb| verb == word)
    };
    !is_help && text.split("periodd ").skip(1).any(is_verb)
}

fn verbs() -> Vec<String> {
    let command = periodd::cli::Cli::command();
    let nouns = ["run", "sync", "config", "schema"];
    let all = command.get_subcommands().map(|verb| verb.get_name().to_owned());
    all.filter(|verb| !nouns.contains(&verb.as_str())).collect()
}

#[test]
fn commands_that_are_proposed_carry_their_options() {
    /// Files whose texts are read beside any configuration, or before there is one.
    const ANYWHERE: [&str; 3] = ["src/config/starter.rs", "src/demo/home.rs", "src/cli/db.rs"];
    let verbs = verbs();
    let mut faults = Vec::new();
    for file in sources(&["src"]) {
        if ANYWHERE.contains(&file.path.as_str()) {
            continue;
        }
        let tests = file.text.find("#[cfg(test)]").unwrap_or(file.text.len());
        let last = file.text[..tests].matches('\n').count() + 1;
        for (line, text) in source::literals(&file.text) {
            if line <= last && spelled_out(&text, &verbs) {
                let place = format!("{}:{line}", file.path);
                faults.push(format!("{place}: `{text}` spells a command; write it by `Command`"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    assert!(spelled_out("run `periodd db migrate`", &verbs));
    assert!(spelled_out("then: periodd orgs unpark ORG", &verbs));
    assert!(!spelled_out("periodd waits for a lock; `db verify` names the rows", &verbs));
}

#[test]
fn banned_phrases_are_found_and_others_are_not() {
    let banned = banned();
    let phrases = |text: &str| -> Vec<_> {
        found(text, &banned).into_iter().map(|(line, phrase)| format!("{line} {phrase}")).collect()
    };
    assert_eq!(phrases("fine\nthe row is Mended by itself"), ["2 by itself", "2 mended"]);
    assert_eq!(phrases("`x` is no slug"), ["1 is no"]);
    assert_eq!(phrases("it is no longer parked; {told} amended recommend"), Vec::<String>::new());
    let file = File {
        path: "src/a.rs".to_owned(),
        text: "// mend\nlet a = \"see to \\\n   it\"; let b = r#\"what waits\"#; \
               \"select mend from x\"; \"mend\"; 'a'"
            .to_owned(),
    };
    let said: Vec<_> = sentences(&file).iter().flat_map(|(_, text)| phrases(text)).collect();
    assert_eq!(said, ["1 see to", "1 what waits"]);
}
