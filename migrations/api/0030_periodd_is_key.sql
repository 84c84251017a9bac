-- Empty is what a client sends that has no key; what is longer, the index could refuse. Its body
-- becomes part of the expression that asks.
create or replace function periodd_is_key(p_key text) returns boolean
language sql immutable parallel safe
begin atomic
    select p_key <> '' and octet_length(p_key) <= 1024 and not starts_with(p_key, 'periodd:');
end;
comment on function periodd_is_key is 'Says whether a text may be an idempotency key of an application.';
