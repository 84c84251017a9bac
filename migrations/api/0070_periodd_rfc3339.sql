create or replace function periodd_rfc3339(p_at timestamptz) returns text
language sql immutable parallel safe
begin atomic
    select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
        || rtrim(to_char(p_at at time zone 'UTC', '.US'), '.0') || 'Z';
end;
comment on function periodd_rfc3339 is 'A time as JSON has it, whatever the time zone of the session.';
