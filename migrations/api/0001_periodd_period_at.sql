-- The bounds of the period that contains an instant, from the ends that periodd stored;
-- no row when they do not reach that far. Its body is bound when it is created.
create or replace function periodd_period_at(
    p_start timestamptz, p_end timestamptz, p_next_ends timestamptz[], p_at timestamptz
) returns table (period_start timestamptz, period_end timestamptz)
language sql immutable parallel safe
begin atomic
    select bounds.ends[i], bounds.ends[i + 1]
    from (select array[p_start, p_end] || coalesce(p_next_ends, '{}') as ends) as bounds,
         generate_subscripts(bounds.ends, 1) as i
    where bounds.ends[i] <= p_at and p_at < bounds.ends[i + 1];
end;
comment on function periodd_period_at is 'Period of an instant, found among the stored ends of an org.';
