-- Packs that applications inserted plainly get their ledger. The orgs' rows have to be locked by an
-- earlier statement: the snapshot of this one would be older than what it waits for.
create or replace function periodd_enter_packs(p_org_ids uuid[]) returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_orgs uuid[];
    v_packs uuid[];
    v_seqs integer[];
begin
    with unseen as (
        select p.org_id, p.id, p.feature, p.quantity, p.purchased_at,
               coalesce(p.remaining, p.quantity) as remaining
        from overage_packs p
        -- Not those below zero, which stay: they would keep the others out.
        where p.entries = 0 and coalesce(p.remaining, p.quantity) >= 0.0
          and p.org_id = any (p_org_ids)
        order by p.org_id, p.id),
    adopted as (
        update overage_packs p
        set remaining = u.remaining,
            entries = case when u.remaining = u.quantity then 1 else 2 end
        from unseen u
        where p.org_id = u.org_id and p.id = u.id and p.entries = 0 and u.remaining >= 0.0
        returning u.*),
    orgs as (
        update organizations o
        set revision = o.revision + 1,
            overage_minutes_granted = o.overage_minutes_granted + a.minutes
        from (select x.org_id, coalesce(sum(x.quantity) filter (
                         where x.feature = 'minutes_transcribed'), 0) as minutes
              from adopted x group by 1) a
        where o.id = a.org_id
        returning o.id, o.current_period_start, o.current_period_end),
    -- Whoever keeps a copy of what is left of the packs sees that it moved. Sorted, so that the
    -- orgs' rows are locked before any counter is: everybody's order.
    marked as (
        insert into usage_counters as c (org_id, feature, period_start, period_end)
        select o.id, a.feature, o.current_period_start, o.current_period_end
        from (select distinct x.org_id, x.feature from adopted x) a
        join orgs o on o.id = a.org_id
        where o.current_period_start < o.current_period_end
        order by o.id, a.feature
        on conflict (org_id, period_start, feature) do update set sync_status = 'pending'),
    entered as (
        insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
        select a.org_id, a.id, 1, 'granted', a.quantity, a.purchased_at, a.quantity from adopted a
        union all
        select a.org_id, a.id, 2, 'drawn', a.quantity - a.remaining, a.purchased_at, a.remaining
        from adopted a where a.remaining <> a.quantity
        returning overage_entries.org_id, overage_entries.pack_id, overage_entries.seq)
    select pg_catalog.array_agg(e.org_id order by e.org_id, e.pack_id, e.seq),
           pg_catalog.array_agg(e.pack_id order by e.org_id, e.pack_id, e.seq),
           pg_catalog.array_agg(e.seq order by e.org_id, e.pack_id, e.seq)
      into v_orgs, v_packs, v_seqs
    from entered e;
    if v_orgs is not null then
        perform periodd_enter_entries(v_orgs, v_packs, v_seqs);
    end if;
    return coalesce(array_length(v_orgs, 1), 0);
end
$$;
comment on function periodd_enter_packs is 'Enters packs that applications inserted plainly in the ledger, for orgs whose rows are locked, and returns the number of entries.';
