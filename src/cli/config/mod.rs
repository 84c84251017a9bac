//! `periodd config`: the configuration written, judged, shown and described.
//!
//! Never: a secret in an answer; an email sent, a server started or a file replaced by a check.

pub(super) mod check;
pub(super) mod init;

use super::output::{Format, Screen};
use super::{Exit, Failure, Global};
use crate::config::{self, Config};

const NOTES: &str = "Examples:
  periodd config init
  periodd config check --offline
  periodd --config ./periodd.toml config show
  periodd config schema > periodd.schema.json";

/// What `periodd config` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Create a configuration file with every default, commented out
    ///
    /// Writes the file named by --config, else `$PERIODD_CONFIG`, else /etc/periodd/periodd.toml
    /// for root and ~/.config/periodd/periodd.toml for other users.
    #[command(after_help = "Examples:\n  periodd config init")]
    Init(init::Args),
    /// Check the configuration: all errors, with file, line and column
    ///
    /// Then connects to the database and, for transport "smtp", logs in to the mail server. Nothing
    /// is written, started or sent. Exits with 78 for invalid keys and values, and with 69 for an
    /// unreachable server.
    #[command(after_help = "Examples:\n  periodd config check\n  periodd config check --offline")]
    Check(check::Args),
    /// Show effective values and their origin; secrets are masked
    #[command(after_help = "Examples:\n  periodd config show")]
    Show,
    /// Print a JSON Schema of the file, for editors
    ///
    /// Save it beside your file, and put `#:schema ./periodd.schema.json` in the file's first line
    /// (as `config init` does). Editors with a TOML language server then complete and check keys.
    #[command(after_help = "Examples:\n  periodd config schema > periodd.schema.json")]
    Schema,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let screen = global.screen();
    match &args.command {
        Command::Init(args) => init::run(args, global),
        Command::Check(args) => check::run(args, global),
        Command::Show => show(global, &screen),
        Command::Schema => {
            screen.write(|stdout| {
                serde_json::to_writer_pretty(&mut *stdout, &Config::json_schema())?;
                writeln!(stdout)
            })?;
            Ok(Exit::Done)
        }
    }
}

/// The configuration as commands get it.
fn load(global: &Global) -> Result<Config, config::ConfigError> {
    Config::load(global.config.as_deref(), Config::environment())
}

fn show(global: &Global, screen: &Screen) -> Result<Exit, Failure> {
    let config = load(global).map_err(Failure::configuration)?;
    let text = if screen.format() == Format::Json {
        config.show(config::Format::Json)
    } else {
        let file = config.file().map(|file| file.display().to_string());
        let file = file.unwrap_or_else(|| "defaults, no file".to_owned());
        let text = config.show(config::Format::Toml);
        format!("# {file}\n{}{text}", if text.starts_with('\n') { "" } else { "\n" })
    };
    screen.write(|stdout| stdout.write_all(text.as_bytes()))?;
    Ok(Exit::Done)
}
