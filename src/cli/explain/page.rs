//! The page in the terminal.

use super::super::findings::findings;
use super::super::output::{Cell, Output, Page, Table, Tone, or_unlimited};
use super::super::times::Local;
use super::super::users::limits;
use crate::billing::{Instant, Period, Quantity};
use crate::charts::picture::{Picture, Usage};
use crate::jobs::explain::{self, Explanation, FeatureView};

/// Columns of the picture where there is no terminal, and the most there are.
const PICTURE_COLUMNS: usize = 64;
/// Columns left of the picture.
const SCALE_COLUMNS: usize = 12;

/// The page.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub(in crate::cli) struct Answer<'a> {
    found: &'a Explanation,
    #[serde(skip)]
    times: Local,
    #[serde(skip)]
    width: usize,
}

impl<'a> Answer<'a> {
    pub(super) fn new(found: &'a Explanation, times: Local, width: Option<u16>) -> Self {
        let width = width.map_or(PICTURE_COLUMNS, |width| {
            usize::from(width).saturating_sub(SCALE_COLUMNS + 1).min(PICTURE_COLUMNS)
        });
        Self { found, times, width }
    }

    pub(super) fn local(&self, at: Instant) -> String {
        self.times.at(at)
    }
}

impl Output for Answer<'_> {
    fn page(&self) -> Page {
        self.below(self.pictures(self.above(Page::new())))
    }
}

impl Answer<'_> {
    /// What stands above the pictures.
    fn above(&self, page: Page) -> Page {
        let title = format!("{} ({})", self.found.org.name, self.found.org.slug);
        let page = page.line(Cell::text(title).tone(Tone::Title));
        self.usage(findings(self.facts(page), &self.found.findings))
    }

    /// What stands below them.
    fn below(&self, page: Page) -> Page {
        let page = self.packs(self.copies(page));
        self.users(self.mends(self.alerts(self.late(self.closed(page)))))
    }
}

impl Answer<'_> {
    pub(super) fn facts(&self, page: Page) -> Page {
        let Explanation { now, org, period, contacts, .. } = self.found;
        let mut page = page.fact("id", org.id.to_string());
        page = page.fact("now", format!("{} ({})", self.local(*now), org.time_zone));
        let status = org.subscription_status.as_deref().map(|status| format!(", {status}"));
        let mut tier = format!("{}{}", org.subscription_tier, status.unwrap_or_default());
        if let Some(next) = &org.next_subscription_tier {
            let from = org.next_subscription_tier_at.map(|at| self.local(at));
            let from = from.unwrap_or_else(|| "the next boundary".to_owned());
            tier = format!("{tier}, {next} from {from} on");
        }
        if let Some(at) = org.subscription_ends_at {
            tier = format!("{tier}, ends {}", self.local(at));
        }
        page = page.fact("tier", tier);
        if let Some(pause) = org.pause(*now) {
            let until = pause.until.map(|until| format!(" until {}", self.local(until)));
            let reason = org.pause_reason.as_deref().unwrap_or("no reason was given");
            let (from, until) = (self.local(pause.from), until.unwrap_or_default());
            page = page.fact("paused", format!("from {from}{until}: {reason}"));
        }
        for change in &self.found.tiers_ahead {
            page = page.fact("ahead", change.sentence(&self.local(change.takes_effect)));
        }
        page = match period {
            Some(period) => {
                let (start, end) = (self.local(period.start), self.local(period.end));
                let left = self.times.relative(period.end);
                let passed = period.passed_percent;
                page.fact(
                    "period",
                    if period.end == Instant::NEVER {
                        format!("{start}, without an end")
                    } else {
                        format!("{start} to {end} ({left}), {passed} % passed")
                    },
                )
            }
            None => page.fact("period", Cell::text("none is open now").tone(Tone::Bad)),
        };
        if !contacts.is_empty() {
            let addresses: Vec<&str> = contacts.iter().map(|one| one.email.as_str()).collect();
            page = page.fact("emails", addresses.join(", "));
        }
        page
    }

    pub(super) fn usage(&self, page: Page) -> Page {
        let features = &self.found.features;
        if features.is_empty() {
            return page.line("").line("no counted usage, no included quantity and no packs");
        }
        let headings =
            ["feature", "used", "included", "drawn", "in packs", "left", "%", "next one"];
        let mut table = Table::new(headings).caption("Usage in this period");
        for feature in features {
            let percent = feature.percent.map(|percent| percent.to_string()).unwrap_or_default();
            let tone = match feature.percent {
                Some(100..) => Tone::Bad,
                Some(80..) => Tone::Warning,
                _ => Tone::Plain,
            };
            let next = if feature.increment.allowed {
                Cell::text("allowed").tone(Tone::Good)
            } else {
                Cell::text("refused").tone(Tone::Bad)
            };
            let kind = if feature.is_level { " (level)" } else { "" };
            table.row([
                Cell::text(format!("{}{kind}", feature.feature)),
                Cell::number(feature.used),
                Cell::number(or_unlimited(feature.included)),
                Cell::number(feature.drawn),
                Cell::number(feature.in_packs),
                Cell::number(or_unlimited(feature.left)),
                Cell::number(percent).tone(tone),
                next,
            ]);
        }
        page.line("").table(table)
    }

    fn pictures(&self, mut page: Page) -> Page {
        let Some(period) = &self.found.period else { return page };
        let within = Period { start: period.start, end: period.end };
        let within = explain::shown(within, self.found.now);
        for feature in &self.found.features {
            if feature.used.is_zero() && feature.uncounted.is_zero() {
                continue;
            }
            let Some(picture) = picture(feature, within) else { continue };
            page = self.picture(page, feature, &picture);
            let (start, end) = (self.local(within.start), self.local(within.end));
            let between = (self.width + SCALE_COLUMNS)
                .saturating_sub(SCALE_COLUMNS + start.chars().count() + end.chars().count());
            let margin = " ".repeat(SCALE_COLUMNS);
            let axis = format!("{margin}{start}{}{end}", " ".repeat(between));
            page = page.line(Cell::text(axis).tone(Tone::Faint));
        }
        page
    }

    fn picture(&self, page: Page, feature: &FeatureView, picture: &Picture) -> Page {
        let mut page = page.line("").line(Cell::text(title(feature)).tone(Tone::Title));
        let rows = picture.rows(self.width);
        let last = rows.len().saturating_sub(1);
        for (number, row) in rows.into_iter().enumerate() {
            let scale = match number {
                0 => picture.top.to_string(),
                number if number == last => "0".to_owned(),
                _ => String::new(),
            };
            let width = SCALE_COLUMNS - 2;
            let scale = Cell::text(format!("{scale:>width$} │")).tone(Tone::Faint);
            page = page.parts([scale, Cell::text(row)]);
        }
        page
    }

    fn copies(&self, page: Page) -> Page {
        let mut table = Table::new(["stored copy", "feature", "holds", "should", ""]);
        let mut any = false;
        for feature in &self.found.features {
            for copy in &feature.copies {
                any = true;
                let agrees = if copy.agrees {
                    Cell::text("agrees").tone(Tone::Good)
                } else {
                    Cell::text("differs").tone(Tone::Bad)
                };
                table.row([
                    Cell::text(&copy.column),
                    Cell::text(&feature.feature),
                    Cell::number(
                        copy.holds.map_or_else(|| "nothing".to_owned(), |q| q.to_string()),
                    ),
                    Cell::number(copy.should),
                    agrees,
                ]);
            }
        }
        if any { page.line("").table(table) } else { page }
    }

    pub(super) fn packs(&self, page: Page) -> Page {
        if self.found.packs.is_empty() {
            return page;
        }
        let headings = [
            "pack",
            "feature",
            "left",
            "of",
            "drawn",
            "this period",
            "expired",
            "refunded",
            "usable",
        ];
        let mut table = Table::new(headings).caption("Packs");
        for pack in &self.found.packs {
            let usable = match (pack.purchased_at > self.found.now, pack.expires_at) {
                (true, _) => format!("from {}", self.local(pack.purchased_at)),
                (false, Some(at)) if at <= self.found.now => format!("expired {}", self.local(at)),
                (false, Some(at)) => format!("until {}", self.local(at)),
                (false, None) => "forever".to_owned(),
            };
            let id = pack.id.to_string();
            let named = pack.reference.as_deref().unwrap_or(&id[..8]);
            table.row([
                Cell::text(named),
                Cell::text(&pack.feature),
                Cell::number(pack.remaining),
                Cell::number(pack.quantity),
                Cell::number(pack.drawn),
                Cell::number(pack.drawn_in_period),
                Cell::number(pack.expired),
                Cell::number(pack.refunded),
                Cell::text(usable),
            ]);
        }
        page.line("").table(table)
    }

    pub(super) fn closed(&self, page: Page) -> Page {
        if self.found.closed.is_empty() {
            return page;
        }
        let mut table =
            Table::new(["closed", "ended", "feature", "used", "included", "drawn", "uncovered"])
                .caption("Closed periods");
        let text = |value: Option<Quantity>| value.map_or_else(String::new, |v| v.to_string());
        for row in &self.found.closed {
            let included =
                if row.feature.is_some() { or_unlimited(row.included) } else { String::new() };
            table.row([
                Cell::text(self.local(row.start)),
                Cell::text(self.local(row.end)),
                Cell::text(row.feature.as_deref().unwrap_or("no usage")),
                Cell::number(text(row.used)),
                Cell::number(included),
                Cell::number(text(row.drawn)),
                Cell::number(text(row.uncovered)),
            ]);
        }
        page.line("").table(table)
    }

    pub(super) fn late(&self, page: Page) -> Page {
        if self.found.adjustments.is_empty() {
            return page;
        }
        let mut table = Table::new([
            "late usage of",
            "feature",
            "kind",
            "used",
            "drawn",
            "uncovered",
            "decided",
        ])
        .caption("Late usage");
        for row in &self.found.adjustments {
            table.row([
                Cell::text(self.local(row.period_start)),
                Cell::text(&row.feature),
                Cell::text(&row.kind),
                Cell::number(row.used),
                Cell::number(row.drawn),
                Cell::number(row.uncovered),
                Cell::text(self.local(row.decided_at)),
            ]);
        }
        page.line("").table(table)
    }

    pub(super) fn alerts(&self, mut page: Page) -> Page {
        if !self.found.alerts.is_empty() {
            let mut table = Table::new([
                "alert",
                "feature",
                "decided",
                "state",
                "sent",
                "to be sent",
                "given up",
                "suppressed",
            ])
            .caption("Alerts");
            for row in &self.found.alerts {
                table.row([
                    Cell::text(format!("{} %", row.threshold)),
                    Cell::text(&row.feature),
                    Cell::text(self.local(row.decided_at)),
                    Cell::text(&row.state),
                    Cell::number(row.sent),
                    Cell::number(row.due),
                    Cell::number(row.given_up),
                    Cell::number(row.suppressed),
                ]);
            }
            page = page.line("").table(table);
        }
        if !self.found.notices.is_empty() {
            let headings = ["notice", "feature", "decided", "state", "until"];
            let mut table = Table::new(headings).caption("Notices");
            for row in &self.found.notices {
                table.row([
                    Cell::text(row.about()),
                    Cell::text(&row.feature),
                    Cell::text(self.local(row.decided_at)),
                    Cell::text(&row.state),
                    Cell::text(self.local(row.until)),
                ]);
            }
            page = page.line("").table(table);
        }
        page
    }

    fn mends(&self, mut page: Page) -> Page {
        if !self.found.mends.is_empty() {
            let mut table = Table::new(["repaired", "what", "before", "after", "because"]);
            for row in &self.found.mends {
                let before = row.before.map_or_else(|| "nothing".to_owned(), |b| b.to_string());
                table.row([
                    Cell::text(self.local(row.found_at)),
                    Cell::text(&row.place),
                    Cell::number(before),
                    Cell::number(row.after),
                    Cell::text(&row.reason),
                ]);
            }
            page = page.line("").table(table);
        }
        page
    }

    pub(super) fn users(&self, page: Page) -> Page {
        if self.found.users.is_empty() {
            return page;
        }
        let mut table =
            Table::new(["user", "plan", "scrapes shown", "scrapes counted"]).caption("Users");
        for user in &self.found.users {
            table.row([
                Cell::text(&user.email),
                Cell::text(user.plan.as_deref().unwrap_or("the org's")),
                Cell::number(user.usage_this_month),
                Cell::number(user.counted),
            ]);
        }
        let page = page.line("").table(table);
        if self.found.user_limits.is_empty() {
            return page;
        }
        page.line("").table(limits::table(&self.found.user_limits).caption("Limits of users"))
    }
}

/// What a picture shows: usage, the allowance, and where usage is heading.
pub(super) fn title(feature: &FeatureView) -> String {
    let mut title = format!("{}: {} used", feature.feature, feature.used);
    if let Some(allowance) = feature.allowance {
        title = format!("{title} of {allowance}");
    }
    if let Some(ahead) = &feature.forecast {
        title = format!("{title}, about {} at the end", ahead.at_end);
        if let Some(day) = ahead.used_up_on {
            title = format!("{title}, used up on {day}");
        }
    }
    title
}

/// The picture of a feature's period; `None` where nothing was used and nothing is granted.
pub(super) fn picture(feature: &FeatureView, period: Period) -> Option<Picture> {
    let usage = Usage {
        curve: feature.curve.iter().map(|point| (point.at, point.used)).collect(),
        allowance: feature.allowance,
        at_end: feature.forecast.as_ref().map(|ahead| ahead.at_end),
    };
    Picture::of(&usage, period)
}
