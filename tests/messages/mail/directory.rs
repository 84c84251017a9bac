//! The directory transport.

use std::path::Path;

use periodd::mail::{Email, SendError, Transport, samples};
use tempfile::TempDir;

use super::support::{TEMPLATES, render};

fn email() -> Email {
    render(&TEMPLATES, &samples::warning())
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn an_email_is_one_file_however_often_it_is_written() {
    let place = TempDir::new().unwrap();
    let directory = place.path().join("state/mail");
    let transport = Transport::directory(directory.clone());
    let email = email();
    let sent = transport.send(&email).await.unwrap();
    assert_eq!(transport.send(&email).await.unwrap(), sent);
    let name = "20260521T120500Z-acme-90-0f3c8a52-1f0e-4a57-9c1d-2b1f3e4d5a6b";
    let found = files(&directory);
    assert_eq!(found.len(), 1, "{found:?}");
    let is_email = Path::new(&found[0]).extension().is_some_and(|ending| ending == "eml");
    assert!(found[0].starts_with(name) && is_email, "{found:?}");
    assert_eq!(sent.note, directory.join(&found[0]).display().to_string());
    assert_eq!(std::fs::read(&sent.note).unwrap(), email.message);
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_for_a_later_time() {
    let place = TempDir::new().unwrap();
    let file = place.path().join("mail");
    std::fs::write(&file, "in the way").unwrap();
    let error = Transport::directory(file.clone()).send(&email()).await.unwrap_err();
    let SendError::Temporary(sentence) = error else { panic!("{error:?}") };
    assert!(sentence.starts_with(&format!("the email cannot be written to {}", file.display())));
}

#[tokio::test]
async fn nowhere_takes_everything() {
    assert_eq!(Transport::None.send(&email()).await.unwrap().note, "");
}

#[tokio::test]
async fn links_in_the_way_are_not_followed() {
    let place = TempDir::new().unwrap();
    let directory = place.path().join("mail");
    let (email, precious) = (email(), place.path().join("precious"));
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(&precious, "precious").unwrap();
    // Who can write there knows the email's name, and this process.
    let stem = &email.file_stem;
    let beside = format!(".{stem}.{}.tmp", std::process::id());
    for name in [beside, format!(".{stem}.tmp"), format!("{stem}.eml")] {
        std::os::unix::fs::symlink(&precious, directory.join(name)).unwrap();
    }
    let sent = Transport::directory(directory).send(&email).await.unwrap();
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    assert!(std::fs::symlink_metadata(&sent.note).unwrap().is_file());
    assert_eq!(std::fs::read(&sent.note).unwrap(), email.message);
}
