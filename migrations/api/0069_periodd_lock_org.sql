-- Whoever plans a rollover, or acts on the same org, is waited for; what is read in later statements
-- stands until the transaction ends.
create or replace function periodd_lock_org(p_org_id uuid) returns void
language plpgsql
set search_path from current
as $$
begin
    perform from organizations o
    where o.id = p_org_id and o.removed_at is null for no key update;
    if not found then
        raise exception 'unknown org %', p_org_id using errcode = 'PB002';
    end if;
end
$$;
comment on function periodd_lock_org is 'Locks the row of an org until the transaction ends, and refuses one that is unknown or was removed.';
