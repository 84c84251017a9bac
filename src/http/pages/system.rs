//! `/system`: what does periodd run on, and with which settings?

use jiff::SignedDuration;
use serde::Serialize;

use super::button::Button;
use super::clock::{Clock, Moment};
use super::frame::html;
use super::now::seen;
use super::overview::block;
use super::page;
use super::parts::{Block, Cell, Table, Tone, Unread, grouped, said};
use super::runs::daemons;
use super::times;
use crate::billing::Zone;
use crate::billing::clock::Judged;
use crate::billing::when::millis;
use crate::command::Command;
use crate::config::Format;
use crate::http::answer::Answer;
use crate::http::call::{Call, Route, Sees};
use crate::http::problem::Problem;
use crate::jobs::status::Disk;
use crate::store::reports::status::{ZoneFacts, zones};
use crate::store::runs::daemons::Daemon;
use crate::store::tokens::{self, TokenRow};
use crate::text::{url_part, visible_lines};
use crate::tz::TzData;

/// The routes of this file.
pub(super) const ROUTES: [Route; 1] = [page(
    "/system",
    Sees::All,
    "Time zone data, clocks, connections, disks, the configuration and tokens.",
    &[],
    |call| Box::pin(show(call)),
)];

/// Tokens that are listed.
const TOKENS: usize = 100;
/// Clocks that differ by more than this are worth a look.
const APART: SignedDuration = SignedDuration::from_secs(2);
/// A disk with less than this share free is nearly full, in percent.
const NEARLY_FULL: u64 = 10;
/// Letters of the configuration that are shown.
const LONGEST: usize = 20_000;

#[derive(Serialize)]
struct System {
    version: &'static str,
    /// Are the API and metrics served here, too?
    has_api: bool,
    replica: String,
    /// tz data here.
    here: String,
    zones: Block<Vec<(&'static str, Cell)>>,
    clocks: Block<Vec<(&'static str, Cell)>>,
    pool: Vec<(&'static str, Cell)>,
    daemons: Block<Table>,
    elsewhere: Block<Table>,
    disks: Block<Table>,
    config: String,
    is_cut: bool,
    /// The configuration as another command shows it.
    commands: [String; 2],
    tokens: Block<Table>,
    more_tokens: bool,
}

async fn show(call: Call) -> Result<Answer, Problem> {
    let shared = &call.shared;
    let around = &shared.around;
    let (config, tz) = ((around.config)(), (around.tz)());
    let seen = seen(shared).await?;
    let clock = times::clock(&call, Zone::utc(), seen.now);
    let turns = &shared.turns;
    let zone_facts = block(turns, zones).await;
    let most = i64::try_from(TOKENS).unwrap_or(i64::MAX);
    let listed = block(turns, async |look| tokens::list(look, Some(most + 1)).await).await;
    let judged = around.database.look_at_clock().await.map_err(Unread::from);
    let host = crate::clock::now();
    let shown = visible_lines(config.show(Format::Toml).trim());
    let text: String = shown.chars().take(LONGEST).collect();
    let view = System {
        version: env!("CARGO_PKG_VERSION"),
        has_api: shared.access.own().is_none(),
        replica: said(&around.replica),
        here: format!("{} ({})", tz.release(), tz.source()),
        zones: Block::of(&zone_facts, |facts| of_zones(facts, &tz, &clock)),
        clocks: Block::of(&judged, |judged| of_clocks(judged, host, &clock)),
        pool: vec![
            ("Connections for HTTP", Cell::number(shared.settings.connections)),
            ("At work now", Cell::number(turns.in_use())),
            ("Connections of the daemon, at most", Cell::number(config.database.max_connections)),
        ],
        daemons: Block::of(&seen.status, |status| daemons(status, &clock)),
        elsewhere: Block::of(&seen.status, |status| listening(&status.daemons)),
        disks: Block::of(&seen.status, |status| of_disks(&status.disks)),
        is_cut: text.len() < shown.len(),
        config: text,
        commands: [
            Command::periodd(["config", "show"]).to_string(),
            Command::periodd(["doctor"]).to_string(),
        ],
        tokens: Block::of(&listed, |tokens| of_tokens(tokens, call.may_act(), &clock)),
        more_tokens: listed.as_ref().is_ok_and(|tokens| tokens.len() > TOKENS),
    };
    let frame = times::framed(&call, "System".to_owned(), "system", &clock);
    html("system.html", &frame, &view)
}

fn of_zones(facts: &ZoneFacts, tz: &TzData, clock: &Clock) -> Vec<(&'static str, Cell)> {
    let newest = facts.newest_used.as_deref();
    let is_behind = newest.is_some_and(|newest| newest > tz.release());
    let tone = if is_behind { Tone::Warning } else { Tone::Plain };
    let here = format!("{} ({})", tz.release(), tz.source());
    let known = |text: Option<&str>| Cell::text(text.unwrap_or("none yet"));
    vec![
        ("In this process", Cell::text(here).tone(tone)),
        ("Newest that any process has used here", known(newest)),
        ("First months in PostgreSQL", known(facts.months_release.as_deref())),
        (
            "These reach until",
            Cell::at_or(facts.months_until.map(|at| clock.moment(at)), "none yet"),
        ),
    ]
}

fn of_clocks(
    judged: &Judged,
    host: crate::billing::Instant,
    clock: &Clock,
) -> Vec<(&'static str, Cell)> {
    let database = judged.database();
    let apart = host.since(database);
    let words = millis(i64::try_from(apart.as_millis().unsigned_abs()).unwrap_or(i64::MAX));
    let is_apart = apart.abs() > APART;
    let moment = |at| -> Moment { clock.moment(at) };
    let trusted = match judged {
        Judged::Believed(_) => Cell::text("trusted").tone(Tone::Good),
        Judged::Doubted(doubt) => Cell::text(format!("not trusted: {doubt}")).tone(Tone::Bad),
    };
    vec![
        ("Database", Cell::at(moment(database))),
        ("This machine", Cell::at(moment(host))),
        ("Apart by", Cell::text(words).tone(if is_apart { Tone::Warning } else { Tone::Plain })),
        ("The database's clock is", trusted),
    ]
}

fn listening(all: &[Daemon]) -> Table {
    let head = ["Daemon", "Listens on", "Configuration file"];
    let mut table = Table::new("Where daemons listen", &head);
    for daemon in all.iter().filter(|daemon| daemon.stopped_at.is_none()) {
        let listens = daemon.listening.join(", ");
        table.row([
            Cell::text(&daemon.replica),
            Cell::text(if listens.is_empty() { "nothing" } else { &listens }),
            Cell::text(daemon.config_file.as_deref().unwrap_or("none")),
        ]);
    }
    table
}

fn of_disks(disks: &[Disk]) -> Table {
    let mut table = Table::new("Disks", &["Directory", "Free#", "Size#", "Free of it#"]);
    for disk in disks {
        let gib = |bytes: u64| format!("{} GiB", grouped(&(bytes >> 30).to_string()));
        let percent = disk.free.saturating_mul(100).checked_div(disk.size).unwrap_or_default();
        let tone = if percent < NEARLY_FULL { Tone::Warning } else { Tone::Plain };
        table.row([
            Cell::text(&disk.path),
            Cell::number(gib(disk.free)),
            Cell::number(gib(disk.size)),
            Cell::number(format!("{percent} %")).tone(tone),
        ]);
    }
    table
}

fn of_tokens(all: &[TokenRow], may_act: bool, clock: &Clock) -> Table {
    let head = ["Name", "Scopes", "Org", "Last used on", "Made", "State", "Action"];
    let columns = if may_act { head.len() } else { head.len() - 1 };
    let mut table = Table::new("Tokens", &head[..columns]);
    for token in all.iter().take(TOKENS) {
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
        let at = |at| Cell::at(clock.moment(at));
        let state = match (token.revoked_at, token.expires_at) {
            (Some(revoked), _) => {
                Cell::text(format!("revoked {}", clock.relative(revoked))).tone(Tone::Soft)
            }
            (None, Some(expires)) if expires <= clock.now => {
                Cell::text(format!("expired {}", clock.relative(expires))).tone(Tone::Soft)
            }
            (None, Some(expires)) => {
                Cell::text(format!("valid; expires {}", clock.relative(expires))).tone(Tone::Good)
            }
            (None, None) => Cell::text("valid").tone(Tone::Good),
        };
        let org = token
            .org
            .as_deref()
            .map(|org| Cell::text(org).link(format!("/orgs/{}", url_part(org))));
        // The day alone is noted.
        let used = token.last_used_at.map(|at| clock.moment(at));
        let used = used.map_or_else(
            || Cell::text("never").tone(Tone::Soft),
            |moment| Cell::text(moment.text().get(..10).unwrap_or_default()),
        );
        let act = if token.revoked_at.is_none() {
            let revoke = Command::periodd(["tokens", "revoke", &token.name]);
            Button::of(&revoke).as_ref().map_or_else(Cell::empty, Cell::button)
        } else {
            Cell::empty()
        };
        let row = [
            Cell::text(&token.name),
            Cell::text(scopes.join(", ")),
            org.unwrap_or_else(|| Cell::text("all").tone(Tone::Soft)),
            used,
            at(token.created_at),
            state,
            act,
        ];
        table.row(row.into_iter().take(columns).collect::<Vec<_>>());
    }
    table
}
