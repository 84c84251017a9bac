-- Orgs whose used_minutes has drifted from the metrics, whose purchased minutes a monthly reset
-- has cleared, and whose periods are missing, outdated, inverted or end with their last moment.
create table organizations (
    id uuid primary key,
    name text not null,
    used_minutes integer default 0,
    overage_minutes integer default 0,
    included_minutes integer default 60,
    plan text default 'starter',
    current_period_start timestamptz,
    current_period_end timestamptz,
    notes text
);
create table users (
    id uuid primary key,
    organization_id uuid references organizations (id),
    email text not null
);
create table usage_metrics (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid not null references organizations (id),
    metric_type text not null,
    metric_value numeric not null,
    created_at timestamptz default now()
);
create table overage_purchases (
    id uuid primary key default gen_random_uuid(),
    organization_id uuid references organizations (id),
    minutes integer not null,
    created_at timestamptz default now()
);
create view busy_orgs as select id, name from organizations where used_minutes > 50;
insert into organizations (id, name, used_minutes, overage_minutes, current_period_start,
                           current_period_end, notes)
select ('20000000-0000-0000-0000-00000000000' || v.i)::uuid, v.name, v.used, v.overage, v.s, v.e, 'n' || v.i
from (select date_trunc('month', now(), 'UTC') as m) k,
     lateral (select case when now() < m + interval '14 days' then interval '1 month'
                          else interval '0' end as before) h,
     lateral (values
         (1, 'Right', 30, 0, m, m + interval '1 month'),
         (2, 'Drifted', 55, 100, m, m + interval '1 month'),
         (3, 'Cleared', 80, 0, m, m + interval '1 month' - interval '1 millisecond'),
         (4, 'No period', 10, 0, null, null),
         (5, 'Outdated', 99, 20, m - interval '4 months', m - interval '3 months'),
         (6, 'Inverted', 0, 0, m + interval '1 month', m),
         (7, 'Right', 0, null, m, m + interval '1 month'),
         -- It signed up on the 15th, and this month's may be still to come.
         (8, 'Mid-month', 0, 0, m + interval '14 days' - h.before,
          m + interval '1 month 14 days' - h.before)) as v (i, name, used, overage, s, e);
insert into users
select ('21000000-0000-0000-0000-00000000000' || i)::uuid,
       ('20000000-0000-0000-0000-00000000000' || i)::uuid, 'user' || i || '@example.com'
from generate_series(1, 7) as i;
update users set email = 'user@example.com' where email = 'user3@example.com';
-- Every org used 30 minutes this month and some before; the third used 80.
insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
select id, 'minutes_transcribed', 10,
       date_trunc('month', now(), 'UTC') + n * (now() - date_trunc('month', now(), 'UTC')) / 4
from organizations, generate_series(1, 3) as n where name <> 'Mid-month';
insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
select id, 'Minutes_Transcribed', 50.5, now() - interval '3 months' from organizations
where name <> 'Mid-month';
insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
values ('20000000-0000-0000-0000-000000000003', 'minutes_transcribed', 50,
        date_trunc('month', now(), 'UTC') + (now() - date_trunc('month', now(), 'UTC')) / 3);
insert into overage_purchases (organization_id, minutes, created_at) values
    ('20000000-0000-0000-0000-000000000003', 120, now() - interval '40 days'),
    ('20000000-0000-0000-0000-000000000003', 30, now() - interval '3 days');
