//! `periodd completions`: what shells complete, man pages, and schemas of answers.

use std::path::{Path, PathBuf};

use clap_complete::env::Shells;

use super::{Exit, Failure, Global, schemas};

const NOTES: &str = "\
The script asks periodd while you type, so that orgs, zones, features and tiers complete from the
database.

Examples:
  source <(periodd completions bash)
  periodd completions zsh > ~/.zfunc/_periodd
  periodd completions man | man -l -
  periodd completions man --directory /usr/share/man/man1
  periodd completions schemas --directory docs/schemas";

/// What `periodd completions` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Shell name, `man` for man pages, or `schemas` for the JSON Schemas of answers
    #[arg(value_name = "SHELL")]
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh", "man", "schemas"])]
    what: String,
    /// Write one file per command to this directory, instead of one document to stdout
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    match (args.what.as_str(), &args.directory) {
        ("man", Some(directory)) => write_pages(directory)?,
        ("man", None) => {
            let page = clap_mangen::Man::new(built());
            global.screen().write(|stdout| page.render(&mut { stdout }))?;
        }
        ("schemas", Some(directory)) => write_schemas(directory)?,
        ("schemas", None) => global.screen().write(|stdout| {
            let all: serde_json::Map<_, _> = schemas::all()
                .into_iter()
                .map(|(name, schema)| (name.to_owned(), schema))
                .collect();
            serde_json::to_writer_pretty(&mut *stdout, &all)?;
            writeln!(stdout)
        })?,
        (shell, None) => print_script(shell, global)?,
        (_, Some(_)) => return Err(Failure::usage("--directory goes with `man` and `schemas`")),
    }
    Ok(Exit::Done)
}

fn print_script(shell: &str, global: &Global) -> Result<(), Failure> {
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(shell) else {
        return Err(Failure::usage(format!("unsupported shell: {shell}")));
    };
    global.screen().write(|stdout| {
        let mut script = Vec::new();
        shell.write_registration("COMPLETE", "periodd", "periodd", "periodd", &mut script)?;
        stdout.write_all(&script)
    })
}

/// The whole command line, every command with the name that it is called by.
fn built() -> clap::Command {
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    command
}

/// `orgs-add.json` and so on, and `error.json`.
fn write_schemas(directory: &Path) -> Result<(), Failure> {
    let unwritable = |error: std::io::Error| {
        Failure::failed(format!("cannot write schemas to {}: {error}", directory.display()))
    };
    std::fs::create_dir_all(directory).map_err(unwritable)?;
    for (command, schema) in schemas::all().into_iter().chain([schemas::of_errors()]) {
        let file = directory.join(format!("{}.json", command.replace(' ', "-")));
        std::fs::write(file, format!("{schema:#}\n")).map_err(unwritable)?;
    }
    Ok(())
}

fn write_pages(directory: &Path) -> Result<(), Failure> {
    let unwritable = |error: std::io::Error| {
        Failure::failed(format!("cannot write man pages to {}: {error}", directory.display()))
    };
    std::fs::create_dir_all(directory).map_err(unwritable)?;
    let mut pending = vec![(String::new(), built())];
    while let Some((above, command)) = pending.pop() {
        let name = match above.as_str() {
            "" => command.get_name().to_owned(),
            above => format!("{above}-{}", command.get_name()),
        };
        let mut page = Vec::new();
        let titled = clap_mangen::Man::new(command.clone()).title(name.to_uppercase());
        titled.render(&mut page).map_err(unwritable)?;
        std::fs::write(directory.join(format!("{name}.1")), page).map_err(unwritable)?;
        let below = command.get_subcommands().filter(|command| !command.is_hide_set());
        pending.extend(below.map(|command| (name.clone(), command.clone())));
    }
    Ok(())
}
