//! `periodd completions`: what shells complete, and man pages.

use std::path::{Path, PathBuf};

use clap_complete::env::Shells;

use super::{Exit, Failure, Global};

const NOTES: &str = "\
The script asks periodd itself while you type, so that orgs, zones, features and tiers complete as
they are in the database at that moment.

Examples:
  source <(periodd completions bash)
  periodd completions zsh > ~/.zfunc/_periodd
  periodd completions man | man -l -
  periodd completions man --directory /usr/share/man/man1";

/// What `periodd completions` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    /// The shell, or `man` for man pages
    #[arg(value_name = "SHELL")]
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh", "man"])]
    what: String,
    /// Write the man pages of all commands here, instead of the main one to stdout
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
        (shell, None) => print_script(shell, global)?,
        (_, Some(_)) => return Err(Failure::usage("--directory goes with `completions man`")),
    }
    Ok(Exit::Done)
}

fn print_script(shell: &str, global: &Global) -> Result<(), Failure> {
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(shell) else {
        return Err(Failure::usage(format!("there are no completions for {shell}")));
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
