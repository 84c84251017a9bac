-- A feature's name, as it is stored: names match without regard to case. Letters of ASCII are
-- folded first, by themselves: a Turkish or Azeri database turns an I into another letter than i.
-- Its body is bound when it is created, and becomes part of the statement that calls it; what it
-- returns has the database's own collation, so that indexes are found.
create or replace function periodd_folded(p_name text) returns text
language sql immutable parallel safe
begin atomic
    select lower(lower(p_name collate "C") collate "default");
end;
comment on function periodd_folded is 'A name in lower case, in the same way in every locale, for comparisons without regard to case.';
