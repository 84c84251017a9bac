//! The rooms of the house, and who may look into which.
//!
//! Nothing imports upward: the rules know nobody, the store knows the rules, jobs know both, and
//! only the surfaces know the jobs. A rule that is broken says where, and what to do.

mod circles;
mod map;
mod source;
mod style;

use std::fs;
use std::path::{Path, PathBuf};

/// A room and the rooms that it may name; `*` for all of them.
const ROOMS: [(&str, &[&str]); 25] = [
    ("account", &[]),
    ("billing", &[]),
    ("capacity", &[]),
    ("charts", &["billing", "tz", "text"]),
    ("tz", &["billing"]),
    ("clock", &["billing"]),
    ("files", &[]),
    ("text", &[]),
    ("locale", &["billing"]),
    ("csv", &["text"]),
    ("command", &["billing"]),
    ("config", &["account", "billing", "tz", "mail", "files"]),
    ("telemetry", &["account", "config"]),
    ("store", &["account", "billing", "command"]),
    ("cluster", &["account", "store"]),
    ("mail", &["billing", "files", "locale", "text"]),
    ("jobs", &["billing", "command", "store", "mail", "clock", "cluster", "config", "tz", "files"]),
    ("import", &["billing", "command", "store", "jobs", "tz"]),
    (
        "http",
        &[
            "billing", "charts", "command", "store", "jobs", "schedule", "config", "clock", "tz",
            "text", "csv", "locale",
        ],
    ),
    ("schedule", &["billing", "store", "jobs", "config", "clock", "tz"]),
    ("daemon", &["*"]),
    ("demo", &["*"]),
    ("cli", &["*"]),
    ("lib", &["*"]),
    ("main", &["*"]),
];

/// The two files of the surface that know the daemon: the command that runs it, and its exit codes.
const KNOW_THE_DAEMON: [&str; 2] = ["src/cli/run.rs", "src/cli/failure.rs"];

/// The rooms that take values and return one, and nothing else.
const PURE: [&str; 3] = ["billing", "capacity", "charts"];

/// What these must not name.
const IMPURE_CRATES: [&str; 4] = ["tokio", "sqlx", "tracing", "jiff_sqlx"];
const IMPURE_MACROS: [&str; 5] = ["println", "eprintln", "print", "eprint", "dbg"];
const IMPURE_STD: [&str; 6] = ["fs", "env", "io", "time", "net", "process"];
/// The two of jiff that read the clock or the machine's settings.
const IMPURE_JIFF: [&[&str]; 2] = [&["Timestamp", "now"], &["Zoned", "now"]];

/// A room's door: what its `mod.rs` hands on, by files and by names.
const MOST_FILES_OF_A_DOOR: usize = 24;
const MOST_NAMES_OF_A_DOOR: usize = 16;
const WIDEST_LINE_COLUMNS: usize = 100;

#[test]
fn no_room_imports_upward() {
    assert_none(&sources(&["src"]), directions);
}

#[test]
fn pure_rooms_are_pure() {
    assert_none(&sources(&["src"]), purity);
}

#[test]
fn only_the_store_speaks_to_the_database() {
    assert_none(&sources(&["src"]), database);
}

#[test]
fn pages_ask_the_time_in_one_place() {
    assert_none(&sources(&["src/http/pages"]), page_clock);
}

#[test]
fn lines_are_short() {
    assert_none(&sources(&["src", "tests", "benches"]), width);
}

#[test]
fn doors_are_small() {
    assert_none(&sources(&["src"]), door);
}

/// A file: its path from the top of the repository, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    /// The module that the file is, from the crate's root: `src/cli/mod.rs` is `["cli"]`.
    fn module(&self) -> Vec<String> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|name| name == "mod") {
            module.pop();
        }
        if module == ["lib"] || module == ["main"] {
            module.clear();
        }
        module
    }

    fn room(&self) -> &str {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.split('/').next().unwrap_or(path)
    }

    fn says(&self, line: usize, sentence: &str) -> String {
        format!("{}:{line}: {sentence}", self.path)
    }
}

fn directions(file: &File) -> Vec<String> {
    let room = file.room();
    let Some((_, allowed)) = ROOMS.into_iter().find(|(name, _)| *name == room) else {
        let sentence = format!("`{room}` is no room; move the file, or add a row to ROOMS here");
        return vec![file.says(1, &sentence)];
    };
    let is_room = |name: &str| ROOMS.iter().any(|(room, _)| *room == name);
    let may = |name: &str| name == room || allowed.contains(&name) || allowed == ["*"];
    let named = source::named_paths(&file.text, &file.module(), &["crate", "periodd"]);
    let faults = named.into_iter().filter_map(|named| {
        let [top, other, ..] = &named.path[..] else { return None };
        let inside = top == "crate" || top == "periodd";
        let sentence = match other.as_str() {
            "*" if inside && !may("*") => {
                "everything is imported at once; name what is needed, room by room".to_owned()
            }
            "daemon" if inside && room == "cli" && !KNOW_THE_DAEMON.contains(&&*file.path) => {
                format!(
                    "only {} know the daemon; what a command shares with it belongs to `jobs`",
                    KNOW_THE_DAEMON.join(" and ")
                )
            }
            other if inside && is_room(other) && !may(other) => format!(
                "`{room}` must not know `{other}`; pass in what it needs, or move this code to a \
                 room that may ({room} may name {})",
                if allowed.is_empty() { "nobody".to_owned() } else { allowed.join(", ") },
            ),
            _ => return None,
        };
        Some(file.says(named.line, &sentence))
    });
    // A group such as `mail::{self, Letter}` names its room more than once.
    let mut faults: Vec<String> = faults.collect();
    faults.dedup();
    faults
}

fn purity(file: &File) -> Vec<String> {
    if !PURE.contains(&file.room()) {
        return Vec::new();
    }
    let advice = "is not for a pure room; take the value as an argument, return what should happen";
    let words = source::tokens(&file.text).into_iter().filter_map(|token| {
        let impure = IMPURE_CRATES.contains(&token.text) || IMPURE_MACROS.contains(&token.text);
        impure.then(|| file.says(token.line, &format!("`{}` {advice}", token.text)))
    });
    let paths =
        source::named_paths(&file.text, &file.module(), &["std", "jiff", "Timestamp", "Zoned"]);
    let paths = paths.into_iter().filter_map(|named| {
        let path: Vec<&str> = named.path.iter().map(String::as_str).collect();
        let impure = match path[..] {
            ["std", name, ..] => IMPURE_STD.contains(&name) || name == "*",
            _ => IMPURE_JIFF.iter().any(|impure| path.ends_with(impure)),
        };
        impure.then(|| file.says(named.line, &format!("`{}` {advice}", path.join("::"))))
    });
    words.chain(paths).collect()
}

fn database(file: &File) -> Vec<String> {
    if ["store", "import"].contains(&file.room()) {
        return Vec::new();
    }
    let tokens = source::tokens(&file.text).into_iter();
    let faults = tokens.filter(|token| ["sqlx", "jiff_sqlx"].contains(&token.text)).map(|token| {
        file.says(token.line, "`sqlx` is the store's; add a function to src/store and call that")
    });
    faults.collect()
}

/// A page may be asked to show another time than the database's.
fn page_clock(file: &File) -> Vec<String> {
    let tokens = source::tokens(&file.text).into_iter();
    let faults = tokens.filter(|token| token.text == "server_now").map(|token| {
        file.says(token.line, "a page asks `Shared::now`: `dashboard --at` shows another time")
    });
    faults.collect()
}

fn width(file: &File) -> Vec<String> {
    let wide = file.text.lines().zip(1..).filter_map(|(line, number)| {
        let columns = line.chars().count();
        let limit = WIDEST_LINE_COLUMNS;
        let sentence = format!("{columns} columns are more than {limit}; break the line");
        (columns > limit).then(|| file.says(number, &sentence))
    });
    wide.collect()
}

fn door(file: &File) -> Vec<String> {
    if file.path != format!("src/{}/mod.rs", file.room()) {
        return Vec::new();
    }
    let tokens = source::tokens(&file.text);
    let public = |what: &str| {
        let starts = tokens.iter().zip(&tokens[1..]).enumerate();
        let starts = starts.filter(|(_, (first, next))| first.text == "pub" && next.text == what);
        starts.map(|(at, _)| at).collect::<Vec<_>>()
    };
    let files = public("mod").len();
    let names = public("use").into_iter().map(|at| {
        let statement = tokens[at..].iter().take_while(|token| token.text != ";");
        1 + statement.filter(|token| token.text == ",").count()
    });
    let names: usize = names.sum();
    let (most_files, most_names) = (MOST_FILES_OF_A_DOOR, MOST_NAMES_OF_A_DOOR);
    let wide = files > most_files || names > most_names;
    let sentence = format!(
        "the room hands on {files} files and {names} names, more than {most_files} and \
         {most_names}; keep to itself what others do not need"
    );
    wide.then(|| file.says(1, &sentence)).into_iter().collect()
}

/// Every Rust file under those folders of the repository.
fn sources(folders: &[&str]) -> Vec<File> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| top.join(folder)).collect();
    pending.retain(|folder| folder.exists());
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a readable folder");
            pending.extend(entries.map(|entry| entry.expect("a readable entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            let path = path.strip_prefix(top).expect("it is below").display().to_string();
            files.push(File { path, text });
        }
    }
    assert!(files.len() > 10, "the sources are where they were: {folders:?}");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn assert_none(files: &[File], rule: fn(&File) -> Vec<String>) {
    let faults: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

mod planted {
    //! Each rule finds the fault that it is there for, and only that.

    use super::{File, database, directions, door, page_clock, purity, width};

    /// The lines that the rule complains about.
    fn lines(rule: fn(&File) -> Vec<String>, path: &str, text: &str) -> Vec<usize> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        let line = |fault: &String| {
            let rest = fault.strip_prefix(&format!("{path}:")).expect("file first");
            rest.split(':').next().and_then(|line| line.parse().ok()).expect("then the line")
        };
        rule(&file).iter().map(line).collect()
    }

    #[test]
    fn imports_upward_are_found_however_they_are_written() {
        let store = |text| lines(directions, "src/store/rollover/page.rs", text);
        assert_eq!(store("use crate::billing::Instant;\nuse crate::jobs::Run;"), [2]);
        assert_eq!(store("use crate::{billing::{Plan, Zone as Z},\n mail::{self, Letter}};"), [2]);
        assert_eq!(store("fn f() -> crate::cli::Failure {}"), [1]);
        assert_eq!(store("use super::super::super::config::Config;"), [1]);
        assert_eq!(store("use super::{super::{super::{\nclock}}};"), [2]);
        assert_eq!(store("mod tests {\nuse super::super::super::super::cli::x;\n}"), [2]);
        assert_eq!(store("mod a { mod b {} }\nuse super::super::super::cli::x;"), [2]);
        assert_eq!(store("use crate::*;"), [1]);
        assert_eq!(store("let x = '\\''; let y: &'static str = \"\"; crate::jobs::go()"), [1]);
        assert_eq!(store("macro_rules! m { () => { $crate::jobs::go() } }"), [1]);
        assert_eq!(lines(directions, "src/billing/mod.rs", "use super::tz::TzData;"), [1]);
        assert_eq!(lines(directions, "src/clock.rs", "use super::tz::TzData;"), [1]);
        assert_eq!(lines(directions, "src/cli/sync.rs", "use crate::{jobs, daemon::work};"), [1]);
        assert_eq!(lines(directions, "src/attic/mod.rs", ""), [1]);
    }

    #[test]
    fn imports_that_are_allowed_stay_allowed() {
        for (path, text) in [
            ("src/store/rollover.rs", "use super::config::Row; use crate::store::pool;"),
            ("src/store/a/mod.rs", "mod tests { use super::*; use super::super::jobs; }"),
            ("src/store/a.rs", "// crate::jobs\n/* crate::jobs /* */ crate::jobs */"),
            ("src/store/a.rs", "\"crate::jobs\"; r#\"crate::\"jobs\"#; pub(crate) fn jobs() {}"),
            ("src/store/a.rs", "use other::crate_::jobs; use std::super_::jobs;"),
            ("src/cli/mod.rs", "use crate::{billing, store, jobs, mail, config};"),
            ("src/cli/run.rs", "use crate::daemon::{self, Options};"),
            ("src/lib.rs", "pub mod billing; pub use self::billing::Plan;"),
            ("src/main.rs", "use periodd::cli::Cli;"),
        ] {
            assert!(lines(directions, path, text).is_empty(), "{path}: {text}");
        }
    }

    #[test]
    fn impure_rules_are_found() {
        let billing = |text| lines(purity, "src/billing/quota.rs", text);
        for text in [
            "use std::fs;",
            "use std::{fmt, io::Read};",
            "std::time::Instant::now()",
            "let home = std::env::var(name);",
            "use std::*;",
            "use sqlx::Type;",
            "#[derive(sqlx::Type)]",
            "tracing::info!();",
            "async { tokio::spawn(x) }",
            "println!(\"\")",
            "jiff::Timestamp::now()",
            "Zoned::now()",
        ] {
            assert_eq!(billing(text), [1], "{text}");
        }
        assert!(billing("use std::fmt; // println! and std::fs\n\"tokio\"").is_empty());
        assert_eq!(lines(purity, "src/charts/wave.rs", "use std::fs;"), [1]);
        assert!(lines(purity, "src/tz.rs", "use std::fs;").is_empty());
    }

    #[test]
    fn a_page_with_a_clock_of_its_own_is_found() {
        let page = |text| lines(page_clock, "src/http/pages/now.rs", text);
        assert_eq!(page("let x = 1;\nlet now = server_now(&mut turn).await?;"), [2]);
        assert!(page("let now = call.shared.now().await?; // server_now").is_empty());
    }

    #[test]
    fn sql_outside_the_store_is_found() {
        assert_eq!(lines(database, "src/jobs/sync.rs", "\nsqlx::query!(\"\")"), [2]);
        assert!(lines(database, "src/store/sync.rs", "sqlx::query!(\"\")").is_empty());
        assert!(lines(database, "src/jobs/sync.rs", "// sqlx\n\"sqlx\"").is_empty());
    }

    #[test]
    fn wide_lines_are_found() {
        let of = |text: &str| lines(width, "src/clock.rs", text);
        assert!(of(&format!("{}\n", "é".repeat(100)).repeat(600)).is_empty());
        assert_eq!(of(&format!("\n{}", "x".repeat(101))), [2]);
    }

    #[test]
    fn wide_doors_are_found() {
        let of = |text: &str| lines(door, "src/mail/mod.rs", text);
        let names = |count: usize| format!("pub use a::{{{}}};", vec!["X"; count].join(", "));
        assert!(of(&names(16)).is_empty());
        assert_eq!(of(&names(17)), [1]);
        assert_eq!(of(&"pub mod x;\n".repeat(25)), [1]);
        assert!(of(&"pub mod x;\n".repeat(24)).is_empty());
        assert!(lines(door, "src/mail/transport/mod.rs", &names(40)).is_empty());
    }
}
