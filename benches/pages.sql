-- :orgs orgs in the middle of a month, in eight zones and a ninth that next to none has, each with
-- a user and with :metrics metrics of three features that lie scattered over the table, as they
-- were written in the course of time; one in five has bought a pack, one in a hundred has an alert
-- and its email; each has a closed period.
insert into tier_limits (tier, feature, included)
values ('pro', 'minutes_transcribed', 100), ('pro', 'sms_sent', 50), ('pro', 'scrapes', 50);
insert into organizations (slug, name, time_zone, subscription_tier, current_period_start,
                           current_period_end, current_period_end_date, next_period_ends,
                           ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month,
                           ends_tzdb_version)
select 'org-' || i, 'Org ' || i, z.name, 'pro', '2026-05-01'::timestamp at time zone z.name,
       '2026-06-01'::timestamp at time zone z.name, '2026-06-01',
       array['2026-07-01'::timestamp at time zone z.name,
             '2026-08-01'::timestamp at time zone z.name,
             '2026-09-01'::timestamp at time zone z.name], z.name, 'monthly', 1, 1, '2099z'
from generate_series(1, :orgs) i
join (values (0, 'UTC'), (1, 'Europe/Berlin'), (2, 'America/New_York'), (3, 'Asia/Kolkata'),
             (4, 'Asia/Tokyo'), (5, 'Australia/Sydney'), (6, 'America/Los_Angeles'),
             (7, 'Europe/London'), (8, 'Pacific/Auckland')) z (n, name)
     on z.n = case when i % 9973 = 1 then 8 else i % 8 end;
insert into users (organization_id, email) select id, slug || '@example.org' from organizations;

call pg_temp.fill_metrics(
    :metrics, array['minutes_transcribed', 'sms_sent', 'scrapes'], '2026-05-02Z',
    interval '18 days');
insert into usage_counters (org_id, feature, period_start, period_end, used, sync_status,
                            last_synced_at)
select o.id, f.feature, o.current_period_start, o.current_period_end, f.used, 'synced',
       '2026-05-20Z'
from organizations o
cross join (
    select (array['minutes_transcribed', 'sms_sent', 'scrapes'])[1 + n % 3] as feature,
           sum(1 + n % 4) as used
    from generate_series(1, :metrics) n group by 1) f;
update organizations o set used_minutes = c.used
from usage_counters c where c.org_id = o.id and c.feature = 'minutes_transcribed';

insert into overage_packs (org_id, feature, quantity, remaining, purchased_at, entries)
select id, 'minutes_transcribed', 300, 300, '2026-05-10', 1 from organizations
where slug like '%5' or slug like '%0';
insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
select org_id, id, 1, 'granted', 300, '2026-05-10', 300 from overage_packs;
update organizations o set overage_minutes = 300, overage_minutes_written = 300
from overage_packs p where p.org_id = o.id;
call pg_temp.close_months(1);
insert into periodd_alerts (org_id, feature, period_start, period_end, threshold, state, decided_at)
select id, 'sms_sent', current_period_start, current_period_end, 80, 'notified', '2026-05-19Z'
from organizations where slug like '%00';
insert into periodd_outbox (org_id, feature, period_start, period_end, threshold, recipient, state,
                            settled_at)
select id, 'sms_sent', current_period_start, current_period_end, 80, slug || '@example.org', 'sent',
       '2026-05-19Z'
from organizations where slug like '%00';
insert into periodd_facts values ('tzdb_release', '2026a') on conflict do nothing;
