-- Counters with a column per feature, as a half-finished migration left them: naive timestamps in
-- one table and aware ones in the other, a unique index that is wrong beside the right one, and
-- the same month with an exclusive, an inclusive and an overlapping end.
create table usage_counters (
    id uuid primary key default gen_random_uuid(),
    org_id uuid not null,
    period_start timestamptz not null,
    period_end timestamptz not null,
    sms_sent integer not null default 0,
    emails_sent integer not null default 0,
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);
create unique index usage_counters_org_period_unique
    on usage_counters (org_id, period_start, period_end);
create unique index usage_counters_org_period_idx on usage_counters (org_id, period_end);
create table sms_usage (
    id serial primary key,
    org_id uuid not null,
    period_start timestamp not null,
    period_end timestamp not null,
    sms_count integer not null default 0
);
create table org_subscriptions (
    id uuid primary key default gen_random_uuid(),
    org_id uuid not null unique,
    current_period_start timestamp,
    current_period_end timestamp,
    status text default 'active'
);
insert into usage_counters (org_id, period_start, period_end, sms_sent, emails_sent)
select ('00000000-0000-0000-0000-00000000000' || o)::uuid, m.start + s.late, m.ends, s.sms, s.emails
from generate_series(1, 3) as o,
     lateral (select date_trunc('month', now(), 'UTC') - k * interval '1 month' as start,
                     date_trunc('month', now(), 'UTC') - (k - 1) * interval '1 month' as ends
              from generate_series(0, 3) as k) as b,
     lateral (values (b.start, b.ends, 1),
                     (b.start, b.ends - interval '1 millisecond', 2)) as m (start, ends, kind),
     lateral (values (interval '0', 10 * o + kind, kind)) as s (late, sms, emails);
-- The same month again, from its second day on.
insert into usage_counters (org_id, period_start, period_end, sms_sent)
select org_id, min(period_start) + interval '1 day', max(period_end) + interval '1 day', 7
from usage_counters where org_id::text like '%1' and period_end <= now() group by org_id;
insert into sms_usage (org_id, period_start, period_end, sms_count)
select ('00000000-0000-0000-0000-00000000000' || o)::uuid,
       date_trunc('month', now() at time zone 'UTC') - interval '4 months',
       date_trunc('month', now() at time zone 'UTC') - interval '3 months' - interval '1 second', 5
from generate_series(1, 2) as o;
insert into org_subscriptions (org_id, current_period_start, current_period_end) values
    ('00000000-0000-0000-0000-000000000001',
     date_trunc('month', now() at time zone 'UTC'),
     date_trunc('month', now() at time zone 'UTC') + interval '1 month'),
    ('00000000-0000-0000-0000-000000000002', null, null),
    ('00000000-0000-0000-0000-000000000009', now() at time zone 'UTC' - interval '3 months',
     now() at time zone 'UTC' - interval '2 months');
