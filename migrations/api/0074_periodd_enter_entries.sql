-- The owner's rights are lent to tell what stands in the ledger, once, and nothing else: so that
-- whoever may write there need not be able to write events. Whoever speaks for nobody else, such as
-- a role with rights of its own, tells of what its transaction has entered, and of nothing older.
create or replace function periodd_enter_entries(p_org_ids uuid[], p_pack_ids uuid[], p_seqs integer[])
returns bigint
language plpgsql security definer
set search_path from current
as $$
declare
    v_now constant timestamptz := now();
    v_all boolean;
    v_ids uuid[];
    v_kinds text[];
    v_orgs uuid[];
    v_payloads jsonb[];
    v_ats timestamptz[];
begin
    -- No array of nothing, and nothing to read where nobody listens.
    perform from periodd_listeners;
    if not found then
        return 0;
    end if;
    v_all := periodd_speaks_for(null);
    select pg_catalog.array_agg(periodd_event_id(array['pack', e.org_id::text, e.pack_id::text, e.seq::text]) order by k.place),
           pg_catalog.array_agg('pack.' operator(pg_catalog.||) e.kind order by k.place),
           pg_catalog.array_agg(e.org_id order by k.place),
           pg_catalog.array_agg(pg_catalog.jsonb_build_object(
               'pack_id', e.pack_id, 'reference', p.reference, 'feature', p.feature,
               'quantity', e.quantity, 'remaining', e.remaining,
               'period_start', periodd_rfc3339(e.period_start),
               'expires_at', periodd_rfc3339(nullif(p.expires_at, 'infinity'))) order by k.place),
           pg_catalog.array_agg(e.at order by k.place)
      into v_ids, v_kinds, v_orgs, v_payloads, v_ats
    from unnest(p_org_ids, p_pack_ids, p_seqs) with ordinality as k (org_id, pack_id, seq, place)
    join overage_entries e on e.org_id = k.org_id and e.pack_id = k.pack_id and e.seq = k.seq
    join overage_packs p on p.org_id = e.org_id and p.id = e.pack_id
    where e.kind in ('granted', 'drawn', 'expired', 'refunded') and (v_all or e.recorded_at = v_now);
    return periodd_enter_events(v_ids, v_kinds, v_orgs, v_payloads, v_ats);
end
$$;
comment on function periodd_enter_entries is 'Enters events about entries of the ledger of packs.';
