-- :orgs orgs whose period ended on 2026-06-01 in their zone; each used something of :features
-- features, a fifth has a pack that its overage draws on; :months months are closed behind them.
create temporary table used_features as
select case i when 1 then 'minutes_transcribed' when 2 then 'sms_sent' else 'feature-' || i end
           as feature
from generate_series(1, :features) i;
insert into features (feature) select feature from used_features on conflict do nothing;
insert into tier_limits (tier, feature, included) select 'pro', feature, 600 from used_features;

create table bench_zones (place int primary key, name text, ended timestamptz, next timestamptz[]);
insert into bench_zones
select place, name,
       timestamp '2026-06-01' at time zone name,
       array[timestamp '2026-07-01' at time zone name, timestamp '2026-08-01' at time zone name,
             timestamp '2026-09-01' at time zone name, timestamp '2026-10-01' at time zone name]
from unnest(array['Europe/Berlin', 'Europe/London', 'Europe/Lisbon', 'Europe/Athens',
                  'America/New_York', 'America/Chicago', 'America/Denver', 'America/Los_Angeles',
                  'America/Bogota', 'America/Lima', 'Asia/Tokyo', 'Asia/Seoul', 'Asia/Singapore',
                  'Asia/Kolkata', 'Asia/Dubai', 'Australia/Sydney', 'Australia/Perth',
                  'Pacific/Auckland', 'Africa/Lagos', 'UTC'])
     with ordinality as z (name, place);

insert into organizations (slug, name, time_zone, subscription_tier, current_period_start,
                           current_period_end, current_period_end_date, next_period_ends,
                           ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month,
                           ends_tzdb_version, used_minutes)
select 'org-' || i, 'Org ' || i, z.name, 'pro', timestamp '2026-05-01' at time zone z.name,
       z.ended, '2026-06-01', z.next[1:3], z.name, 'monthly', 1, 1, '2099z',
       case when i % 5 = 0 then 700 else i % 600 end
from generate_series(1, :orgs) i join bench_zones z on z.place = 1 + i % 20;

insert into usage_counters (org_id, feature, period_start, period_end, used, sync_status)
select id, feature, current_period_start, current_period_end,
       case feature when 'minutes_transcribed' then used_minutes else used_minutes % 600 end,
       'synced'
from organizations cross join used_features where used_minutes <> 0;
call pg_temp.close_months(:months);

insert into overage_packs (org_id, feature, quantity, remaining, purchased_at, entries)
select id, 'minutes_transcribed', 300, 300, '2026-05-10', 1
from organizations where used_minutes = 700;
insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
select org_id, id, 1, 'granted', 300, '2026-05-10', 300 from overage_packs;
insert into periodd_facts values ('tzdb_release', '2099z');
