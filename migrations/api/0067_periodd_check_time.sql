-- A null is a time that was not given.
create or replace function periodd_check_time(p_name text, p_at timestamptz) returns void
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_at < '0001-01-01 00:00:00+00' or p_at >= '10000-01-01 00:00:00+00' then
        raise exception '% is %: it must lie between the years 1 and 9999 (seconds are expected, not milliseconds)', p_name, p_at
            using errcode = '22023';
    end if;
end
$$;
comment on function periodd_check_time is 'Refuses a time outside of the years 1 to 9999, by the name of its parameter.';
