//! On whose clock pages show times: UTC, the org's, or the reader's own. One switch, which the
//! browser keeps; tables, charts and axes obey it alike.

use axum::http::{HeaderValue, Method, header};
use serde::Deserialize;

use super::clock::Clock;
use super::frame::{Frame, Switch};
use super::login::own;
use super::refused::lead_to;
use super::{FORM, cookie};
use crate::billing::{Instant, Zone};
use crate::http::answer::Answer;
use crate::http::call::{Access, Call, Route, Sees};
use crate::http::problem::{Code, Problem};

/// The routes of this file.
pub(super) const ROUTES: [Route; 1] = [Route {
    method: Method::POST,
    path: "/times",
    access: Access::Page(Sees::One),
    summary: "Chooses on whose clock pages show times.",
    parameters: &[],
    bodies: FORM,
    answer: None,
    media_types: &["text/html"],
    problems: &[],
    handler: |call| Box::pin(async move { choose(&call) }),
}];

/// The cookie that keeps the choice: `utc`, `org`, or the name of a zone.
const COOKIE: &str = "times";
/// How long it is kept: a year.
const KEPT_SECONDS: u32 = 31_536_000;
const UTC: &str = "utc";
const ORG: &str = "org";

/// On whose clock times are shown.
#[derive(Clone, Debug)]
enum Times {
    Utc,
    /// The org's; UTC for what belongs to none.
    Org,
    /// The reader's.
    Zone(Zone),
}

impl Times {
    /// As it was chosen; `None` for what is no choice.
    fn read(call: &Call, text: &str) -> Option<Self> {
        match text {
            UTC => Some(Self::Utc),
            ORG => Some(Self::Org),
            zone => (call.shared.around.tz)().zone(zone).ok().map(Self::Zone),
        }
    }

    /// The choice that a browser keeps.
    fn of(call: &Call) -> Self {
        let kept = cookie::value(&call.headers, COOKIE);
        kept.and_then(|kept| Self::read(call, kept)).unwrap_or(Self::Org)
    }

    fn name(&self) -> &str {
        match self {
            Self::Utc => UTC,
            Self::Org => ORG,
            Self::Zone(zone) => zone.name(),
        }
    }
}

/// The clock on which a page shows what belongs to a zone of its own.
pub(super) fn clock(call: &Call, own: Zone, now: Instant) -> Clock {
    let zone = match Times::of(call) {
        Times::Utc => Zone::utc(),
        Times::Org => own,
        Times::Zone(zone) => zone,
    };
    Clock::of(zone, now)
}

/// The frame of a page for whoever is logged in, which renews itself.
pub(super) fn framed(call: &Call, title: String, here: &'static str, clock: &Clock) -> Frame {
    let (as_of, zone) = (Some(clock.moment(clock.now)), Some(clock.zone_name().to_owned()));
    let times = Some(switch(call));
    Frame { as_of, zone, times, ..still(call, title, here) }
}

/// The frame of a page for whoever is logged in, which stays as it is.
pub(super) fn still(call: &Call, title: String, here: &'static str) -> Frame {
    let visitor = call.token.as_deref().map(Into::into);
    Frame { here, visitor, may_act: call.may_act(), ..Frame::plain(title) }
}

fn switch(call: &Call) -> Switch {
    let chosen = Times::of(call);
    let choice =
        |value: &str, text: &str| (value.to_owned(), text.to_owned(), value == chosen.name());
    let mut choices = vec![choice(ORG, "in the org's zone"), choice(UTC, "in UTC")];
    if let Times::Zone(zone) = &chosen {
        choices.push(choice(zone.name(), &format!("in {}", zone.name())));
    }
    Switch { next: call.target.clone(), choices }
}

/// What the form sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    times: String,
    next: String,
}

fn choose(call: &Call) -> Result<Answer, Problem> {
    let Sent { times, next } = serde_urlencoded::from_bytes(&call.body)
        .map_err(|_| Problem::new(Code::Malformed, "the form cannot be read"))?;
    let chosen = Times::read(call, &times);
    let unknown = || Problem::new(Code::Invalid, "choose utc, org, or the name of a time zone");
    let chosen = chosen.ok_or_else(unknown)?;
    let mut answer = lead_to(&own(&next));
    let kept = format!(
        "{COOKIE}={}; Path=/; Max-Age={KEPT_SECONDS}; HttpOnly; SameSite=Strict",
        chosen.name()
    );
    if let Ok(kept) = HeaderValue::from_str(&kept) {
        answer.headers_mut().insert(header::SET_COOKIE, kept);
    }
    Ok(answer)
}
