create or replace function periodd_refuse_key(p_key text) returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_key = '' then
        raise exception 'the idempotency key is empty: pass null for usage without a key'
            using errcode = '22023';
    end if;
    if octet_length(p_key) > 1024 then
        raise exception 'the idempotency key has % bytes: at most 1024 are allowed', octet_length(p_key)
            using errcode = '22023';
    end if;
    raise exception 'reserved idempotency key %: keys that start with periodd: are for internal use', p_key
        using errcode = '22023';
end
$$;
comment on function periodd_refuse_key is 'Says why a text is not an idempotency key.';
