//! The document as PDF, printed by Chromium: what prints it is what shows it, so that the pages are
//! those of a browser. A printer of our own would be a second layout, and weigh more than periodd.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::cli::Failure;

/// As systems call it.
const NAMES: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
/// Thousands of pages take a minute.
const PATIENCE: Duration = Duration::from_mins(5);

/// The browser that prints.
///
/// # Errors
/// Exit 2 where there is none, or where a terminal would be written to.
pub(super) fn browser(asked: Option<&Path>, has_file: bool) -> Result<PathBuf, Failure> {
    if !has_file && io::stdout().is_terminal() {
        return Err(Failure::usage("a terminal cannot show PDF; name a file with --output"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = || std::env::split_paths(&path);
    let found = match asked {
        Some(asked) if asked.components().count() > 1 => Some(asked.to_owned()),
        Some(asked) => folders().map(|folder| folder.join(asked)).find(|file| file.is_file()),
        None => NAMES
            .iter()
            .find_map(|name| folders().map(|folder| folder.join(name)).find(|file| file.is_file())),
    };
    found.ok_or_else(|| {
        Failure::usage(
            "PDF is printed by Chromium or Chrome, which was not found; install one, name it with \
             --chromium, or use --format html and print that",
        )
    })
}

/// Prints an HTML document.
///
/// # Errors
/// Exit 1 where the browser fails or takes too long.
pub(super) async fn print(browser: &Path, document: &[u8]) -> Result<Vec<u8>, Failure> {
    let shown = browser.display();
    let failed = |error: io::Error| Failure::failed(format!("cannot print with {shown}: {error}"));
    let folder = tempfile::tempdir().map_err(failed)?;
    let (page, printed) = (folder.path().join("page.html"), folder.path().join("page.pdf"));
    std::fs::File::create(&page).and_then(|mut file| file.write_all(document)).map_err(failed)?;
    let mut command = Command::new(browser);
    command.args(["--headless", "--disable-gpu", "--no-pdf-header-footer", "--disable-extensions"]);
    if rustix::process::geteuid().is_root() {
        // Root has no sandbox there. The document has no scripts and fetches nothing.
        command.arg("--no-sandbox");
    }
    let to = |flag: &str, path: &Path| {
        let mut word = std::ffi::OsString::from(flag);
        word.push(path);
        word
    };
    command.arg(to("--user-data-dir=", &folder.path().join("profile")));
    command.arg(to("--print-to-pdf=", &printed)).arg(to("file://", &page));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let Ok(output) = output else {
        return Err(Failure::failed(format!(
            "{shown} did not print in {} min",
            PATIENCE.as_secs() / 60
        )));
    };
    let output = output.map_err(failed)?;
    match std::fs::read(&printed) {
        Ok(bytes) if output.status.success() && bytes.starts_with(b"%PDF") => Ok(bytes),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last =
                said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given");
            Err(Failure::failed(format!("{shown} did not print ({}): {last}", output.status)))
        }
    }
}
