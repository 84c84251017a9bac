-- British orgs without a tier, and events named by an enum, as an object-relational mapper made
-- them: timestamps without a zone.
create type "UsageFeature" as enum ('AI_MESSAGES', 'EMAILS_SENT', 'API_CALLS');
create table organisations (
    id uuid primary key default gen_random_uuid(),
    slug text unique not null,
    name text not null,
    subscription_tier text,
    vat_number text,
    created_at timestamp(3) default current_timestamp
);
create table usage_events (
    id uuid primary key default gen_random_uuid(),
    organisation_id uuid not null references organisations (id),
    feature "UsageFeature" not null,
    quantity integer not null default 1,
    metadata jsonb,
    created_at timestamp(3) not null default current_timestamp
);
create table invoices (
    id serial primary key,
    organisation_id uuid not null references organisations (id)
);
insert into organisations (id, slug, name, subscription_tier, vat_number) values
    ('40000000-0000-0000-0000-000000000001', 'acme', 'Acme Ltd', null, 'GB1'),
    ('40000000-0000-0000-0000-000000000002', 'enterprise-corp', 'Enterprise', 'free', 'GB2'),
    ('40000000-0000-0000-0000-000000000003', 'colour', 'Colour & Co', 'STARTER', null);
insert into invoices (organisation_id) select id from organisations;
insert into usage_events (organisation_id, feature, quantity, metadata, created_at)
select id, 'AI_MESSAGES', n, '{"model": "m"}', now() at time zone 'UTC' - n * interval '1 minute'
from organisations, generate_series(1, 4) as n;
insert into usage_events (organisation_id, feature, created_at)
select id, 'API_CALLS', now() at time zone 'UTC' - interval '70 days' from organisations;
