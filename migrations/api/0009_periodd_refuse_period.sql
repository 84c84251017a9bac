create or replace function periodd_refuse_period(p_open_start timestamptz, p_open_end timestamptz)
returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_open_start is null or p_open_end is null then
        raise exception 'the org has no open period yet: the daemon opens one within a minute, or run `periodd rollover`'
            using errcode = 'PB001';
    end if;
    raise exception 'the org''s period ended at %, and periodd has not run since for too long: run `periodd rollover`', p_open_end
        using errcode = 'PB003';
end
$$;
comment on function periodd_refuse_period is 'Raises the error of an instant without a period: none is open yet (PB001), or periodd has not run for too long (PB003).';
