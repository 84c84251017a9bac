//! The story as it is told: one line for each boundary of a zone, and one for each event.

use std::collections::BTreeMap;

use super::months::{Audience, Boundary, Drift, Event, OrgClose, Purchase, Scene, What};
use crate::billing::late::Kind;
use crate::billing::{Instant, Quantity, TimeOfDay, Zone};
use crate::cli::Failure;
use crate::cli::output::{Cell, Format, Page, Screen, Tone, counted};
use crate::jobs::sync::Late;
use crate::store::reports::history::ExpiredRow;
use crate::tz::TzData;

/// Columns of a line where no terminal says how wide it is.
const WIDTH: usize = 100;
/// Where what happened begins in a line about an event, and in one about a boundary.
const EVENT: usize = 17;
const CLOSED: usize = 50;

/// Tells the story on a screen, or keeps it for a document.
pub(super) struct Narrator<'a> {
    screen: &'a Screen,
    tz: &'a TzData,
    width: usize,
    from: Option<Instant>,
    scenes: Vec<Scene>,
    days: Option<Days>,
    failed: Option<Failure>,
}

/// Days of an org with a daily cycle that are told in one line, because nothing but the date
/// tells them apart.
struct Days {
    org: String,
    zone: String,
    last: Instant,
    count: usize,
    sums: Sums,
}

/// What packs paid and what nothing paid, by unit.
#[derive(Default)]
struct Sums(BTreeMap<String, (Quantity, Quantity)>);

/// Something to be told: when it was, and the line about it.
type Told = (Instant, Page);

impl<'a> Narrator<'a> {
    pub(super) fn new(screen: &'a Screen, tz: &'a TzData) -> Self {
        let width = screen.width().map_or(WIDTH, usize::from);
        Self { screen, tz, width, from: None, scenes: vec![], days: None, failed: None }
    }

    /// Ends the story: from when it was told, and its scenes if they were kept.
    ///
    /// # Errors
    /// Exit 1 when some of it could not be written.
    pub(super) fn finish(mut self) -> Result<(Option<Instant>, Vec<Scene>), Failure> {
        let rest = self.told_days();
        self.tell(rest);
        self.failed.map_or(Ok((self.from, self.scenes)), Err)
    }

    fn tell(&mut self, told: impl IntoIterator<Item = Told>) {
        for (_, page) in told {
            if self.failed.is_none() {
                self.failed = self.screen.tell(&page).err();
            }
        }
    }

    fn event(&self, event: &Event) -> Told {
        let tone = match event.what {
            What::Stopped | What::Started => Tone::Title,
            _ => Tone::Plain,
        };
        let words = words(&event.what);
        let pieces = words.split(' ').map(|word| (word.to_owned(), tone));
        (event.at, self.laid_out(moment(event.at), EVENT, " ", pieces))
    }

    /// What an audit found, a line each.
    fn audit(
        &self,
        at: Instant,
        drift: &[Drift],
        late: &[Late],
        purchases: &[Purchase],
    ) -> Vec<Told> {
        let mut told = Vec::new();
        for line in drift {
            let Drift { org, place, before, after, .. } = line;
            let before = before.map_or_else(|| "nothing".to_owned(), |held| held.to_string());
            let words =
                format!("audit: {org}'s {place} was {before}, its metrics add up to {after}");
            told.push((words + ": repaired", Tone::Good));
        }
        for line in late {
            let Late { org, feature, used, drawn, uncovered, kind, .. } = line;
            let paid = match kind {
                Kind::Late => format!("packs pay {drawn}, {uncovered} uncovered"),
                Kind::SetAside => "after the grace period: not charged".to_owned(),
            };
            let words = format!("audit: {used} {feature} of {org}'s closed period, {paid}");
            told.push((words, Tone::Good));
        }
        for Purchase { org, quantity } in purchases {
            let words = format!("audit: {org} purchased {quantity} minutes without a pack");
            told.push((words, Tone::Warning));
        }
        let line = |(words, tone): (String, Tone)| {
            let pieces = words.split(' ').map(|word| (word.to_owned(), tone)).collect::<Vec<_>>();
            (at, self.laid_out(moment(at), EVENT, " ", pieces))
        };
        told.into_iter().map(line).collect()
    }

    /// A pack that expired.
    fn expired(&self, row: &ExpiredRow) -> Told {
        let ExpiredRow { org, reference, drawn, bought, unit, expired, .. } = row;
        let pack = reference.as_deref().unwrap_or("a pack");
        let words =
            format!("{org}: {pack} ends, {drawn} of {bought} {unit} drawn, {expired} expired");
        let pieces = words.split(' ').map(|word| (word.to_owned(), Tone::Warning));
        (row.at, self.laid_out(moment(row.at), EVENT, " ", pieces))
    }

    /// A boundary that has passed; days of a daily cycle are gathered until their month is over.
    fn boundary(&mut self, boundary: &Boundary) -> Vec<Told> {
        let [only] = &boundary.orgs[..] else { return vec![self.line(boundary)] };
        if only.cycle != "daily" {
            return vec![self.line(boundary)];
        }
        let other = self.days.as_ref().is_some_and(|days| days.org != only.org);
        let mut told: Vec<Told> =
            if other { self.told_days().into_iter().collect() } else { vec![] };
        let days = self.days.get_or_insert_with(|| Days::of(&only.org));
        days.add(boundary, only);
        let month_over = self
            .zone(&boundary.time_zone)
            .is_some_and(|zone| zone.local_as(boundary.at, "%d") == "01");
        if month_over {
            told.extend(self.told_days());
        }
        told
    }

    /// The days gathered so far, in one line.
    fn told_days(&mut self) -> Option<Told> {
        let Days { org, zone, last, count, sums } = self.days.take()?;
        let mut pieces = vec![(format!("{org} {}", counted(count, "day")), Tone::Plain)];
        pieces.extend(sums.pieces());
        Some((last, self.laid_out(self.head(last, &zone), CLOSED, ", ", pieces)))
    }

    fn line(&self, boundary: &Boundary) -> Told {
        let slugs: Vec<&str> = boundary.orgs.iter().map(|org| org.org.as_str()).collect();
        let names = match slugs.len() {
            1 => slugs.concat(),
            count => format!("{count} orgs: {}", slugs.join(" and ")),
        };
        let mut pieces = vec![(names, Tone::Plain)];
        let mut sums = Sums::default();
        for org in &boundary.orgs {
            sums.add(org);
        }
        pieces.extend(sums.pieces());
        for org in boundary.orgs.iter().filter(|org| org.tier != org.tier_after) {
            pieces.push((format!("now {}", org.tier_after), Tone::Good));
        }
        let clocks = self.zone(&boundary.time_zone).and_then(|zone| clocks(&zone, boundary));
        pieces.extend(clocks.map(|note| (note, Tone::Faint)));
        let head = self.head(boundary.at, &boundary.time_zone);
        (boundary.at, self.laid_out(head, CLOSED, ", ", pieces))
    }

    fn head(&self, at: Instant, zone: &str) -> Vec<Piece> {
        let local = self.zone(zone).map_or_else(String::new, |zone| local(&zone, at));
        let utc = at.timestamp().strftime("%H:%MZ").to_string();
        vec![(format!("{local:<21}{zone:<21}"), Tone::Plain), (format!("{utc:<8}"), Tone::Faint)]
    }

    fn zone(&self, name: &str) -> Option<Zone> {
        self.tz.zone(name).ok()
    }

    /// A line of pieces after its head; what does not fit goes on under the first piece.
    fn laid_out(
        &self,
        head: Vec<Piece>,
        indent: usize,
        separator: &str,
        pieces: impl IntoIterator<Item = Piece>,
    ) -> Page {
        let mut lines = vec![head];
        let mut column = indent;
        for (place, (text, tone)) in pieces.into_iter().enumerate() {
            let columns = text.chars().count();
            let (between, fits) = match place {
                0 => ("", true),
                _ => (separator, column + separator.len() + columns <= self.width),
            };
            if let (true, Some(line)) = (fits, lines.last_mut()) {
                column += between.len() + columns;
                append(line, between, Tone::Plain);
                append(line, &text, tone);
            } else {
                column = indent + columns;
                if let Some(line) = lines.last_mut() {
                    append(line, separator.trim_end(), Tone::Plain);
                }
                lines.push(vec![(" ".repeat(indent), Tone::Plain), (text, tone)]);
            }
        }
        lines.into_iter().fold(Page::new(), |page, line| {
            page.parts(line.into_iter().map(|(text, tone)| Cell::text(text).tone(tone)))
        })
    }
}

/// A part of a line in one tone.
type Piece = (String, Tone);

/// Adds to a line; what has the tone of the end joins it, and so does a space, which has none.
fn append(line: &mut Vec<Piece>, text: &str, tone: Tone) {
    match line.last_mut() {
        Some((last, same)) if *same == tone || text.trim().is_empty() => last.push_str(text),
        _ => line.push((text.to_owned(), tone)),
    }
}

impl Audience for Narrator<'_> {
    fn begins(&mut self, from: Instant, until: Instant, again: bool) {
        self.from = Some(from);
        let day = |at: Instant| at.timestamp().strftime("%-d %B %Y").to_string();
        let (from, until) = (day(from), day(until));
        let title = if again {
            format!("The sample company's clock continues from {from} to {until}")
        } else {
            format!("A sample company, from {from} to {until}")
        };
        let heads = format!("{:<21}{:<21}{:<8}{}", "local time", "zone", "UTC", "closed");
        let rule = "─".repeat(self.width.min(WIDTH));
        let page = Page::new().line(Cell::text(title).tone(Tone::Title)).line("");
        let page = page.line(Cell::text(heads).tone(Tone::Title)).line(rule);
        self.tell([(Instant::MIN, page)]);
    }

    fn sees(&mut self, scene: Scene) {
        if self.screen.format() == Format::Json {
            self.scenes.push(scene);
            return;
        }
        let mut told = Vec::new();
        match &scene {
            Scene::Event(event) => {
                if matches!(event.what, What::Stopped) {
                    told.extend(self.told_days());
                }
                told.push(self.event(event));
            }
            Scene::Audit { at, drift, late, purchases } => {
                told.extend(self.audit(*at, drift, late, purchases));
            }
            Scene::Rollover { at, boundaries, expired } => {
                for boundary in boundaries {
                    told.extend(self.boundary(boundary));
                }
                let late = boundaries.iter().any(|boundary| boundary.at < *at);
                if late {
                    told.extend(self.told_days());
                }
                told.extend(expired.iter().map(|row| self.expired(row)));
                told.sort_by_key(|(at, _)| *at);
            }
        }
        self.tell(told);
    }
}

impl Days {
    fn of(org: &str) -> Self {
        let (zone, sums) = (String::new(), Sums::default());
        Self { org: org.to_owned(), zone, last: Instant::MIN, count: 0, sums }
    }

    fn add(&mut self, boundary: &Boundary, org: &OrgClose) {
        self.zone.clone_from(&boundary.time_zone);
        self.last = boundary.at;
        self.count += 1;
        self.sums.add(org);
    }
}

impl Sums {
    fn add(&mut self, org: &OrgClose) {
        for feature in &org.features {
            let (drawn, uncovered) = self.0.entry(feature.unit.clone()).or_default();
            // What does not add up any more is beyond anything that a line could show.
            *drawn = drawn.plus(feature.drawn).unwrap_or(*drawn);
            *uncovered = uncovered.plus(feature.uncovered).unwrap_or(*uncovered);
        }
    }

    fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (unit, (drawn, uncovered)) in &self.0 {
            if !drawn.is_zero() {
                pieces.push((format!("{drawn} {unit} drawn"), Tone::Good));
            }
            if !uncovered.is_zero() {
                pieces.push((format!("{uncovered} {unit} uncovered"), Tone::Warning));
            }
        }
        pieces
    }
}

/// What the clocks of a zone have to do with a boundary, where there is something to say.
fn clocks(zone: &Zone, boundary: &Boundary) -> Option<String> {
    let at = boundary.at;
    let first = boundary.orgs.first()?;
    if first.anchor_time == TimeOfDay::MIDNIGHT
        && let Some(what) = of_midnight(zone, at)
    {
        return Some(what.to_owned());
    }
    let start = first.start;
    let (before, after) = (offset(zone, start), offset(zone, at));
    (before != after).then(|| format!("was {before}"))
}

/// What is odd about the midnight that a boundary stands for.
fn of_midnight(zone: &Zone, at: Instant) -> Option<&'static str> {
    let hour_later = at.plus(jiff::SignedDuration::from_hours(1)).ok()?;
    if zone.first_instant(zone.date(at)).ok()? != at {
        Some("midnight in its old zone")
    } else if zone.local_as(at, "%H:%M") != "00:00" {
        Some("no midnight that day")
    } else {
        (zone.local_as(hour_later, "%H:%M") == "00:00").then_some("first of two midnights")
    }
}

/// `Feb  1 00:00 +10:30`.
fn local(zone: &Zone, at: Instant) -> String {
    format!("{} {}", zone.local_as(at, "%b %e %H:%M"), offset(zone, at))
}

/// `+01`, or `+10:30` where minutes matter.
fn offset(zone: &Zone, at: Instant) -> String {
    let offset = zone.local_as(at, "%:z");
    offset.strip_suffix(":00").map_or(offset.clone(), str::to_owned)
}

/// The head of a line about an event.
fn moment(at: Instant) -> Vec<Piece> {
    let utc = at.timestamp().strftime("%b %e %H:%MZ");
    vec![(format!("{utc}  · "), Tone::Plain)]
}

fn words(what: &What) -> String {
    match what {
        What::Bought { org, feature, quantity, expires_at, .. } => {
            let until = expires_at.map_or_else(
                || "for good".to_owned(),
                |at| at.timestamp().strftime("until %b %-d").to_string(),
            );
            format!("{org} buys {quantity} {feature}, {until}")
        }
        What::Set { org, feature, level } => {
            format!("{org} has {level} {feature} from here on, in every period")
        }
        What::Moved { org, from, to } => {
            format!("{org} moves from {from} to {to}, from its next period on")
        }
        What::Booked { org, tier } => format!("{org} books {tier}, from its next period on"),
        What::Ended { org, .. } => {
            format!("{org} cancels its subscription, which runs until its period ends")
        }
        What::Miscounted { org, feature, quantity } => {
            format!("a faulty program subtracts {quantity} {feature} from {org}'s counter")
        }
        What::Misspelt { org, zone } => {
            format!("a faulty program sets {org}'s time zone to {zone}, which does not exist")
        }
        What::Parked { org, reason } => format!("{org} is parked, the others go on: {reason}"),
        What::Credited { org, quantity } => {
            format!("a shop adds {quantity} minutes to {org}'s row, without a pack")
        }
        What::Late { org, feature, quantity, used_at } => {
            let day = used_at.timestamp().strftime("%b %-d").to_string();
            format!("{org} reports {quantity} {feature} used on {day}, in a closed period")
        }
        What::Audited => "the audit runs".to_owned(),
        What::Stopped => "the daemon stops: no period is closed from here on".to_owned(),
        What::Started => {
            "the daemon is back and closes the ended periods one by one, oldest first".to_owned()
        }
        What::MailStopped => "the mail server stops: emails wait".to_owned(),
        What::MailStarted => "the mail server is back".to_owned(),
    }
}
