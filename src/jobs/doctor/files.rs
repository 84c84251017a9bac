//! Who may read and write the configuration, and the files that hold secrets?

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Patient;
use crate::jobs::finding::Finding;

/// Bits that let others write.
const OTHERS_WRITE: u32 = 0o022;
/// Bits that let others do anything; a group may read a secret that is meant for it.
const OTHERS_READ: u32 = 0o007;

pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let config = patient.config;
    let mut findings = Vec::new();
    findings.extend(config.file().and_then(written_by_others));
    let secrets = [config.database.url_file.as_deref(), config.mail.smtp.password_file.as_deref()];
    findings.extend(secrets.into_iter().flatten().flat_map(secret));
    findings.extend(written_by_others(&config.daemon.state_dir));
    findings
}

fn mode(file: &Path) -> Option<u32> {
    std::fs::metadata(file).ok().map(|file| file.permissions().mode() & 0o777)
}

fn written_by_others(file: &Path) -> Option<Finding> {
    let mode = mode(file).filter(|mode| mode & OTHERS_WRITE != 0)?;
    let shown = file.display();
    let what = format!("{shown} can be changed by others (mode {mode:03o})");
    Some(Finding::problem("file_mode", what).mend(format!("chmod go-w {shown}")))
}

fn secret(file: &Path) -> Vec<Finding> {
    let shown = file.display();
    let Some(mode) = mode(file) else {
        let what = format!("{shown}, which is to hold a secret, cannot be read");
        return vec![Finding::problem("file_mode", what).mend(format!("ls -l {shown}"))];
    };
    if mode & OTHERS_READ == 0 && mode & OTHERS_WRITE == 0 {
        return Vec::new();
    }
    let what = format!("{shown} holds a secret, and others may read it (mode {mode:03o})");
    vec![Finding::problem("file_mode", what).mend(format!("chmod 600 {shown}"))]
}
