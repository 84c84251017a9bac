//! Who may read and write the configuration, and the files that hold secrets?

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Context;
use crate::command::Command;
use crate::config::Config;
use crate::jobs::finding::{Check, Finding, Mend};

/// Bits that let others write.
const OTHERS_WRITE: u32 = 0o022;
/// Bits that let others do anything; a group may read a secret that is meant for it.
const OTHERS_READ: u32 = 0o007;

pub(super) fn check(context: &Context<'_>) -> Vec<Finding> {
    let config = context.config;
    let mut findings = files_of(config);
    findings.extend(written_by_others(&config.daemon.state_dir));
    findings
}

/// What is wrong with the modes of the configuration's file and of the files that hold secrets.
pub fn files_of(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(config.file().and_then(written_by_others));
    findings.extend(config.secret_files().iter().filter_map(|(file, mode)| secret(file, *mode)));
    findings
}

fn mode(file: &Path) -> Option<u32> {
    std::fs::metadata(file).ok().map(|file| file.permissions().mode() & 0o777)
}

fn written_by_others(file: &Path) -> Option<Finding> {
    let mode = mode(file).filter(|mode| mode & OTHERS_WRITE != 0)?;
    let shown = file.display();
    let what = format!("{shown} is writable by others (mode {mode:03o})");
    let chmod = Command::other(["chmod", "go-w", &shown.to_string()]);
    Some(Finding::problem(Check::FileMode, what).mend(chmod))
}

fn secret(file: &Path, mode: Option<u32>) -> Option<Finding> {
    let shown = file.display();
    let Some(mode) = mode else {
        let what = format!("{shown} should contain a secret and cannot be read");
        let advice = format!("put the secret into {shown}, readable by this user alone");
        return Some(Finding::problem(Check::FileMode, what).mend(Mend::advice(advice)));
    };
    if mode & OTHERS_READ == 0 && mode & OTHERS_WRITE == 0 {
        return None;
    }
    let what = format!("{shown} contains a secret and is readable by others (mode {mode:03o})");
    let chmod = Command::other(["chmod", "600", &shown.to_string()]);
    Some(Finding::problem(Check::FileMode, what).mend(chmod))
}
