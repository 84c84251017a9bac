//! Reminders of a limit that stays exceeded, and orgs that were set aside.

use jiff::SignedDuration;

use super::{Decided, Kind, LimitReachedAgain, Notice, Parked, Part, Seen, is_told};
use crate::billing::instant::OutOfRange;
use crate::billing::{Instant, Period, Quantity};

/// For how long operators hear of an org that was set aside.
const PARKED_FOR: SignedDuration = SignedDuration::from_hours(72);

/// A counter whose limit was reached.
#[derive(Clone, Copy, Debug)]
pub struct LimitReached<'a> {
    pub feature: &'a str,
    pub period: Period,
    pub used: Quantity,
    pub allowance: Quantity,
    /// The generation of the limit.
    pub generation: i32,
    /// When it was told that the limit is reached.
    pub told_at: Instant,
}

/// The reminder that is due, `every` so many days; `None` where the limit is not exceeded any
/// more. One that was missed is not told of later.
pub fn decide(
    reached: &LimitReached<'_>,
    every: u8,
    now: Instant,
    seen: &[Seen],
) -> Option<Decided> {
    let LimitReached { feature, period, used, allowance, generation, told_at } = *reached;
    let days = now.since(told_at).as_hours() / 24;
    let times = days / i64::from(every.max(1));
    let key = format!("{}/{feature}/{generation}/{times}", period.start);
    let is_due = times > 0 && used >= allowance && used.is_positive() && now < period.end;
    let notice = Notice::LimitReachedAgain(LimitReachedAgain {
        feature: feature.to_owned(),
        period_start: period.start,
        period_end: period.end,
        used,
        allowance,
        days,
    });
    (is_due && !is_told(seen, Kind::LimitReachedAgain, &key)).then_some(Decided {
        kind: Kind::LimitReachedAgain,
        key,
        part: Part::Tells(notice),
        until: period.end,
    })
}

/// That an org was set aside.
///
/// # Errors
/// [`OutOfRange`] at the very ends of the calendar.
pub fn parked(
    since: Instant,
    code: Option<&str>,
    reason: &str,
    now: Instant,
    seen: &[Seen],
) -> Result<Option<Decided>, OutOfRange> {
    let until = since.plus(PARKED_FOR)?;
    let key = since.to_string();
    let is_due = since <= now && now < until && !is_told(seen, Kind::OrgParked, &key);
    let (code, reason) = (code.map(str::to_owned), reason.to_owned());
    Ok(is_due.then_some(Decided {
        kind: Kind::OrgParked,
        key,
        part: Part::Tells(Notice::OrgParked(Parked { since, code, reason })),
        until,
    }))
}
