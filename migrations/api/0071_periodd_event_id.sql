create or replace function periodd_event_id(p_parts text[]) returns uuid
language sql immutable parallel safe
begin atomic
    select md5(array_to_string(p_parts, chr(31), ''))::uuid;
end;
comment on function periodd_event_id is 'Id of the event about a fact, from the key of that fact: entered again, it is the same event.';
