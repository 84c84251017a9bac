-- What the dashboard shows, beside the users: their orgs in eight zones with thirty metrics each in
-- the open period, every tenth with thirty-six closed periods, as many with an alert and its email,
-- and a week of runs.
insert into tier_limits values ('pro', 'minutes_transcribed', 600), ('pro', 'sms_sent', 60);
update organizations o
set time_zone = z.name, ends_time_zone = z.name
from (values (0, 'UTC'), (1, 'Europe/Berlin'), (2, 'America/New_York'), (3, 'Asia/Kolkata'),
             (4, 'Asia/Tokyo'), (5, 'Australia/Sydney'), (6, 'America/Los_Angeles'),
             (7, 'Europe/London')) z (n, name)
where z.n = hashtext(o.slug) & 7;
insert into usage_counters (org_id, feature, period_start, period_end, used, sync_status,
                            last_synced_at)
select o.id, f.feature, o.current_period_start, o.current_period_end,
       case when f.feature = 'sms_sent' then 1 + (hashtext(o.slug) & 63) else 25 end,
       'synced', now()
from organizations o, unnest(array['minutes_transcribed', 'sms_sent', 'scrapes']) f (feature)
where o.slug like '%7';
call pg_temp.close_months(36);
insert into usage_counters (org_id, feature, period_start, period_end, used, sync_status,
                            last_synced_at)
select o.id, f.feature, o.current_period_start, o.current_period_end,
       case when f.feature = 'sms_sent' then 1 + (hashtext(o.slug) & 63) else 25 end,
       'synced', now()
from organizations o, unnest(array['minutes_transcribed', 'sms_sent', 'scrapes']) f (feature)
where o.slug not like '%7';
insert into periodd_alerts (org_id, feature, period_start, period_end, threshold, state, used,
                            included, decided_at)
select id, 'sms_sent', current_period_start, current_period_end, 80, 'notified', 50, 60,
       now() - interval '1 day' * (hashtext(slug) & 7)
from organizations where slug like '%7';
insert into periodd_outbox (org_id, feature, period_start, period_end, threshold, recipient, state,
                            settled_at)
select org_id, 'sms_sent', period_start, period_end, 80, org_id || '@example.org', 'sent',
       decided_at
from periodd_alerts;
insert into periodd_runs (job, trigger, occurrence, last_occurrence, outcome, replica, token,
                          started_at, finished_at, lateness_ms, counts)
select job, 'schedule', at, at, 'done', 'host', 1, at, at + interval '1 second', 40, '{}'
from generate_series(now() - interval '7 days', now(), interval '1 minute') at,
     unnest(array['rollover', 'sync', 'alerts', 'deliver']) job;
