-- An org that was billed for something keeps its books, without anybody's name in them: its row stays
-- and is parked for good. An org without books, or one whose history is to go, leaves nothing.
-- A sync locks counters before orgs: whoever meets one is refused with 40P01 or 40001, and calls again.
create or replace function remove_org(
    p_org_id uuid,
    p_with_history boolean default false,
    p_at timestamptz default now()
) returns table (what text, feature text, quantity numeric)
language plpgsql security definer rows 20
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_at constant timestamptz := coalesce(p_at, v_now);
    v_all constant boolean := coalesce(p_with_history, false);
    v_what text[];
    v_features text[];
    v_quantities numeric[];
    v_obstacles text;
    v_counts jsonb;
    v_was_removed boolean;
    v_keeps boolean;
    v_start timestamptz;
    v_slug text;
    -- The org, and those that were merged into it: their history names its users.
    v_named uuid[];
begin
    if not periodd_speaks_for(null::uuid) then
        raise exception 'only the owner and members of periodd_app may remove orgs' using errcode = '42501';
    end if;
    if not periodd_hold(p_org_id, v_now) then
        perform from periodd_departures d where d.org_id = p_org_id and d.kind = 'org_removed';
        if found then
            return;
        end if;
        raise exception 'unknown org %', p_org_id using errcode = 'PB002';
    end if;
    select o.removed_at is not null, o.current_period_start,
           left(o.slug, 60) || '-removed-' || right(o.id::text, 12)
      into v_was_removed, v_start, v_slug
    from organizations o where o.id = p_org_id;
    select pg_catalog.array_agg(r.what) filter (where not r.is_obstacle),
           pg_catalog.array_agg(r.feature) filter (where not r.is_obstacle),
           pg_catalog.array_agg(r.quantity) filter (where not r.is_obstacle),
           string_agg(distinct r.what, ', ') filter (where r.is_obstacle),
           coalesce(pg_catalog.jsonb_object_agg(r.what, r.quantity) filter (where not r.is_obstacle), '{}')
      into v_what, v_features, v_quantities, v_obstacles, v_counts
    from periodd_removal(p_org_id, v_all, v_at) r;
    if v_obstacles is not null then
        raise exception 'org % has something open: %', p_org_id, v_obstacles
            using errcode = 'PB005', hint = 'Close its period and refund its packs, or remove it with its history.';
    end if;
    v_named := array(select p_org_id
                     union all
                     select o.id from organizations o where o.merged_into = p_org_id order by 1);
    v_keeps := not v_all and (exists (select from billing_periods b where b.org_id = p_org_id)
                              or exists (select from overage_packs p where p.org_id = p_org_id));

    -- Also where that was done before: somebody may have been added by hand since.
    update periodd_tokens t set revoked_at = v_now
    where t.only_org = p_org_id and t.revoked_at is null;
    perform periodd_forget_held(p_org_id);
    delete from feature_usage f where f.organization_id = any (v_named);
    delete from user_limits l where l.organization_id = any (v_named);
    delete from periodd_import_ids i
    where i.id = p_org_id
       or i.id in (select u.id from users u where u.organization_id = p_org_id);
    delete from users u where u.organization_id = p_org_id;
    delete from org_contacts c where c.org_id = p_org_id;
    delete from periodd_outbox x where x.org_id = any (v_named);
    delete from periodd_notices n
    where n.org_id = p_org_id or n.kind = 'user_limit' and n.org_id = any (v_named);
    delete from periodd_suppressions s where s.org_id = p_org_id;
    delete from periodd_unsubscribe_tokens t where t.org_id = any (v_named);
    delete from periodd_alerts a where a.org_id = p_org_id;
    delete from periodd_alert_limits l where l.org_id = p_org_id;
    delete from org_alert_settings s where s.org_id = p_org_id;
    delete from limit_overrides l where l.org_id = p_org_id;
    delete from periodd_derived d where d.org_id = p_org_id;
    delete from periodd_usage_keys k where k.org_id = p_org_id;
    delete from periodd_level_keys k where k.org_id = p_org_id;
    delete from periodd_restarts r where r.org_id = p_org_id;
    if not v_was_removed or not v_keeps or exists (
        select from pg_catalog.unnest(v_what) as u (what) where u.what not like 'kept%') then
        insert into periodd_departures (org_id, kind, with_history, counts, at, recorded_at)
        values (p_org_id, 'org_removed', not v_keeps, v_counts, v_at, v_now);
    end if;
    if v_keeps then
        -- What was only carried into the open period is a level of nobody from now on.
        delete from usage_metrics m
        where m.organization_id = p_org_id and m.created_at >= v_start
          and starts_with(m.idempotency_key, 'periodd:carried:');
    end if;
    update usage_metrics m set user_id = null, idempotency_key = null
    where m.organization_id = any (v_named) and (v_keeps or m.organization_id <> p_org_id)
      and (m.user_id is not null or m.idempotency_key is not null);
    update periodd_drift d set subject = null
    where d.org_id = any (v_named) and d.subject is not null;
    if v_keeps and not v_was_removed then
        delete from usage_counters c where c.org_id = p_org_id and c.period_start >= v_start;
        update organizations o
        set removed_at = v_at, parked_at = v_at, parked_code = 'removed',
            parked_reason = 'removed; its books are kept', slug = v_slug, locale = null,
            next_subscription_tier = null, next_subscription_tier_at = null,
            subscription_ends_at = null, used_minutes = 0, overage_minutes = 0,
            overage_minutes_written = null, overage_minutes_granted = 0
        where o.id = p_org_id;
    elsif not v_keeps then
        delete from periodd_refund_keys k where k.org_id = p_org_id;
        delete from periodd_moved_packs p where p.org_id = p_org_id;
        delete from overage_entries e where e.org_id = p_org_id;
        delete from overage_packs p where p.org_id = p_org_id;
        delete from billing_adjustments a where a.org_id = p_org_id;
        delete from billing_periods b where b.org_id = p_org_id;
        delete from usage_counters c where c.org_id = p_org_id;
        delete from usage_metrics m where m.organization_id = p_org_id;
        delete from periodd_drift d where d.org_id = p_org_id;
        delete from periodd_removed r where r.org_id = p_org_id;
        delete from periodd_moved_ends e where e.org_id = p_org_id;
        delete from periodd_import_sums s where s.org_id = p_org_id;
        -- With kept books, programs hear of them yet; events name no user.
        delete from periodd_webhook_outbox x where x.org_id = p_org_id;
        delete from periodd_events e where e.org_id = p_org_id;
        delete from organizations o where o.id = p_org_id;
    end if;
    return query
    select u.what, u.feature, u.quantity
    from unnest(v_what, v_features, v_quantities) as u (what, feature, quantity);
end
$$;
comment on function remove_org is 'Removes an org: everything that names somebody; and with its history, or where it has none, its books as well. What is still open is refused (PB005). A repeated call changes nothing. What is refused with 40P01 or 40001 is to be repeated.';
