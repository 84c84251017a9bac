-- As many users as asked for, each an org of one in its open period; and one org that they all
-- could share. A fifth of the orgs have bought packs.
insert into tier_limits values ('pro', 'scrapes', 1000000000);
insert into organizations
    (slug, name, time_zone, subscription_tier, current_period_start, current_period_end,
     next_period_ends, ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month)
select 'org-' || i, 'Org ' || i, 'UTC', 'pro', now() - interval '10 days',
       now() + interval '20 days', array[now() + interval '50 days'], 'UTC', 'monthly', 1, 1
from generate_series(0, :users) as i;
-- Callers know their user's id: it follows from a number.
insert into users (id, organization_id, email)
select md5('spread-' || i)::uuid, o.id, i || '@example.com'
from generate_series(1, :users) as i join organizations o on o.slug = 'org-' || i;
insert into users (id, organization_id, email)
select md5('shared-' || i)::uuid, o.id, 'shared-' || i || '@example.com'
from generate_series(1, 1000) as i join organizations o on o.slug = 'org-0';
insert into overage_packs (org_id, feature, quantity, remaining, entries)
select id, 'scrapes', 100, 100, 1 from organizations where slug like '%5' or slug like '%0';
insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
select org_id, id, 1, 'granted', quantity, purchased_at, quantity from overage_packs;
-- And :metrics metrics of each org that were counted before.
call pg_temp.fill_metrics(:metrics, array['scrapes'], now() - interval '9 days',
                          interval '8 days');
