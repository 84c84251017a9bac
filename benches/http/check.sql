\set caller random(1, :orgs)
select a.* from organizations o cross join lateral periodd_allowances(o.id, now(), 'scrapes') a where o.slug = 'org-' || :caller
