-- A null is a quantity that was not given.
create or replace function periodd_check_quantity(p_quantity numeric) returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if not (p_quantity > 0.0 and p_quantity < 1e22 and p_quantity = round(p_quantity, 6)) then
        raise exception 'invalid quantity %: it must be greater than zero, with at most 6 decimals', p_quantity
            using errcode = '22023';
    end if;
end
$$;
comment on function periodd_check_quantity is 'Refuses a quantity of a pack that is not greater than zero, or has more than six decimals.';
