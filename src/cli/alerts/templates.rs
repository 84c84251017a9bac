//! `periodd alerts templates`: the templates that emails are written with.

use std::path::{Path, PathBuf};

use super::super::output::{Output, Page, Screen, counted};
use super::super::{Exit, Failure};
use crate::mail::templates::embedded;

const NOTES: &str = "\
Set [mail] templates_dir to the directory to use them. Remove those that you do not change: the
embedded ones take their place and come with the next version.

Examples:
  periodd alerts templates export /etc/periodd/templates";

/// What is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Write the embedded templates to a directory, to change them
    #[command(after_help = NOTES)]
    Export {
        /// Directory, created if missing; existing files are not overwritten
        #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
        directory: PathBuf,
    },
}

/// Runs the command. Needs no database.
pub(super) fn run(screen: &Screen, args: &Args) -> Result<Exit, Failure> {
    let Command::Export { directory } = &args.command;
    let templates = embedded();
    // All or nothing: half a set would be taken for somebody's own.
    if let Some((name, _)) = templates.iter().find(|(name, _)| directory.join(name).exists()) {
        return Err(Failure::usage(format!(
            "{} already exists; choose another directory, or remove it",
            directory.join(name).display()
        )));
    }
    for (name, source) in &templates {
        write(&directory.join(name), source)?;
    }
    let files = templates.into_iter().map(|(name, _)| name).collect();
    screen.show(&Exported { directory: directory.display().to_string(), files })?;
    Ok(Exit::Done)
}

fn write(file: &Path, source: &str) -> Result<(), Failure> {
    let written = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    written
        .and_then(|()| std::fs::write(file, source))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Exported {
    directory: String,
    files: Vec<String>,
}

impl Output for Exported {
    fn page(&self) -> Page {
        let page = Page::new().line(format!(
            "{} written to {}",
            counted(self.files.len(), "file"),
            self.directory
        ));
        page.line("set [mail] templates_dir to this directory to use them")
    }
}
