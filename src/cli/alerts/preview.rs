//! `periodd alerts preview`: the email that an org would get.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;

use uuid::Uuid;

use super::mailer;
use crate::billing::notice::Kind;
use crate::billing::quantity::Overflow;
use crate::billing::recipients::{Person, recipients};
use crate::billing::threshold::{Limit, is_crossed};
use crate::billing::{Instant, Period, Quantity};
use crate::cli::output::{Cell, Format, Output, Page, Tone};
use crate::cli::session::Session;
use crate::cli::{Exit, Failure};
use crate::command::Command as Proposed;
use crate::jobs::alerts::Watched;
use crate::jobs::alerts::notices::Settings;
use crate::jobs::deliver::Mailer;
use crate::jobs::deliver::Preview;
use crate::mail::{Email, is_known_locale};
use crate::store::alerts;
use crate::store::messages::content::{self, About, Facts};
use crate::store::orgs;
use crate::store::usage::limits;

/// Where an org has nobody to tell.
const NOBODY: &str = "nobody@example.invalid";

/// What is to be written.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Slug or id
    #[arg(value_name = "ORG")]
    org: String,
    /// Kind of notice to preview, with made-up figures, such as summary [default: a warning]
    #[arg(long, value_name = "KIND", conflicts_with_all = ["feature", "threshold", "set"])]
    kind: Option<Kind>,
    /// Feature to preview [default: the one closest to its limit]
    #[arg(long, value_name = "F")]
    feature: Option<String>,
    /// Threshold to assume as just crossed, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=250))]
    threshold: Option<u8>,
    /// Language and region to assume, such as de or pt-BR [default: the org's]
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,
    /// Quantities to assume: used, included or purchased (left in packs); used also in percent of
    /// what is allowed: used=95%; may be repeated
    #[arg(long = "set", value_name = "NAME=QUANTITY")]
    set: Vec<Assumed>,
    /// Show the HTML part instead of the text
    #[arg(long)]
    html: bool,
    /// Open the HTML part in a browser
    #[arg(long, conflicts_with = "html")]
    open: bool,
}

/// A quantity that is assumed instead of what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Assumed {
    Used(Quantity),
    /// In percent of what is allowed.
    UsedPercent(Quantity),
    Included(Quantity),
    Purchased(Quantity),
}

impl FromStr for Assumed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid =
            || format!("invalid `{text}`; write used=570, used=95%, included=600 or purchased=300");
        let (name, value) = text.split_once('=').ok_or_else(invalid)?;
        let quantity = |text: &str| {
            let quantity: Quantity = text.parse().map_err(|_| invalid())?;
            if quantity.is_negative() { Err(invalid()) } else { Ok(quantity) }
        };
        match (name, value.strip_suffix('%')) {
            ("used", Some(percent)) => quantity(percent).map(Self::UsedPercent),
            ("used", None) => quantity(value).map(Self::Used),
            ("included", None) => quantity(value).map(Self::Included),
            ("purchased", None) => quantity(value).map(Self::Purchased),
            _ => Err(invalid()),
        }
    }
}

/// The counter with what is assumed of it.
fn assume(mut counter: limits::Limit, set: &[Assumed]) -> Result<limits::Limit, Overflow> {
    for assumed in set {
        match *assumed {
            Assumed::Used(used) => counter.used = used,
            Assumed::Included(included) => counter.included = Some(included),
            Assumed::Purchased(purchased) => counter.usable = purchased,
            Assumed::UsedPercent(_) => {}
        }
    }
    let Some(included) = counter.included else { return Ok(counter) };
    let allowance = included.plus(counter.drawn)?.plus(counter.usable)?;
    counter.effective_limit = Some(allowance);
    // A share of what is allowed, whatever else is assumed.
    for assumed in set {
        if let Assumed::UsedPercent(percent) = assumed {
            let hundred = Quantity::units(100).millionths();
            let used = allowance.millionths() / hundred * percent.millionths()
                + allowance.millionths() % hundred * percent.millionths() / hundred;
            counter.used = Quantity::from_millionths(used)?;
        }
    }
    Ok(counter)
}

/// Writes it. Nothing is sent and nothing is kept.
pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let org = orgs::find(&session.database, &args.org).await?;
    let now = session.now().await?;
    let mailer = mailer(session)?;
    if let Some(locale) = args.locale.as_ref().filter(|locale| !is_known_locale(locale)) {
        return Err(Failure::usage(format!(
            "unknown locale `{locale}`; write it as a language with or without a region: de, pt-BR"
        )));
    }
    if let Some(kind) = args.kind.filter(|kind| *kind != Kind::Threshold) {
        let written = notice(session, &mailer, org, kind, args, now).await?;
        session.screen.note("the figures are made up");
        return show(session, args, &written);
    }
    let counter = counter(session, org, args, now).await?;
    let counter = assume(counter, &args.set).map_err(Failure::usage)?;
    let Some(included) = counter.included else {
        return Err(Failure::usage(format!(
            "{} has no limit for {}, so no warning is ever sent",
            args.org, counter.feature
        )));
    };
    let mut connection = session.database.connection().await?;
    let about = content::about(&mut connection, org, &counter.feature).await?;
    let (Some(start), Some(end)) = (counter.period_start, counter.period_end) else {
        return Err(Failure::usage(format!(
            "{} has no open period yet; `{}` opens one",
            args.org,
            Proposed::periodd(["rollover", "--org", &args.org])
        )));
    };
    let watched = Watched::of(&session.config);
    let basis = about.basis.as_deref().unwrap_or_else(|| watched.basis(&counter.feature));
    let own = about.thresholds.as_ref().map(|own| watched.own_thresholds(own));
    let levels = own.as_deref().unwrap_or_else(|| watched.thresholds(&counter.feature));
    let Some(threshold) = args.threshold.or_else(|| due(levels, basis, &counter, included)) else {
        return Err(Failure::usage(format!(
            "{} has no thresholds for {}, so no warning is ever sent; pass `--threshold` to \
             preview one anyway",
            args.org, counter.feature
        )));
    };
    let people: Vec<Person> = alerts::people(&mut connection, &[org])
        .await?
        .into_iter()
        .map(|(_, person)| person)
        .collect();
    let notices = Settings::of(&session.config);
    let to = recipients(&people, notices.matter(Kind::Threshold, Some(i16::from(threshold))));
    let facts = Facts {
        org,
        id: Uuid::nil(),
        slug: about.slug,
        name: about.name,
        time_zone: about.time_zone,
        locale: args.locale.clone().or(about.locale),
        currency: about.currency,
        feature: counter.feature,
        unit: about.unit,
        is_level: about.is_level,
        period: Period { start, end },
        is_closed: false,
        threshold: i16::from(threshold),
        limit_change: false,
        basis: basis.to_owned(),
        used: counter.used,
        included: Some(included),
        drawn: counter.drawn,
        purchased: counter.usable,
    };
    let first = to.first().map_or(NOBODY, String::as_str);
    let email = mailer.preview(&mut connection, &session.tz, &facts, first, now).await;
    let email = email.map_err(|error| match error {
        Preview::Store(error) => Failure::from(error),
        other => Failure::failed(other),
    })?;
    let written = Written {
        org: facts.slug,
        kind: Kind::Threshold,
        feature: facts.feature,
        threshold: Some(threshold),
        to,
        subject: email.subject,
        text: email.text,
        html: email.html,
    };
    show(session, args, &written)
}

/// An email of a kind of notice, with made-up figures.
async fn notice(
    session: &Session,
    mailer: &Mailer,
    org: Uuid,
    kind: Kind,
    args: &Args,
    now: Instant,
) -> Result<Written, Failure> {
    let mut connection = session.database.connection().await?;
    let about = content::about(&mut connection, org, "").await?;
    let about = About { locale: args.locale.clone().or(about.locale), ..about };
    let people = alerts::people(&mut connection, &[org]).await?.into_iter();
    let people: Vec<Person> = people.map(|(_, person)| person).collect();
    let notices = Settings::of(&session.config);
    let to = if kind.is_for_operators() {
        notices.operators().to_vec()
    } else if kind.is_for_its_user() {
        Vec::new()
    } else {
        recipients(&people, notices.matter(kind, None))
    };
    let first = to.first().map_or(NOBODY, String::as_str);
    let email = mailer.preview_notice(kind, &about, first, now).map_err(Failure::failed)?;
    let Email { subject, text, html, .. } = email;
    let (org, feature) = (about.slug, String::new());
    Ok(Written { org, kind, feature, threshold: None, to, subject, text, html })
}

fn show(session: &Session, args: &Args, written: &Written) -> Result<Exit, Failure> {
    if args.open {
        let path = open(&written.org, &written.html)?;
        session.screen.note(&format!("written to {}", path.display()));
        return Ok(Exit::Done);
    }
    if args.html && session.screen.format() == Format::Table {
        session.screen.write(|stdout| stdout.write_all(written.html.as_bytes()))?;
    } else {
        session.screen.show(written)?;
    }
    Ok(Exit::Done)
}

/// Writes the page to a file of the user's own, and has the desktop open it.
fn open(org: &str, html: &str) -> Result<PathBuf, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("cannot open the page: {error}"));
    let name: String = org.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
    let directory = std::env::temp_dir().join(format!("periodd-{}", Uuid::new_v4().simple()));
    std::fs::DirBuilder::new().mode(0o700).create(&directory).map_err(failed)?;
    let path = directory.join(format!("{name}.html"));
    std::fs::write(&path, html).map_err(failed)?;
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let opened = Command::new(opener).arg(&path).stdin(Stdio::null()).status();
    if opened.is_ok_and(|status| status.success()) {
        return Ok(path);
    }
    Err(Failure::failed(format!(
        "{opener} cannot open {}; open the file in a browser",
        path.display()
    )))
}

/// The highest threshold that usage has crossed, or else the first that it will cross.
fn due(levels: &[u8], basis: &str, counter: &limits::Limit, included: Quantity) -> Option<u8> {
    let allowance = counter.effective_limit.filter(|_| basis != "included");
    let limit = Limit::Quantity(allowance.unwrap_or(included));
    let crossed = levels.iter().filter(|level| is_crossed(**level, counter.used, limit)).max();
    crossed.or_else(|| levels.iter().min()).copied()
}

/// The counter that was asked for, or the one that is nearest to its limit.
async fn counter(
    session: &Session,
    org: Uuid,
    args: &Args,
    now: Instant,
) -> Result<limits::Limit, Failure> {
    let mut connection = session.database.connection().await?;
    let mut counters = limits::of(&mut connection, org, None, now).await?;
    if let Some(feature) = &args.feature {
        let wanted = feature.to_lowercase();
        let found = counters.into_iter().find(|counter| counter.feature == wanted);
        return found.ok_or_else(|| {
            Failure::usage(format!(
                "{} has neither usage of `{feature}` nor a limit for it",
                args.org
            ))
        });
    }
    // What has no limit comes last.
    counters.sort_by_key(|counter| std::cmp::Reverse(counter.percent));
    counters.into_iter().next().ok_or_else(|| {
        Failure::usage(format!("{} has neither usage nor limits, so there is no email", args.org))
    })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Written {
    org: String,
    /// What it is about.
    kind: Kind,
    /// The feature of a warning; empty for a notice.
    feature: String,
    /// The threshold of a warning; null for a notice.
    threshold: Option<u8>,
    to: Vec<String>,
    subject: String,
    text: String,
    html: String,
}

impl Output for Written {
    fn page(&self) -> Page {
        let to = if self.to.is_empty() { "nobody".to_owned() } else { self.to.join(", ") };
        let head = |name: &str, value: &str| {
            [Cell::text(format!("{name}: ")).tone(Tone::Faint), Cell::text(value)]
        };
        let page = Page::new().parts(head("To", &to)).parts(head("Subject", &self.subject));
        self.text.trim_end().lines().fold(page.line(""), Page::line)
    }
}
