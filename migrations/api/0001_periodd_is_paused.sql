-- Its body is bound when it is created, and becomes part of the statement that calls it.
create or replace function periodd_is_paused(
    p_from timestamptz, p_until timestamptz, p_at timestamptz
) returns boolean
language sql immutable parallel safe
begin atomic
    select p_from is not null and p_from <= p_at and (p_until is null or p_until > p_at);
end;
comment on function periodd_is_paused is 'Whether an org is paused at an instant, by the bounds of its last pause.';
