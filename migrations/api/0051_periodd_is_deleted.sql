-- Who was erased, or whose row an application deleted while its usage is here. It is asked only of a
-- user whom nobody knows, and by callers who may read neither table.
create or replace function periodd_is_deleted(p_org_id uuid, p_user_id uuid) returns boolean
language plpgsql stable security definer parallel safe
set search_path from current
as $$
begin
    if not periodd_speaks_for(null::uuid) then
        return false;
    end if;
    perform from users u where u.organization_id = p_org_id and u.id = p_user_id;
    if found then
        return false;
    end if;
    perform from periodd_departures d
    where d.org_id = p_org_id and d.subject = p_user_id and d.kind = 'user_erased';
    if found then
        return true;
    end if;
    perform from feature_usage f
    where f.organization_id = p_org_id and f.user_id = p_user_id limit 1;
    return found;
end
$$;
comment on function periodd_is_deleted is 'Whether a user of an org has been deleted; false for one who was never known.';
