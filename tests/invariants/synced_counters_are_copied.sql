-- A counter that is synced stands in its copy: the org's minutes, and each user's scrapes, of the
-- open period.
select o.slug, c.feature, o.used_minutes as copy, c.used
from organizations o
join usage_counters c on c.org_id = o.id and c.period_start = o.current_period_start
     and c.feature = 'minutes_transcribed' and c.sync_status = 'synced'
where o.used_minutes <> c.used and o.id >= $1 and o.id <= $2
union all
select u.email, f.feature, u.usage_this_month, f.usage_count
from users u
join organizations o on o.id = u.organization_id
join feature_usage f on f.organization_id = u.organization_id and f.user_id = u.id
     and f.period_start = o.current_period_start and f.feature = 'scrapes'
     and f.sync_status = 'synced'
where u.usage_this_month <> f.usage_count and o.id >= $1 and o.id <= $2
