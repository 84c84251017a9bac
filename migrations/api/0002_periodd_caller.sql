create or replace function periodd_caller() returns uuid
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user text := nullif(current_setting('app.user_id', true), '');
begin
    if v_user is null then
        v_user := nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '');
    end if;
    if v_user is null then
        v_user := nullif(current_setting('request.jwt.claim.sub', true), '');
    end if;
    -- What is no uuid is nobody.
    if v_user ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        return v_user::uuid;
    end if;
    return null;
end
$$;
comment on function periodd_caller is 'End user of this connection: app.user_id, else the claim sub of a JWT; null: none.';
