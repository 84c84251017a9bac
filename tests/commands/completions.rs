//! What shells complete, and man pages.

use std::process::Command;

use tempfile::TempDir;

use crate::support::TestDatabase;

/// Asks as bash does: the words so far, and which of them is being typed.
fn completed(test: &TestDatabase, words: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_periodd"))
        .arg("--")
        .args(words)
        .env("COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true")
        .env("PERIODD_CONFIG", test.config())
        .output()
        .expect("it runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[tokio::test]
async fn orgs_zones_features_and_commands_complete() {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations (slug, name, time_zone)
         values ('acme', 'Acme', 'UTC'), ('acorn', 'Acorn', 'UTC'), ('bolt', 'Bolt', 'UTC')",
    )
    .await;
    assert_eq!(completed(&test, &["periodd", "orgs", "show", "ac"]), ["acme", "acorn"]);
    assert_eq!(completed(&test, &["periodd", "rollover", "--org", "b"]), ["bolt"]);
    assert_eq!(
        completed(&test, &["periodd", "rollover", "--zone", "europe/berl"]),
        ["Europe/Berlin"]
    );
    let feature = ["periodd", "usage", "record", "--feature", "sms"];
    assert_eq!(completed(&test, &feature), ["sms_sent"]);
    assert_eq!(completed(&test, &["periodd", "orgs", "set", "acme", "--tier", "bu"]), ["business"]);
    assert_eq!(completed(&test, &["periodd", "rol"]), ["rollover"]);
}

#[tokio::test]
async fn without_a_database_nothing_completes_and_nothing_fails() {
    let test = TestDatabase::new().await;
    std::fs::write(test.config(), "[database]\nurl = \"postgresql:///x?host=/nowhere\"\n")
        .expect("written");
    assert_eq!(completed(&test, &["periodd", "orgs", "show", "ac"]), Vec::<String>::new());
}

#[test]
fn every_shell_gets_a_script_that_names_the_program() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = Command::new(env!("CARGO_BIN_EXE_periodd"))
            .args(["completions", shell])
            .output()
            .expect("it runs");
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("periodd"), "{shell}");
    }
    let script = "source <(\"$0\" completions bash) && complete -p periodd";
    let sourced = Command::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_periodd")]).output();
    let sourced = sourced.expect("bash runs");
    assert!(sourced.status.success(), "{}", String::from_utf8_lossy(&sourced.stderr));
}

#[test]
fn every_command_has_a_man_page() {
    let directory = TempDir::new().expect("a directory");
    let written = Command::new(env!("CARGO_BIN_EXE_periodd"))
        .args(["completions", "man", "--directory"])
        .arg(directory.path())
        .status();
    assert!(written.expect("it runs").success());
    let page = |name: &str| {
        let file = directory.path().join(format!("{name}.1"));
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert!(page("periodd").contains("periodd\\-rollover(1)"), "{}", page("periodd"));
    // There is a schema for every command that answers.
    let schemas = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schemas");
    for schema in std::fs::read_dir(schemas).expect("schemas") {
        let name = schema.expect("a file").file_name().into_string().expect("UTF-8");
        // What every command answers when it fails.
        if name == "error.json" {
            continue;
        }
        let command = format!("periodd-{}", name.trim_end_matches(".json"));
        assert!(page(&command).contains("Example"), "{command}");
    }
    let pack = page("periodd-packs-refund");
    assert!(pack.contains(".TH PERIODD-PACKS-REFUND 1"), "{pack}");
    assert!(pack.contains("Examples:") && pack.contains("\\-\\-reference"), "{pack}");
    assert!(!directory.path().join("periodd-help.1").exists());
}
