\set caller random(1, :orgs)
select i.* from organizations o cross join lateral increment_org_usage(o.id, 'scrapes') i where o.slug = 'org-' || :caller
