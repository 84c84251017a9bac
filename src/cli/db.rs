//! `periodd db`: the schema, and how to connect.

use super::adoption;
use super::output::{Cell, Output, Page, Table};
use super::session::{Schema, with_session};
use super::{Exit, Failure, Global};
use crate::jobs;
use crate::store::migrate::{self, Migration};
use crate::store::roles::{self, Audience, Grant};

const NOTES: &str = "Examples:
  periodd db migrate
  periodd db migrate --with-roles --grant app=service_role --grant member=authenticated
  periodd db import                  what would be adopted, and what is odd about it
  periodd db import --apply && periodd db verify
  psql \"$(periodd db url)\"";

/// What `periodd db` is asked.
#[derive(clap::Args, Debug)]
#[command(after_help = NOTES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Bring the schema to what this program needs, in one transaction
    ///
    /// Safe to repeat, and safe while applications work: what is applied already is left alone.
    #[command(after_help = "Examples:\n\
        \x20 periodd db migrate\n\
        \x20 periodd db migrate --with-roles --grant app=service_role")]
    Migrate(Migrate),
    /// List the migrations, and when each was applied
    #[command(after_help = "Examples:\n  periodd db status")]
    Status,
    /// Adopt a database that was there before: a report first, and with `--apply` the deed
    ///
    /// Finds tables that applications made for themselves (orgs, users, metrics, counters), says
    /// what is odd about them, and moves them over in one transaction. A table that is replaced
    /// stays as `NAME_legacy`. Migrates, too: run it instead of `db migrate` on such a database.
    #[command(after_help = "Examples:\n\
        \x20 periodd db import                  what would be adopted, and what is odd about it\n\
        \x20 periodd db import --apply")]
    Import(adoption::Args),
    /// Check the books, the periods, and what was imported against what there was
    ///
    /// Exit 3 when something is not as it should be.
    #[command(after_help = "Examples:\n  periodd db verify")]
    Verify,
    /// Print how applications connect to this database
    #[command(after_help = "Examples:\n  periodd db url")]
    Url,
}

#[derive(clap::Args, Debug)]
struct Migrate {
    /// Make the roles `periodd_app` (trusted servers) and `periodd_member` (end users)
    #[arg(long)]
    with_roles: bool,
    /// Give one of the two to a role that exists, and make them first; may be repeated
    #[arg(long, value_name = "app=ROLE|member=ROLE", value_parser = grant)]
    grant: Vec<Grant>,
}

/// Reads `app=ROLE` or `member=ROLE`.
fn grant(text: &str) -> Result<Grant, String> {
    let (audience, role) = text.split_once('=').unwrap_or((text, ""));
    let audience = match audience {
        "app" => Audience::App,
        "member" => Audience::Member,
        _ => return Err("write app=ROLE or member=ROLE".to_owned()),
    };
    if role.is_empty() {
        return Err("the role's name is missing after `=`".to_owned());
    }
    Ok(Grant { audience, role: role.to_owned() })
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Any, async |session| {
        let migrations = match &args.command {
            Command::Migrate(args) => {
                let now = session.database.now().await?;
                let applied = jobs::zones::migrate(&session.database, &session.tz, now).await?;
                if applied.is_empty() {
                    session.screen.note("the schema is up to date");
                }
                if args.with_roles || !args.grant.is_empty() {
                    roles::create(&session.database, &args.grant).await?;
                    session.screen.note("the roles periodd_app and periodd_member are there");
                    for Grant { audience, role } in &args.grant {
                        session.screen.note(&format!("{role} is a member of {}", audience.role()));
                    }
                }
                applied
            }
            Command::Import(args) => return adoption::run(session, args).await,
            Command::Verify => return adoption::verify(session).await,
            Command::Status => migrate::status(&session.database).await?,
            Command::Url => {
                session.screen.show(&Url { url: session.url() })?;
                return Ok(Exit::Done);
            }
        };
        session.screen.show(&Migrations(migrations))?;
        Ok(Exit::Done)
    })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Url {
    url: String,
}

impl Output for Url {
    fn page(&self) -> Page {
        Page::new().line(self.url.as_str())
    }
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(super) struct Migrations(Vec<Migration>);

impl Output for Migrations {
    fn page(&self) -> Page {
        if self.0.is_empty() {
            return Page::new();
        }
        let mut table = Table::new(["migration", "what", "applied"]);
        for migration in &self.0 {
            let applied = migration.applied_at.map_or("not yet".to_owned(), |at| at.to_string());
            table.row([
                Cell::number(migration.version),
                Cell::text(&migration.description),
                Cell::text(applied),
            ]);
        }
        table.into()
    }
}
