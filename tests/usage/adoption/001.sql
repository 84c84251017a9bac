-- Only users, as an application on a hosted PostgreSQL made them, with its own other tables about
-- them.
create type theme as enum ('light', 'dark');
create table users (
    id uuid primary key default gen_random_uuid(),
    email text unique not null,
    plan text default 'FREE',
    plan_limits_scrapes integer default 5,
    usage_this_month integer default 0,
    subscription_status text default 'none',
    favourite_theme theme default 'light',
    created_at timestamp default now()
);
create index users_email on users (email);
create table activities (
    id bigserial primary key,
    user_id uuid not null references users (id) on delete cascade,
    what text not null
);
insert into users (id, email, plan, plan_limits_scrapes, usage_this_month, subscription_status,
                   favourite_theme)
values
    ('10000000-0000-0000-0000-000000000001', 'new@example.com', 'FREE', 5, 0, 'none', 'dark'),
    ('10000000-0000-0000-0000-000000000002', 'busy@example.com', 'PRO', 500, 123, 'active', 'light'),
    ('10000000-0000-0000-0000-000000000003', 'full@example.com', 'FREE', 5, 5, 'none', 'light'),
    ('10000000-0000-0000-0000-000000000004', 'endless@example.com', 'ENTERPRISE', -1, 9000, 'active',
     'light'),
    ('10000000-0000-0000-0000-000000000005', 'unset@example.com', null, null, null, null, null),
    -- Counted beyond its limit by the race that the function is there to end.
    ('10000000-0000-0000-0000-000000000006', 'Over@example.com', 'FREE', 5, 7, 'none', 'light');
insert into activities (user_id, what) select id, 'signed up' from users;
