//! `periodd config init`: a file to begin with.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Exit, Failure, Global};
use crate::cli::output::{Output, Page};
use crate::config::Config;

/// What `periodd config init` is asked.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

/// Writes the file, whole or not at all.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let named = global.config.clone();
    let file = named
        .or_else(|| Config::own_file(Config::environment()))
        .ok_or_else(|| Failure::usage("HOME is not set; name the file with --config FILE"))?;
    write(&file, args.force).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::refused(format!(
            "{} already exists and was not changed; pass --force to replace it",
            file.display()
        )),
        _ => Failure::failed(format!("{} cannot be written: {error}", file.display())),
    })?;
    global.screen().show(&Written { file })?;
    Ok(Exit::Done)
}

/// A file of that name is either the old one or the whole new one: it is written beside its place,
/// and linked or moved there.
fn write(file: &Path, force: bool) -> io::Result<()> {
    let file = std::path::absolute(file)?;
    let directory = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    if !force && fs::symlink_metadata(&file).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let draft = directory.join(format!(".periodd.toml.{}", std::process::id()));
    let mut open = OpenOptions::new().write(true).create_new(true).open(&draft)?;
    let written = open.write_all(Config::starter_text().as_bytes()).and_then(|()| open.sync_all());
    let placed = written.and_then(|()| {
        // A link never replaces: who was quicker than we keeps what he wrote.
        if force { fs::rename(&draft, &file) } else { fs::hard_link(&draft, &file) }
    });
    if !force || placed.is_err() {
        fs::remove_file(&draft)?;
    }
    placed
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Written {
    file: PathBuf,
}

impl Output for Written {
    fn page(&self) -> Page {
        Page::new().line(format!("{} written", self.file.display()))
    }
}
