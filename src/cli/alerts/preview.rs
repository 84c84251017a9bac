//! `periodd alerts preview`: the email that an org would get.

use uuid::Uuid;

use super::post;
use crate::billing::recipients::{Person, recipients};
use crate::billing::threshold::{Limit, is_crossed};
use crate::billing::{Period, Quantity};
use crate::cli::output::{Cell, Format, Output, Page, Tone};
use crate::cli::session::Session;
use crate::cli::{Exit, Failure};
use crate::jobs::alerts::Watched;
use crate::jobs::deliver::Preview;
use crate::store::alerts;
use crate::store::letters::{self, Facts};
use crate::store::orgs::{self, CounterView};

/// Where an org has nobody to tell.
const NOBODY: &str = "nobody@example.invalid";

/// What is to be written.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Slug or id
    #[arg(value_name = "ORG")]
    org: String,
    /// About this feature; the one that is used most of its limit if not given
    #[arg(long, value_name = "F")]
    feature: Option<String>,
    /// As if this percentage had just been crossed
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    threshold: Option<u8>,
    /// The HTML part instead of the text
    #[arg(long)]
    html: bool,
}

/// Writes it. Nothing is sent and nothing is kept.
pub(super) async fn run(session: &Session, args: &Args) -> Result<Exit, Failure> {
    let org = orgs::find(&session.database, &args.org).await?;
    let now = session.now().await?;
    let post = post(session)?;
    let counter = counter(session, org, args).await?;
    let Some(included) = counter.included else {
        return Err(Failure::usage(format!(
            "{} has no limit for {}, so nobody is ever warned of it",
            args.org, counter.feature
        )));
    };
    let mut connection = session.database.connection().await?;
    let about = letters::about(&mut connection, org, &counter.feature).await?;
    let (Some(start), Some(end)) = (about.period_start, about.period_end) else {
        return Err(Failure::usage(format!(
            "{} has no open period yet; `periodd rollover --org {}` opens one",
            args.org, args.org
        )));
    };
    let watched = Watched::of(&session.config);
    let basis = about.basis.as_deref().unwrap_or_else(|| watched.basis(&counter.feature));
    let own: Option<Vec<u8>> = about
        .thresholds
        .map(|own| own.into_iter().filter_map(|level| u8::try_from(level).ok()).collect());
    let levels = own.as_deref().unwrap_or_else(|| watched.thresholds(&counter.feature));
    let Some(threshold) = args.threshold.or_else(|| due(levels, basis, &counter, included)) else {
        return Err(Failure::usage(format!(
            "{} has no thresholds for {}, so nobody is ever warned of it; `--threshold` writes \
             the email all the same",
            args.org, counter.feature
        )));
    };
    let people: Vec<Person> = alerts::people(&mut connection, &[org])
        .await?
        .into_iter()
        .map(|(_, person)| person)
        .collect();
    let to = recipients(&people, threshold);
    let facts = Facts {
        org,
        id: Uuid::nil(),
        slug: about.slug,
        name: about.name,
        time_zone: about.time_zone,
        locale: about.locale,
        currency: about.currency,
        feature: counter.feature,
        unit: about.unit,
        period: Period { start, end },
        is_closed: false,
        threshold: i16::from(threshold),
        limit_change: false,
        basis: basis.to_owned(),
        used: counter.used,
        included: Some(included),
        drawn: counter.drawn,
        purchased: counter.in_packs,
    };
    let first = to.first().map_or(NOBODY, String::as_str);
    let email = post.preview(&mut connection, &session.tz, &facts, first, now).await;
    let email = email.map_err(|error| match error {
        Preview::Store(error) => Failure::from(error),
        other => Failure::failed(other),
    })?;
    let written = Written {
        org: facts.slug,
        feature: facts.feature,
        threshold,
        to,
        subject: email.subject,
        text: email.text,
        html: email.html,
    };
    if args.html && session.screen.format() == Format::Table {
        session.screen.write(|stdout| stdout.write_all(written.html.as_bytes()))?;
    } else {
        session.screen.show(&written)?;
    }
    Ok(Exit::Done)
}

/// The highest threshold that usage has crossed, or else the first that it will cross.
fn due(levels: &[u8], basis: &str, counter: &CounterView, included: Quantity) -> Option<u8> {
    let allowance = || {
        let packs = counter.drawn.plus(counter.in_packs)?;
        included.plus(packs)
    };
    let limit = if basis == "included" { included } else { allowance().unwrap_or(included) };
    let limit = Limit::Quantity(limit);
    let crossed = levels.iter().filter(|level| is_crossed(**level, counter.used, limit)).max();
    crossed.or_else(|| levels.iter().min()).copied()
}

/// The counter that was asked for, or the one that is nearest to its limit.
async fn counter(session: &Session, org: Uuid, args: &Args) -> Result<CounterView, Failure> {
    let mut counters = orgs::counters(&session.database, org).await?;
    if let Some(feature) = &args.feature {
        let wanted = feature.to_lowercase();
        let found = counters.into_iter().find(|counter| counter.feature == wanted);
        return found.ok_or_else(|| {
            Failure::usage(format!("{} neither uses `{feature}` nor has a limit for it", args.org))
        });
    }
    // The share of the limit in millionths; what has no limit comes last.
    let share = |counter: &CounterView| -> i128 {
        let limit = counter.included.map_or(0, Quantity::millionths);
        if limit > 0 { counter.used.millionths().saturating_mul(1_000_000) / limit } else { -1 }
    };
    counters.sort_by_key(|counter| std::cmp::Reverse(share(counter)));
    counters.into_iter().next().ok_or_else(|| {
        Failure::usage(format!("{} has neither usage nor limits, so there is no email", args.org))
    })
}

#[derive(serde::Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Written {
    org: String,
    feature: String,
    threshold: u8,
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
