-- Where something of a person is: an org, the account there, and the address there. By an id it is
-- one account, and its address unless another account of the org has the same; by an address it is
-- everybody with that address, in every org. An account that came by a merge has left its history in
-- the org that it came from. With p_org_id an account may be gone already.
create or replace function periodd_traces(p_user_id uuid, p_email text, p_org_id uuid)
returns table (org_id uuid, user_id uuid, email text)
language plpgsql stable parallel safe rows 5
set search_path from current
as $$
declare
    v_email constant text := lower(btrim(p_email, E' \t\r\n'));
begin
    return query
    with accounts as (
        select a.id as org_id, u.id as user_id
        from users u
        cross join lateral (
            select u.organization_id as id
            union all
            select o.id from organizations o where o.merged_into = u.organization_id) a
        where lower(u.email) = v_email)
    select a.id, u.id,
           case when not exists (
               select from users x
               where x.organization_id = u.organization_id and x.id <> u.id
                 and lower(btrim(x.email, E' \t\r\n')) = lower(btrim(u.email, E' \t\r\n')))
           then lower(btrim(u.email, E' \t\r\n')) end
    from users u
    cross join lateral (
        select u.organization_id as id
        union all
        select o.id from organizations o where o.merged_into = u.organization_id) a
    where u.id = p_user_id and (p_org_id is null or u.organization_id = p_org_id)
    union
    select p_org_id, p_user_id, null
    where p_user_id is not null and p_org_id is not null
      and not exists (select from users u where u.id = p_user_id)
      and (exists (select from feature_usage f
                   where f.organization_id = p_org_id and f.user_id = p_user_id)
           or exists (select from user_limits l
                      where l.organization_id = p_org_id and l.user_id = p_user_id)
           or exists (select from usage_metrics m
                      where m.organization_id = p_org_id and m.user_id = p_user_id))
    union
    select k.org_id, k.user_id, v_email from accounts k
    union
    select a.org_id, null::uuid, v_email
    from (select c.org_id from org_contacts c where lower(c.email) = v_email
          union
          select x.org_id from periodd_outbox x where lower(x.recipient) = v_email
          union
          select s.org_id from periodd_suppressions s where s.email = v_email
          union
          select t.org_id from periodd_unsubscribe_tokens t where t.email = v_email) a
    where not exists (select from accounts k where k.org_id = a.org_id);
end
$$;
comment on function periodd_traces is 'The orgs in which something of a person is kept, with the account and the address.';
