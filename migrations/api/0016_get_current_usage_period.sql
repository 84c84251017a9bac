create or replace function get_current_usage_period(p_timezone text default 'UTC')
returns table (period_start timestamptz, period_end timestamptz)
language plpgsql stable parallel safe
set search_path from current
as $$
begin
    return query
    select p.period_start, p.period_end
    from periodd_zone_months z,
         periodd_period_at(z.starts[1], z.starts[2], z.starts[3:], now()) p
    where periodd_folded(z.time_zone) = periodd_folded(p_timezone);
    if not found then
        raise exception 'unknown time zone %, or its months are out of date: run periodd db migrate', p_timezone
            using errcode = '22023';
    end if;
end
$$;
comment on function get_current_usage_period is 'Current calendar month in a zone.';
