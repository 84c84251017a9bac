-- The table that a migration made, and the view in the way that the code's own name points at.
create table users (
    id uuid primary key default gen_random_uuid(),
    email text unique not null,
    subscription_status text
);
create table user_feature_usage (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references users (id) on delete cascade,
    feature text not null,
    usage_count integer not null default 0,
    period_start date not null,
    period_end date not null,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    unique (user_id, feature, period_start)
);
create index idx_user_feature_usage_user on user_feature_usage (user_id);
create view feature_usage as select user_id, feature, usage_count from user_feature_usage;
insert into users (id, email) values
    ('30000000-0000-0000-0000-000000000001', 'one@example.com'),
    ('30000000-0000-0000-0000-000000000002', 'two@example.com');
insert into user_feature_usage (user_id, feature, usage_count, period_start, period_end)
select u.id, f.feature, f.used + k, (date_trunc('month', now(), 'UTC') - k * interval '1 month')::date,
       (date_trunc('month', now(), 'UTC') - (k - 1) * interval '1 month')::date
from users u, generate_series(0, 2) as k,
     (values ('invoices', 3), ('Expenses', 40)) as f (feature, used);
