-- Usage is the org's and stays, without the person. Org by org, each held first, so that a use of the
-- same moment is either waited for and loses its user as well, or finds no user any more.
-- A sync locks counters before orgs: whoever meets one is refused with 40P01 or 40001, and calls again.
create or replace function erase_user(
    p_user_id uuid default null,
    p_email text default null,
    p_org_id uuid default null,
    p_at timestamptz default now()
) returns table (org_id uuid, what text, quantity numeric)
language plpgsql security definer rows 10
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_at constant timestamptz := coalesce(p_at, v_now);
    v_orgs uuid[];
    v_org uuid;
    v_plan_orgs uuid[];
    v_plan_what text[];
    v_plan_quantities numeric[];
    v_user uuid;
    v_email text;
begin
    if not periodd_speaks_for(null::uuid) then
        raise exception 'only the owner and members of periodd_app may erase users' using errcode = '42501';
    end if;
    if (p_user_id is null) = (p_email is null) then
        raise exception 'pass either p_user_id or p_email' using errcode = '22023';
    end if;
    select pg_catalog.array_agg(distinct t.org_id order by t.org_id) into v_orgs
    from periodd_traces(p_user_id, p_email, p_org_id) t;
    foreach v_org in array coalesce(v_orgs, '{}') loop
        perform periodd_hold(v_org, v_now);
    end loop;
    -- What was committed while the locks were waited for is seen now.
    select pg_catalog.array_agg(e.org_id), pg_catalog.array_agg(e.what), pg_catalog.array_agg(e.quantity)
      into v_plan_orgs, v_plan_what, v_plan_quantities
    from periodd_erasure(p_user_id, p_email, p_org_id) e;
    for v_org, v_user, v_email in
        select t.org_id, t.user_id, t.email from periodd_traces(p_user_id, p_email, p_org_id) t
        where t.org_id = any (v_orgs) order by t.org_id, t.user_id
    loop
        if v_user is not null then
            update usage_metrics m set user_id = null
            where m.organization_id = v_org and m.user_id = v_user;
            update periodd_usage_keys k set user_id = null
            where k.org_id = v_org and k.user_id = v_user;
            update periodd_drift d set subject = null where d.org_id = v_org and d.subject = v_user;
            delete from feature_usage f where f.organization_id = v_org and f.user_id = v_user;
            delete from user_limits l where l.organization_id = v_org and l.user_id = v_user;
            delete from periodd_notices n
            where n.org_id = v_org and n.kind = 'user_limit'
              and n.key like '%/' operator(pg_catalog.||) v_user::text operator(pg_catalog.||) '/%';
            delete from periodd_derived d where d.org_id = v_org and d.key = v_user;
            delete from periodd_import_ids i where i.id = v_user;
            delete from users u where u.organization_id = v_org and u.id = v_user;
        end if;
        if v_email is not null then
            delete from org_contacts c
            where c.org_id = v_org and lower(btrim(c.email, E' \t\r\n')) = v_email;
            delete from periodd_outbox x where x.org_id = v_org and lower(x.recipient) = v_email;
            delete from periodd_suppressions s where s.org_id = v_org and s.email = v_email;
            delete from periodd_unsubscribe_tokens t where t.org_id = v_org and t.email = v_email;
        end if;
        insert into periodd_departures (org_id, kind, subject, counts, at, recorded_at)
        select v_org, 'user_erased', v_user,
               coalesce((select pg_catalog.jsonb_object_agg(u.what, u.quantity)
                         from unnest(v_plan_orgs, v_plan_what, v_plan_quantities)
                                  as u (org_id, what, quantity)
                         where u.org_id = v_org), '{}'), v_at, v_now;
    end loop;
    foreach v_org in array coalesce(v_orgs, '{}') loop
        perform periodd_let_go(v_org, v_now);
    end loop;
    return query
    select u.org_id, u.what, u.quantity
    from unnest(v_plan_orgs, v_plan_what, v_plan_quantities) as u (org_id, what, quantity);
end
$$;
comment on function erase_user is 'Erases a person by id or by address: account, contacts and emails. Usage stays with the org, without the user. Returns what was erased; nothing where nothing was found. What is refused with 40P01 or 40001 is to be repeated.';
