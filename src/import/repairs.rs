//! Open periods that an application wrote, in a database that periodd works in: ends that are
//! inclusive, and periods that do not end after they start.
//!
//! What is to be moved is chosen first and moved where it still stands so: a rollover or another
//! import beside this one loses nothing.

use super::Draft;
use super::draft::Adoption;

/// Is the end of an open period its last moment?
const INCLUSIVE: &str =
    "periodd_is_inclusive(o.current_period_start, o.current_period_end, o.anchor_time)";

/// The periods that are to be mended, and how each should stand: `(id, was_start, was_end, start,
/// ends)`. Where usage was counted in a period that is inverted now, its counters know the end;
/// otherwise it is opened anew.
fn chosen() -> String {
    format!(
        "(select f.id, f.was_start, f.was_end, f.ends,
                 case when f.ends is not null then f.was_start end as start
          from (select o.id, o.current_period_start as was_start, o.current_period_end as was_end,
                       case when o.current_period_end <= o.current_period_start
                            then (select max(c.period_end) from usage_counters c
                                  where c.org_id = o.id
                                    and c.period_start = o.current_period_start)
                            else date_trunc('minute', o.current_period_end) + interval '1 minute'
                            end as ends
                from organizations o
                where o.current_period_end <= o.current_period_start or {INCLUSIVE}) f)"
    )
}

/// What mending the open periods takes.
pub(super) fn open_periods(mut draft: Draft<'_>) -> Adoption {
    let is_inverted = "o.current_period_end <= o.current_period_start";
    draft.orgs(format!("select o.id from organizations o where {is_inverted} or {INCLUSIVE}"));
    draft.question(
        "open periods that do not end after they start: they get the end of their counters, or a \
         new period if there are none",
        format!("select count(*) from organizations o where {is_inverted}"),
    );
    draft.question(
        "open periods with an inclusive end: the end is moved to the next full minute",
        format!(
            "select count(*) from organizations o
             where {INCLUSIVE} and o.current_period_end > o.current_period_start"
        ),
    );
    let chosen = chosen();
    draft.step(
        "repair the open periods and the counters that end there; unpark the orgs that were \
         parked for this",
        format!(
            "with chosen as materialized {chosen},
             mended as (
                 update organizations o
                 set current_period_start = m.start, current_period_end = m.ends,
                     current_period_end_date = null, revision = o.revision + 1,
                     parked_at = case when o.parked_code = 'inverted_period'
                                      then null else o.parked_at end,
                     parked_reason = case when o.parked_code = 'inverted_period'
                                          then null else o.parked_reason end,
                     parked_code = nullif(o.parked_code, 'inverted_period')
                 from chosen m
                 where o.id = m.id and o.current_period_start = m.was_start
                   and o.current_period_end = m.was_end
                 returning m.id, m.was_start, m.was_end, m.ends),
             counters as (
                 update usage_counters c set period_end = m.ends
                 from mended m
                 where c.org_id = m.id and c.period_start = m.was_start
                   and c.period_end = m.was_end and m.ends is not null)
             update feature_usage f set period_end = m.ends
             from mended m
             where f.organization_id = m.id and f.period_start = m.was_start
               and f.period_end = m.was_end and m.ends is not null"
        ),
    );
    draft.finished()
}
