//! `periodd db`: the schema, and how to connect.

use super::adoption;
use super::output::{Cell, Output, Page, Table};
use super::session::{Schema, Session, with_session};
use super::{Exit, Failure, Global};
use crate::billing::when::shown_in_utc;
use crate::jobs;
use crate::store::db::migrate::{self, Migration};
use crate::store::db::role_names::{Audience, Grant, USUAL_PREFIX, is_plain_prefix};
use crate::store::db::roles;
use crate::store::usage::limits;

const NOTES: &str = "Examples:
  periodd db migrate
  periodd db migrate --with-roles --grant app=service_role --grant member=authenticated
  periodd db import                  what would be imported, and anomalies
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
    /// Create or upgrade the schema, in one transaction
    ///
    /// Safe to repeat, and safe while applications run: migrations are applied once.
    #[command(after_help = "Examples:\n\
        \x20 periodd db migrate\n\
        \x20 periodd db migrate --with-roles --grant app=service_role")]
    Migrate(Migrate),
    /// List the migrations and when each was applied
    #[command(after_help = "Examples:\n  periodd db status")]
    Status,
    /// Adopt an existing database: reports first; `--apply` performs the import
    ///
    /// Finds existing application tables (orgs, users, metrics, counters), reports anomalies, and
    /// imports the data in one transaction. Replaced tables are kept as `NAME_legacy`. Also
    /// migrates: run it instead of `db migrate` on such a database.
    #[command(after_help = "Examples:\n\x20 periodd db import                  what would be \
                            imported, and anomalies\n\x20 periodd db import --apply")]
    Import(adoption::Args),
    /// Check the books and periods, and compare imported data with the original
    ///
    /// Reads everything, page by page. Exits with 3 if a check fails. After one that finds nothing,
    /// `doctor` checks only periods that were closed since.
    #[command(after_help = "Examples:\n  periodd db verify\n  periodd db verify --resume")]
    Verify(adoption::Verify),
    /// Print how applications connect to this database
    #[command(after_help = "Examples:\n  periodd db url")]
    Url,
}

#[derive(clap::Args, Debug)]
struct Migrate {
    /// Create the roles `periodd_app` (trusted servers) and `periodd_member` (end users)
    ///
    /// Roles belong to the whole server: a member has the role in every database of the server that
    /// was migrated with roles. Refused if others may create objects in the schema.
    #[arg(long)]
    with_roles: bool,
    /// Grant one of them to an existing role, creating them first; may be repeated
    #[arg(long, value_name = "app=ROLE|member=ROLE", value_parser = grant)]
    grant: Vec<Grant>,
    /// Name the roles `PREFIX_app` and `PREFIX_member`, for this database of the server alone
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    role_prefix: Option<String>,
    #[command(flatten)]
    wait: adoption::Wait,
}

/// Reads `app=ROLE` or `member=ROLE`.
fn grant(text: &str) -> Result<Grant, String> {
    let (audience, role) = text.split_once('=').unwrap_or((text, ""));
    let audience = match audience {
        "app" => Audience::App,
        "member" => Audience::Member,
        _ => return Err("expected app=ROLE or member=ROLE".to_owned()),
    };
    if role.is_empty() {
        return Err("the role's name is missing after `=`".to_owned());
    }
    Ok(Grant { audience, role: role.to_owned() })
}

/// Reads the prefix of role names: what needs no quotes, and leaves room for the rest.
fn prefix(text: &str) -> Result<String, String> {
    if is_plain_prefix(text) {
        Ok(text.to_owned())
    } else {
        Err("use lower-case letters, digits and _, beginning with a letter, at most 50".to_owned())
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> Result<Exit, Failure> {
    with_session(global, Schema::Made, async |session| {
        let migrations = match &args.command {
            Command::Migrate(args) => {
                let wants_roles =
                    args.with_roles || !args.grant.is_empty() || args.role_prefix.is_some();
                if wants_roles {
                    roles::require_closed_schema(&session.database).await?;
                }
                let now = session.database.now().await?;
                let (database, wait) = (&session.database, args.wait.value());
                let applied =
                    jobs::zones::migrate_waiting(database, &session.tz, now, wait).await?;
                let ended_tier = &session.config.rollover.ended_tier;
                limits::tell_ended_tier(&session.database, ended_tier).await?;
                if applied.is_empty() {
                    session.screen.note("the schema is up to date");
                }
                if wants_roles {
                    let prefix = args.role_prefix.as_deref();
                    let made = roles::create(&session.database, prefix, &args.grant).await?;
                    let [app, member] = Audience::ALL.map(|audience| made.name(audience));
                    let of = if made.prefix == USUAL_PREFIX {
                        ", for every database of this server"
                    } else {
                        ""
                    };
                    session.screen.note(&format!("the roles {app} and {member} exist{of}"));
                    for Grant { audience, role } in &args.grant {
                        let of = made.name(*audience);
                        session.screen.note(&format!("{role} is a member of {of}"));
                    }
                } else {
                    remake_roles(session).await;
                }
                applied
            }
            Command::Import(args) => return adoption::run(session, args).await,
            Command::Verify(args) => return adoption::verify(session, args).await,
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

/// Makes roles again that this database had and lost. What is not possible keeps nobody from the
/// migration: `doctor` names it, too.
async fn remake_roles(session: &Session) {
    match jobs::roles::remake(&session.database).await {
        Ok(None) => {}
        Ok(Some(remade)) => {
            let names = Audience::ALL.map(|audience| remade.roles.name(audience)).join(", ");
            session.screen.note(&format!("the lost rights of {names} and their members are back"));
            for Grant { role, .. } in remade.absent {
                session.screen.note(&format!(
                    "the role {role}, a member before, does not exist: create it and run `periodd \
                     db migrate` again"
                ));
            }
        }
        Err(error) => {
            session
                .screen
                .note(&format!("the lost rights of roles could not be restored: {error}"));
        }
    }
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
            let applied = migration.applied_at.map_or("not yet".to_owned(), shown_in_utc);
            table.row([
                Cell::number(migration.version),
                Cell::text(&migration.description),
                Cell::text(applied),
            ]);
        }
        table.into()
    }
}
