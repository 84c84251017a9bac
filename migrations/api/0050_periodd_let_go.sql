create or replace function periodd_let_go(p_org_id uuid, p_now timestamptz) returns void
language plpgsql
set search_path from current
as $$
begin
    delete from usage_counters c
    where c.org_id = p_org_id and c.used = 0.0 and c.updated_at = p_now
      and c.sync_status = 'pending' and c.last_synced_at is null;
end
$$;
comment on function periodd_let_go is 'Deletes the counters that periodd_hold made and nobody needed.';
