-- The orgs are locked in the order of their ids, so that two merges that cross each other wait. What
-- was closed stays with the org that it was closed for: an org's periods touch, so they cannot become
-- another's. That org keeps its books and nothing else.
-- A sync locks counters before orgs: whoever meets one is refused with 40P01 or 40001, and calls again.
create or replace function merge_orgs(
    p_from_org_id uuid, p_into_org_id uuid, p_at timestamptz default now()
) returns table (what text, feature text, quantity numeric)
language plpgsql security definer rows 20
set search_path from current
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := now();
    v_at constant timestamptz := coalesce(p_at, v_now);
    v_what text[];
    v_features text[];
    v_quantities numeric[];
    v_obstacles text;
    v_counts jsonb;
    v_from record;
    v_into record;
    v_pack record;
    v_has_contacts boolean;
    v_slug text;
    v_reason text;
begin
    if not periodd_speaks_for(null::uuid) then
        raise exception 'only the owner and members of periodd_app may merge orgs' using errcode = '42501';
    end if;
    if p_from_org_id = p_into_org_id then
        raise exception 'an org cannot be merged into itself' using errcode = '22023';
    end if;
    perform periodd_hold(least(p_from_org_id, p_into_org_id), v_now);
    perform periodd_hold(greatest(p_from_org_id, p_into_org_id), v_now);
    -- What is inserted plainly holds the org's key alone, and goes along once it is committed. Of a
    -- transaction that inserts plainly and then counts by a function, either may be ended (40P01).
    perform from organizations o where o.id = p_from_org_id for update;
    perform from periodd_departures d
    where d.org_id = p_from_org_id and d.kind = 'org_merged' and d.into_org = p_into_org_id;
    if found then
        perform periodd_let_go(p_into_org_id, v_now);
        return;
    end if;
    select o.current_period_start as start, o.slug, o.removed_at is not null as is_removed
      into v_from from organizations o where o.id = p_from_org_id;
    if v_from.is_removed is not false then
        raise exception 'unknown org %', p_from_org_id using errcode = 'PB002';
    end if;
    select o.current_period_start as start, o.current_period_end as ends, o.next_period_ends,
           o.removed_at is not null as is_removed
      into v_into from organizations o where o.id = p_into_org_id;
    if v_into.is_removed is not false then
        raise exception 'unknown org %', p_into_org_id using errcode = 'PB002';
    end if;
    select pg_catalog.array_agg(r.what) filter (where not r.is_obstacle),
           pg_catalog.array_agg(r.feature) filter (where not r.is_obstacle),
           pg_catalog.array_agg(r.quantity) filter (where not r.is_obstacle),
           string_agg(distinct r.what, ', ') filter (where r.is_obstacle),
           coalesce(pg_catalog.jsonb_object_agg(r.what, r.quantity) filter (where not r.is_obstacle), '{}')
      into v_what, v_features, v_quantities, v_obstacles, v_counts
    from periodd_merge(p_from_org_id, p_into_org_id, v_at) r;
    if v_obstacles is not null then
        raise exception 'the orgs cannot be merged yet: %', v_obstacles
            using errcode = 'PB005', hint = 'Close what has ended, and settle packs that have expired.';
    end if;

    -- Usage of the open period counts where its instant lies among the stored periods of the other
    -- org; what was recorded meanwhile, or lies beyond its last stored end, is counted later. A level
    -- holds on, and so counts from the start of the other org's open period at the earliest.
    with windows as materialized (
        select e.bounds[i] as period_start, e.bounds[i + 1] as period_end
        from (select array[v_into.start, v_into.ends] operator(pg_catalog.||)
                     v_into.next_period_ends as bounds) e
        cross join lateral generate_series(1, pg_catalog.cardinality(e.bounds) - 1) as i),
    moving as materialized (
        select m.id, x.at, w.period_start, w.period_end,
               -- A repeated key answers with what the org itself used it for.
               exists (select from periodd_keyed(p_into_org_id, m.idempotency_key)) as is_taken
        from usage_metrics m
        left join features f on f.feature = periodd_folded(m.metric_type)
        cross join lateral (
            select case when f.kind = 'level' then greatest(m.created_at, v_into.start)
                        else m.created_at end as at) x
        left join windows w on x.at >= w.period_start and x.at < w.period_end
        where m.organization_id = p_from_org_id
          and m.created_at >= coalesce(v_from.start, '-infinity')),
    moved as (
        update usage_metrics m
        set organization_id = p_into_org_id,
            created_at = n.at,
            counted_at = case when n.period_start is not null then v_now end,
            idempotency_key = case when n.is_taken then null else m.idempotency_key end
        from moving n
        where m.organization_id = p_from_org_id and m.id = n.id
        returning periodd_folded(m.metric_type) as feature, m.metric_value, m.user_id,
                  n.period_start, n.period_end),
    org_counters as (
        insert into usage_counters as c (org_id, feature, period_start, period_end, used,
                                         included_seen, updated_at)
        select p_into_org_id, n.feature, n.period_start, n.period_end, n.used, s.included_seen, v_now
        from (select n.feature, n.period_start, max(n.period_end) as period_end,
                     sum(n.metric_value) as used
              from moved n where n.period_start is not null
              group by n.feature, n.period_start) n
        left join lateral periodd_seen(p_into_org_id, n.feature, n.period_start) s on true
        order by n.period_start, n.feature
        -- What comes along was not used within a limit that has fallen here.
        on conflict (org_id, period_start, feature) do update
            set included_at_least = periodd_at_least(excluded.included_seen, c.used,
                                                     c.included_at_least, c.included_seen),
                included_seen = coalesce(excluded.included_seen, c.included_seen),
                used = c.used + excluded.used, sync_status = 'pending',
                updated_at = excluded.updated_at
        returning c.org_id)
    insert into feature_usage as c (organization_id, user_id, feature, period_start, period_end,
                                    usage_count, updated_at)
    select p_into_org_id, n.user_id, n.feature, n.period_start, max(n.period_end),
           sum(n.metric_value), v_now
    from moved n
    where n.period_start is not null and n.user_id is not null
      and (select count(*) from org_counters) > 0
    group by n.user_id, n.feature, n.period_start
    order by n.user_id, n.period_start, n.feature
    on conflict (organization_id, user_id, period_start, feature) do update
        set usage_count = c.usage_count + excluded.usage_count, sync_status = 'pending',
            updated_at = excluded.updated_at;
    -- Keys of usage that stays are known where it is repeated from now on.
    insert into periodd_usage_keys (org_id, idempotency_key, metric_id, user_id, feature, quantity,
                                    used_at, recorded_at)
    select p_into_org_id, m.idempotency_key, m.id, m.user_id, periodd_folded(m.metric_type),
           m.metric_value, m.created_at, m.recorded_at
    from usage_metrics m
    where m.organization_id = p_from_org_id and m.idempotency_key is not null
      and not exists (select from periodd_keyed(p_into_org_id, m.idempotency_key))
    union all
    select p_into_org_id, k.idempotency_key, k.metric_id, k.user_id, k.feature, k.quantity, k.used_at,
           k.recorded_at
    from periodd_usage_keys k
    where k.org_id = p_from_org_id
      and not exists (select from periodd_keyed(p_into_org_id, k.idempotency_key))
    on conflict (org_id, idempotency_key) do nothing;
    delete from periodd_usage_keys k where k.org_id = p_from_org_id;
    insert into periodd_level_keys (org_id, idempotency_key, feature, level, set_at)
    select p_into_org_id, k.idempotency_key, k.feature, k.level, k.set_at
    from periodd_level_keys k where k.org_id = p_from_org_id
    on conflict (org_id, idempotency_key) do nothing;
    delete from periodd_level_keys k where k.org_id = p_from_org_id;
    insert into periodd_restarts (org_id, reference, tier, at, recorded_at)
    select p_into_org_id, r.reference, r.tier, r.at, r.recorded_at
    from periodd_restarts r where r.org_id = p_from_org_id
    on conflict (org_id, reference) do nothing;
    delete from periodd_restarts r where r.org_id = p_from_org_id;

    perform periodd_let_go(p_into_org_id, v_now);
    for v_pack in
        select p.id, greatest(coalesce(p.remaining, 0), 0) as remaining
        from overage_packs p
        where p.org_id = p_from_org_id and (p.remaining > 0.0 or p.reference is not null)
        order by p.purchased_at, p.id
    loop
        perform periodd_carry_pack(p_from_org_id, v_pack.id, v_pack.remaining, p_into_org_id, v_at);
    end loop;
    -- What came to the org by an earlier move moves on by its reference.
    insert into periodd_moved_packs (org_id, from_org, from_pack, from_seq, pack_id, reference,
                                     feature, granted, moved, at, recorded_at)
    select p_into_org_id, m.from_org, m.from_pack, m.from_seq, null, m.reference, m.feature,
           m.granted, 0, v_at, v_now
    from periodd_moved_packs m
    where m.org_id = p_from_org_id and m.pack_id is null
    on conflict (org_id, from_org, from_pack, from_seq) do nothing;

    delete from usage_counters c
    where c.org_id = p_from_org_id and c.period_start >= coalesce(v_from.start, '-infinity');
    delete from feature_usage f
    where f.organization_id = p_from_org_id and f.period_start >= coalesce(v_from.start, '-infinity');
    update users u
    set organization_id = p_into_org_id,
        usage_this_month = coalesce((
            select f.usage_count from feature_usage f
            where f.organization_id = p_into_org_id and f.user_id = u.id
              and f.period_start = v_into.start and f.feature = 'scrapes'), 0)
    where u.organization_id = p_from_org_id;
    -- Where nobody is named, an org's users get its emails: contacts of the other org would take
    -- their place. A user who wants no warnings, or none of a kind, gets none here either: such a row
    -- is a mark, and names nobody.
    select exists (select from org_contacts c
                   where c.org_id = p_into_org_id
                     and (c.role is not null or c.kinds is not null
                          or c.opted_out_at is null and c.opted_out_of is null
                          or not exists (select from users u
                                         where u.organization_id = p_into_org_id
                                           and lower(btrim(u.email, E' \t\r\n'))
                                               = lower(btrim(c.email, E' \t\r\n')))))
      into v_has_contacts;
    insert into org_contacts as i (org_id, email, opted_out_at, role, kinds, opted_out_of)
    select p_into_org_id, c.email, c.opted_out_at, case when v_has_contacts then c.role end,
           case when v_has_contacts then c.kinds end, c.opted_out_of
    from org_contacts c
    where c.org_id = p_from_org_id
      and (v_has_contacts
           or (c.opted_out_at is not null or c.opted_out_of is not null)
              and exists (select from users u
                          where u.organization_id = p_into_org_id
                            and lower(btrim(u.email, E' \t\r\n'))
                                = lower(btrim(c.email, E' \t\r\n'))))
    order by c.email
    on conflict (org_id, email) do update
        set opted_out_at = coalesce(i.opted_out_at, excluded.opted_out_at),
            opted_out_of = (
                select pg_catalog.array_agg(distinct k.kind order by k.kind)
                from unnest(i.opted_out_of operator(pg_catalog.||) excluded.opted_out_of)
                         as k (kind));
    insert into periodd_suppressions (org_id, email, reason, suppressed_at)
    select p_into_org_id, s.email, s.reason, s.suppressed_at from periodd_suppressions s
    where s.org_id = p_from_org_id
    on conflict (org_id, email) do nothing;
    insert into user_limits (organization_id, user_id, feature, included)
    select p_into_org_id, l.user_id, l.feature, l.included from user_limits l
    where l.organization_id = p_from_org_id
    on conflict (organization_id, user_id, feature) do nothing;
    delete from user_limits l where l.organization_id = p_from_org_id;
    delete from org_contacts c where c.org_id = p_from_org_id;
    delete from periodd_suppressions s where s.org_id = p_from_org_id;
    delete from limit_overrides l where l.org_id = p_from_org_id;
    delete from org_alert_settings s where s.org_id = p_from_org_id;
    delete from periodd_derived d where d.org_id = p_from_org_id;
    delete from periodd_outbox x where x.org_id = p_from_org_id and x.state = 'due';
    update periodd_alerts a set state = 'expired'
    where a.org_id = p_from_org_id and a.state = 'waiting';
    update periodd_notices n set state = 'expired'
    where n.org_id = p_from_org_id and n.state = 'waiting';
    update periodd_tokens t set revoked_at = v_now
    where t.only_org = p_from_org_id and t.revoked_at is null;
    perform periodd_forget_held(p_from_org_id);

    v_slug := left(v_from.slug, 60) || '-removed-' || right(p_from_org_id::text, 12);
    v_reason := 'merged into ' || p_into_org_id::text || '; its books are kept';
    update organizations o set merged_into = p_into_org_id where o.merged_into = p_from_org_id;
    update organizations o
    set removed_at = v_at, merged_into = p_into_org_id, parked_at = v_at, parked_code = 'removed',
        parked_reason = v_reason, slug = v_slug, next_subscription_tier = null,
        next_subscription_tier_at = null, subscription_ends_at = null, used_minutes = 0,
        overage_minutes = 0, overage_minutes_written = null, overage_minutes_granted = 0
    where o.id = p_from_org_id;
    insert into periodd_departures (org_id, kind, into_org, counts, at, recorded_at)
    values (p_from_org_id, 'org_merged', p_into_org_id, v_counts, v_at, v_now);
    return query
    select u.what, u.feature, u.quantity
    from unnest(v_what, v_features, v_quantities) as u (what, feature, quantity);
end
$$;
comment on function merge_orgs is 'Merges an org into another: users, contacts, packs, keys and the usage of the open period. Closed periods stay as the books of the first org, which is removed otherwise. A repeated call changes nothing. What is refused with 40P01 or 40001 is to be repeated.';
