-- A limit that falls within a period does not reach back: what had been used within the one before
-- stays included. Whoever sees that the limit has fallen keeps that quantity in the counter,
-- included_at_least; until somebody does, it follows from what the counter saw last. One that
-- nobody was sure of is null, and changes nothing; unlimited is what a counter can hold. Its body is
-- bound when it is created, and becomes part of the statement that calls it.
create or replace function periodd_at_least(
    p_granted numeric, p_used numeric, p_at_least numeric, p_seen numeric
) returns numeric
language sql immutable parallel safe
begin atomic
    select case when p_seen > p_granted then greatest(p_at_least, least(p_used, p_seen))
                else p_at_least end;
end;
comment on function periodd_at_least is 'What a counter keeps as included at least, for a quantity that is granted now.';
