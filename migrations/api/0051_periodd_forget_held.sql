-- What an org lost was meant to go: the next audit does not miss it.
create or replace function periodd_forget_held(p_org_id uuid) returns void
language plpgsql
set search_path from current
as $$
begin
    update periodd_audited a
    set orgs = n.orgs, starts = n.starts, ends = n.ends, metrics = n.metrics
    from (select p.audit, p.first_org,
                 coalesce(pg_catalog.array_agg(u.org order by u.place) filter (where u.org <> p_org_id), '{}')
                     as orgs,
                 coalesce(pg_catalog.array_agg(u.start_at order by u.place)
                              filter (where u.org <> p_org_id), '{}') as starts,
                 coalesce(pg_catalog.array_agg(u.end_at order by u.place)
                              filter (where u.org <> p_org_id), '{}') as ends,
                 coalesce(pg_catalog.array_agg(u.held order by u.place)
                              filter (where u.org <> p_org_id), '{}') as metrics
          from periodd_audited p
          cross join lateral unnest(p.orgs, p.starts, p.ends, p.metrics)
                             with ordinality as u (org, start_at, end_at, held, place)
          where p.first_org <= p_org_id and p.last_org >= p_org_id
          group by 1, 2) n
    where a.audit = n.audit and a.first_org = n.first_org;
end
$$;
comment on function periodd_forget_held is 'Forgets how many metrics the periods of an org held at the last audit.';
