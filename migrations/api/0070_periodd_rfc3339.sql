create or replace function periodd_rfc3339(p_at timestamptz) returns text
language sql immutable parallel safe
set timezone = 'UTC'
begin atomic
    select to_char(p_at, 'YYYY-MM-DD"T"HH24:MI:SS') || rtrim(to_char(p_at, '.US'), '.0') || 'Z';
end;
comment on function periodd_rfc3339 is 'A time as JSON has it, whatever the time zone of the session.';
