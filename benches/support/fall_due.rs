//! Orgs whose periods end soon, all at one second, as midnights do.

/// Has the periods of some orgs end so many seconds from now, daily from then on: the second
/// becomes their time of day, so that every end that is stored is the one that periodd computes.
/// Ends that are not, and counters with other ones, would have each org locked and its usage
/// counted again.
pub(crate) fn fall_due(seconds: u64, of: &str) -> String {
    format!(
        "with due as (
             select date_trunc('second', clock_timestamp()) + interval '{seconds} seconds' as at),
         ends as (
             select at, array(select at + n * interval '1 day' from generate_series(1, 40) n)
                    as following, at at time zone 'UTC' as local
             from due)
         update organizations
         set current_period_end = ends.at, current_period_end_date = ends.local::date,
             next_period_ends = ends.following, time_zone = 'UTC', cycle = 'daily',
             anchor_day = 1, anchor_month = 1, anchor_time = ends.local::time,
             ends_time_zone = 'UTC', ends_cycle = 'daily', ends_anchor_day = 1,
             ends_anchor_month = 1, ends_anchor_time = ends.local::time
         from ends where {of};
         update usage_counters c set period_end = o.current_period_end
         from organizations o
         where c.org_id = o.id and c.period_start = o.current_period_start
           and c.period_end <> o.current_period_end"
    )
}
