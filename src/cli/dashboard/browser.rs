//! Opening a browser, where this machine has one.

use std::process::Stdio;

use tokio::process::Command;

use super::super::output::Screen;

/// What opens a page with the user's own browser.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Has the user's browser open a page; says so where that is not possible. Nothing waits for it.
pub(super) fn open(page: &str, screen: &Screen) {
    let mut opener = Command::new(OPENER);
    opener.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let failed = |why: &dyn std::fmt::Display| {
        format!("cannot open a browser ({OPENER}: {why}); open the page yourself")
    };
    match opener.spawn() {
        Err(error) => screen.note(&failed(&error)),
        Ok(mut child) => {
            let screen = screen.clone();
            tokio::spawn(async move {
                match child.wait().await {
                    Ok(status) if status.success() => {}
                    Ok(status) => screen.note(&failed(&status)),
                    Err(error) => screen.note(&failed(&error)),
                }
            });
        }
    }
}
