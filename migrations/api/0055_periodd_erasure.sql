-- The plan of erase_user: a dry run shows it, and the erasure itself begins with it.
create or replace function periodd_erasure(p_user_id uuid, p_email text, p_org_id uuid)
returns table (org_id uuid, what text, quantity numeric)
language plpgsql stable parallel safe rows 10
set search_path from current
as $$
begin
    return query
    select r.org_id, r.what, sum(r.quantity)
    from (
        select t.org_id, k.place, k.what, k.quantity
        from periodd_traces(p_user_id, p_email, p_org_id) t
        cross join lateral (
            select 1 as place, 'users' as what, count(*) as quantity
            from users u where u.organization_id = t.org_id and u.id = t.user_id
            union all
            select 2, 'metrics', count(*)
            from usage_metrics m where m.organization_id = t.org_id and m.user_id = t.user_id
            union all
            select 3, 'counters', count(*)
            from feature_usage f where f.organization_id = t.org_id and f.user_id = t.user_id) k
        union all
        select distinct t.org_id, k.place, k.what, k.quantity
        from periodd_traces(p_user_id, p_email, p_org_id) t
        cross join lateral (
            select 4 as place, 'contacts' as what, count(*) as quantity
            from org_contacts c
            where c.org_id = t.org_id and lower(btrim(c.email, E' \t\r\n')) = t.email
            union all
            select 5, 'emails', count(*)
            from periodd_outbox x where x.org_id = t.org_id and lower(x.recipient) = t.email
            union all
            select 6, 'suppressions', count(*)
            from periodd_suppressions s where s.org_id = t.org_id and s.email = t.email
            union all
            select 7, 'unsubscribe_links', count(*)
            from periodd_unsubscribe_tokens l where l.org_id = t.org_id and l.email = t.email) k
        where t.email is not null) r
    where r.quantity <> 0
    group by r.org_id, r.place, r.what
    order by r.org_id, r.place;
end
$$;
comment on function periodd_erasure is 'What the erasure of a person would delete, by org.';
