-- What is included in a period, by what is granted now and what its counter keeps: the one place
-- where the two meet. Without a counter its columns are null. Its body is bound when it is created,
-- and becomes part of the statement that calls it.
create or replace function periodd_kept(
    p_granted numeric, p_used numeric, p_at_least numeric, p_seen numeric
) returns numeric
language sql immutable parallel safe
begin atomic
    select case when p_granted is not null then
                greatest(p_granted, periodd_at_least(p_granted, p_used, p_at_least, p_seen)) end;
end;
comment on function periodd_kept is 'Included quantity for a granted one: never less than what had been used within a limit that has fallen; null: unlimited.';
