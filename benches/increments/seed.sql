-- As many users as asked for, each an org of one in its open period; and one org that they all
-- could share. A fifth of the orgs have bought packs.
insert into tier_limits values ('pro', 'scrapes', 1000000000);
insert into organizations
    (slug, name, time_zone, subscription_tier, current_period_start, current_period_end,
     next_period_ends, ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month)
select 'org-' || i, 'Org ' || i, 'UTC', 'pro', now() - interval '10 days',
       now() + interval '20 days', array[now() + interval '50 days'], 'UTC', 'monthly', 1, 1
from generate_series(0, :users) as i;
insert into users (organization_id, email)
select id, slug || '@example.com' from organizations where slug <> 'org-0';
insert into users (organization_id, email)
select id, i || '@example.com' from organizations, generate_series(1, 1000) as i
where slug = 'org-0';
insert into overage_packs (org_id, feature, quantity, remaining, entries)
select id, 'scrapes', 100, 100, 1 from organizations where slug like '%5' or slug like '%0';
-- Who calls: the benchmark's own list, so that both sides find a user alike.
create table callers (spread bigint, shared bigint, id uuid);
insert into callers
select row_number() over (), null, u.id
from users u join organizations o on o.id = u.organization_id where slug <> 'org-0';
insert into callers
select null, row_number() over (), u.id
from users u join organizations o on o.id = u.organization_id where slug = 'org-0';
create unique index on callers (spread);
create unique index on callers (shared);
