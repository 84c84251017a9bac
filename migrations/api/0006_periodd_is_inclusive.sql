-- An end like 23:59:59.999: a period's last moment, written where the first one after it belongs.
-- Somewhere on earth it is midnight at every quarter of an hour. The importer asks the same of
-- tables that are not ours yet (src/import/source.rs). Where periods begin in such a second too, or are
-- to end in one, it is no fault.
drop function if exists periodd_is_inclusive(timestamptz);
create or replace function periodd_is_inclusive(
    p_start timestamptz, p_end timestamptz, p_anchor_time time
) returns boolean
language sql immutable parallel safe
begin atomic
    select mod(floor(extract(epoch from p_end)), 900) = 899
           and mod(floor(extract(epoch from p_start)), 900) is distinct from 899
           and mod(extract(epoch from p_anchor_time), 900) <> 899
           -- The end of a period that never ends.
           and p_end < '9999-12-31 23:59:59.999999+00';
end;
comment on function periodd_is_inclusive is 'Whether the end of a period looks like its last moment, such as 23:59:59.999.';
