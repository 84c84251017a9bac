//! The units: right by systemd's own judgement, and as closed as it can tell.

use std::path::{Path, PathBuf};
use std::process::Command;

const UNITS: [&str; 2] = ["periodd.service", "periodd-rollover@.service"];

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(unit(name)).unwrap()
}

/// Exit code and everything that was said.
fn analyze(arguments: &[&str], file: &Path) -> (i32, String) {
    let output = Command::new("systemd-analyze").args(arguments).arg(file).output();
    let output = output.expect("systemd-analyze is there: scripts/systemd-tools sees to it");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn systemd_has_nothing_to_say_against_them() {
    for name in UNITS {
        let directory = tempfile::tempdir().unwrap();
        // It looks for the program, which is installed nowhere yet.
        let program = env!("CARGO_BIN_EXE_periodd");
        let text = text(name).replace("=/usr/bin/periodd ", &format!("={program} "));
        assert!(text.contains(program), "{name} starts something else");
        let file = directory.path().join(name);
        std::fs::write(&file, &text).unwrap();
        assert_eq!(analyze(&["verify", "--man=no"], &file), (0, String::new()), "{name}");
        std::fs::write(&file, text.replace("ProtectSystem=", "ProtctSystem=")).unwrap();
        assert!(analyze(&["verify"], &file).1.contains("ProtctSystem"), "a mistake is seen");
    }
}

#[test]
fn they_are_hardly_exposed() {
    for name in UNITS {
        let threshold = ["security", "--offline=true", "--threshold=12"];
        let (code, said) = analyze(&threshold, &unit(name));
        assert_eq!(code, 0, "{name}: {said}");
        assert!(said.contains("Overall exposure level for periodd"), "{said}");
    }
}

/// The lines between the heading and the next, without comments.
fn settings(name: &str) -> Vec<String> {
    let lines = text(name).lines().map(str::to_owned).collect::<Vec<_>>();
    lines.into_iter().filter(|line| line.contains('=') && !line.starts_with('#')).collect()
}

#[test]
fn every_line_of_a_unit_has_its_reason_above_it() {
    for name in UNITS {
        let mut has_reason = false;
        for line in text(name).lines() {
            let is_plain = line.starts_with("Description=") || line.starts_with("WantedBy=");
            if line.is_empty() || line.starts_with(['#', '[']) {
                has_reason = line.starts_with('#');
            } else {
                assert!(has_reason || is_plain, "{name}: {line}");
            }
        }
    }
}

/// Both run as one user with the same directories and the same walls, so that they can share the
/// private cluster.
#[test]
fn the_one_shot_unit_lives_as_the_daemon_does() {
    let shared = |line: &String| {
        let key = line.split('=').next().unwrap_or_default();
        ["Protect", "Private", "Restrict", "SystemCall", "State", "Runtime", "Configuration"]
            .iter()
            .any(|start| key.starts_with(start) && key != "RestartSec" && key != "Restart")
            || ["User", "Group", "UMask", "LoadCredential", "RemoveIPC", "MemoryDenyWriteExecute"]
                .contains(&key)
    };
    let of = |name| settings(name).into_iter().filter(shared).collect::<Vec<_>>();
    assert_eq!(of(UNITS[0]), of(UNITS[1]));
    assert!(of(UNITS[0]).len() > 25, "{:?}", of(UNITS[0]));
}

/// What the unit waits for is longer than what the daemon may take.
#[test]
fn systemd_waits_longer_than_the_daemon_drains() {
    let config = periodd::config::Config::load(None, std::iter::empty()).unwrap();
    let drain = config.daemon.drain_timeout.0.as_secs();
    let line = settings(UNITS[0]).into_iter().find(|line| line.starts_with("TimeoutStopSec="));
    let secs = line.unwrap().trim_start_matches("TimeoutStopSec=").trim_end_matches('s').to_owned();
    assert!(secs.parse::<u64>().unwrap() >= drain + 30, "{secs} s after {drain} s");
}
