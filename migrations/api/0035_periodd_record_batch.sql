-- The set-based twin of record_usage: what that asks and writes row by row is asked and written here
-- in one statement, so that a batch costs little more than its rows. Why an event is refused is said
-- by record_usage, to which it is given.
--
-- Keys are claimed in the order of org and key, then counters are moved in theirs, so that two
-- batches never wait for each other in a circle. Where somebody was quicker with a key, or moved the
-- bounds of a period, everything is undone and asked again.
create or replace function periodd_record_batch(
    p_org_ids uuid[],
    p_features text[],
    p_amounts numeric[],
    p_user_ids uuid[],
    p_used_ats timestamptz[],
    p_keys text[],
    p_is_partial boolean,
    -- Keys of periodd's own are taken, too.
    p_is_internal boolean
) returns table (
    event bigint, outcome text, metric_id uuid, is_counted boolean, code text, detail text
)
language plpgsql rows 1000
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_outcomes text[];
    v_metrics uuid[];
    v_counted boolean[];
    v_orgs uuid[];
    v_revisions bigint[];
    -- Claimed by somebody else since it was looked up.
    v_is_taken boolean;
    -- Events whose counter has no room for them …
    v_full bigint[];
    -- … and those of all attempts.
    v_excess bigint[] := '{}';
    v_codes text[] := '{}';
    v_details text[] := '{}';
    v_tries int := 0;
begin
    loop
        begin
            with said as materialized (
                select e.place, e.org_id, periodd_folded(e.feature) as feature, e.amount, e.user_id,
                       coalesce(e.used_at, v_now) as used_at, e.key, periodd_new_id() as id
                from unnest(p_org_ids, p_features, p_amounts, p_user_ids, p_used_ats, p_keys)
                         with ordinality as e (org_id, feature, amount, user_id, used_at, key, place)),
            known as materialized (
                -- What somebody used who is deleted is the org's.
                select s.place, s.org_id, s.feature, s.amount, u.id as user_id, s.used_at, s.key, s.id,
                       o.current_period_start, o.current_period_end, o.next_period_ends, o.revision,
                       k.metric_id as known_id,
                       -- A key of periodd's own is made of what it stands for.
                       not periodd_is_key(s.key) as is_own,
                       (k.feature = s.feature and k.quantity = s.amount
                        and (k.user_id is not distinct from u.id or (k.user_id = s.user_id) is true))
                           as is_same,
                       (abs(s.amount) < 1e22 and s.amount <> 0.0 and s.amount = round(s.amount, 6)
                        and s.used_at >= '0001-01-01 00:00:00+00' and s.used_at < '10000-01-01 00:00:00+00'
                        and (s.key is null or periodd_is_key(s.key) or p_is_internal)
                        and f.feature is not null and o.id is not null
                        and (s.user_id is null or u.id is not null or d.is_deleted)
                        and s.place <> all (v_excess)) is true as is_good
                from said s
                left join features f on f.feature = s.feature
                left join lateral (select x.* from organizations x
                                   where x.id = s.org_id and x.removed_at is null offset 0) o on true
                left join lateral (select x.id from users x
                                   where x.organization_id = s.org_id and x.id = s.user_id offset 0) u on true
                left join lateral (select periodd_is_deleted(s.org_id, s.user_id) as is_deleted
                                   where s.user_id is not null and u.id is null offset 0) d on true
                left join lateral (select y.* from periodd_keyed(s.org_id, s.key) y limit 1) k on true),
            -- Of a key that is new, the first good event claims it.
            ranked as materialized (
                select k.*, k.is_good and k.known_id is null as is_new,
                       pg_catalog.first_value(k.place) over same as first_place,
                       pg_catalog.first_value(k.id) over same as first_id,
                       pg_catalog.first_value(k.feature) over same as first_feature,
                       pg_catalog.first_value(k.amount) over same as first_amount,
                       pg_catalog.first_value(k.user_id) over same as first_user
                from known k
                window same as (partition by k.is_good and k.known_id is null, k.org_id, k.key collate "C",
                                             case when k.key is null then k.place end
                                order by k.place)),
            judged as materialized (
                select r.*,
                       case when r.is_new and r.place = r.first_place then 'recorded'
                            when r.is_new and (r.is_own or r.feature = r.first_feature
                                               and r.amount = r.first_amount
                                               and r.user_id is not distinct from r.first_user)
                                then 'duplicate'
                            when r.is_good and r.known_id is not null and (r.is_own or r.is_same)
                                then 'duplicate'
                            else 'refused' end as outcome
                from ranked r),
            new as materialized (
                select j.*, w.period_start, w.period_end,
                       -- Beyond the last stored end a metric is kept and counted later; before the
                       -- org's first period it counts in no counter, and is done with.
                       (j.current_period_start is not null and j.current_period_end is not null
                        and (w.period_start is not null or j.used_at < j.current_period_start)) as counts
                from judged j
                left join lateral (
                    select p.period_start, p.period_end
                    from periodd_period_at(j.current_period_start, j.current_period_end,
                                           j.next_period_ends, j.used_at) p
                    where j.used_at >= j.current_period_start and j.current_period_end is not null
                    union all
                    select b.period_start, b.period_end
                    from (select c.period_start, c.period_end from billing_periods c
                          where c.org_id = j.org_id and c.period_start <= j.used_at
                          order by c.period_start desc limit 1) b
                    where j.used_at < j.current_period_start and j.current_period_end is not null
                      and j.used_at < b.period_end) w on true
                where j.outcome = 'recorded'),
            inserted as (
                insert into usage_metrics (id, organization_id, user_id, metric_type, metric_value,
                                           created_at, recorded_at, counted_at, idempotency_key)
                select n.id, n.org_id, n.user_id, n.feature, n.amount, n.used_at, v_now,
                       case when n.counts then v_now end, n.key
                from new n order by n.org_id, n.key collate "C", n.place
                on conflict (organization_id, idempotency_key) do nothing
                returning id),
            org_counters as (
                insert into usage_counters as c (org_id, feature, period_start, period_end, used, updated_at,
                                                 included_seen)
                select g.*, (select s.included_seen
                             from periodd_seen(g.org_id, g.feature, g.period_start) s)
                from (select n.org_id, n.feature, n.period_start, max(n.period_end), sum(n.amount), v_now
                      from new n
                      where n.period_start is not null
                        and (select count(*) from inserted) = (select count(*) from new)
                      group by n.org_id, n.feature, n.period_start
                      having abs(sum(n.amount)) < 1e22) g
                order by g.org_id, g.period_start, g.feature
                on conflict (org_id, period_start, feature) do update
                    set used = c.used + excluded.used, sync_status = 'pending',
                        updated_at = excluded.updated_at,
                        included_at_least = periodd_at_least(excluded.included_seen, c.used,
                                                             c.included_at_least, c.included_seen),
                        included_seen = coalesce(excluded.included_seen, c.included_seen)
                    where abs(c.used + excluded.used) < 1e22
                returning c.org_id, c.feature, c.period_start),
            -- After the orgs' own, as everybody locks them.
            user_counters as (
                insert into feature_usage as c (organization_id, user_id, feature, period_start, period_end,
                                                usage_count, updated_at)
                select n.org_id, n.user_id, n.feature, n.period_start, max(n.period_end), sum(n.amount), v_now
                from new n
                where n.period_start is not null and n.user_id is not null
                  and (select count(*) from org_counters) > 0
                group by n.org_id, n.user_id, n.feature, n.period_start
                having abs(sum(n.amount)) < 1e22
                order by n.org_id, n.user_id, n.period_start, n.feature
                on conflict (organization_id, user_id, period_start, feature) do update
                    set usage_count = c.usage_count + excluded.usage_count,
                        sync_status = 'pending', updated_at = excluded.updated_at
                    where abs(c.usage_count + excluded.usage_count) < 1e22
                returning c.organization_id, c.user_id, c.feature, c.period_start),
            moved as (
                select (select count(*) from (select distinct n.org_id, n.feature, n.period_start
                                              from new n where n.period_start is not null) g)
                       = (select count(*) from org_counters)
                   and (select count(*) from (select distinct n.org_id, n.user_id, n.feature, n.period_start
                                              from new n
                                              where n.period_start is not null and n.user_id is not null) g)
                       = (select count(*) from user_counters) as is_all)
            select pg_catalog.array_agg(j.outcome order by j.place),
                   pg_catalog.array_agg(case when j.outcome <> 'refused'
                                             then coalesce(j.known_id, j.first_id) end order by j.place),
                   pg_catalog.array_agg(coalesce(n.counts, false) order by j.place),
                   (select count(*) from inserted) <> (select count(*) from new),
                   array(select x.place from new x, moved m
                         where not m.is_all and x.period_start is not null
                           and (not exists (select from org_counters c
                                            where c.org_id = x.org_id and c.feature = x.feature
                                              and c.period_start = x.period_start)
                                or x.user_id is not null
                                   and not exists (select from user_counters c
                                                   where c.organization_id = x.org_id
                                                     and c.user_id = x.user_id
                                                     and c.feature = x.feature
                                                     and c.period_start = x.period_start))),
                   array(select g.org_id from (select distinct x.org_id, x.revision from new x
                                               where x.period_start is not null) g order by g.org_id),
                   array(select g.revision from (select distinct x.org_id, x.revision from new x
                                                 where x.period_start is not null) g order by g.org_id)
              into v_outcomes, v_metrics, v_counted, v_is_taken, v_full, v_orgs, v_revisions
            from judged j left join new n on n.place = j.place;
            if v_is_taken or v_full <> '{}' then
                raise exception 'asked again' using errcode = 'PB000';
            end if;
            -- The orgs' periods may have been given other bounds since they were read. Who does that
            -- raises the revision while it holds the counters.
            perform from unnest(v_orgs, v_revisions) as r (org_id, revision)
            where not exists (select from organizations o
                              where o.id = r.org_id and o.revision = r.revision);
            exit when not found;
            raise exception 'asked again' using errcode = 'PB000';
        exception when sqlstate 'PB000' then
            if v_is_taken is not true then
                v_excess := v_excess || v_full;
            end if;
            v_tries := v_tries + 1;
            if v_tries = 20 then
                raise exception 'the keys and the periods of the batch keep changing: try again'
                    using errcode = '40001';
            end if;
        end;
    end loop;

    for v_place in 1 .. coalesce(cardinality(v_outcomes), 0) loop
        if v_outcomes[v_place] = 'refused' then
            begin
                perform record_usage(p_org_ids[v_place], p_features[v_place], p_amounts[v_place],
                                     p_user_ids[v_place], p_used_ats[v_place],
                                     case when not p_is_internal or periodd_is_key(p_keys[v_place])
                                          then p_keys[v_place] end);
                if v_place = any (v_excess) then
                    raise exception 'the amount % cannot be recorded: with other events of the batch, the usage of org % of % would leave the range of 1e22', p_amounts[v_place], p_org_ids[v_place], p_features[v_place]
                        using errcode = '22003';
                end if;
                raise exception 'what refused the event % of the batch is gone: try again', v_place
                    using errcode = '40001';
            exception when sqlstate '22003' or sqlstate '22023' or sqlstate 'PB002' or sqlstate 'PB004' then
                if cardinality(v_codes) = 0 then
                    v_codes := pg_catalog.array_fill(null::text, array[cardinality(v_outcomes)]);
                    v_details := v_codes;
                end if;
                v_codes[v_place] := sqlstate;
                v_details[v_place] := sqlerrm;
            end;
            if p_is_partial is not true then
                raise exception '%', v_details[v_place]
                    using errcode = v_codes[v_place],
                          detail = 'event ' || v_place::text || ' of ' || cardinality(v_outcomes)::text || '; nothing is recorded';
            end if;
        end if;
    end loop;
    return query
    select v.place, v.outcome, v.metric, v.is_counted, v.code, v.detail
    from unnest(v_outcomes, v_metrics, v_counted, v_codes, v_details)
             with ordinality as v (outcome, metric, is_counted, code, detail, place);
end
$$;
comment on function periodd_record_batch is 'Records events that come as arrays, as record_usage_batch does.';
