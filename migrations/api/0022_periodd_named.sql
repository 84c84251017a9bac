-- Which org a name stands for: the one of that slug, or else of that id. p_id is the name read as an
-- id, null where it is none. Its body is bound when it is created, and becomes part of the statement
-- that calls it.
create or replace function periodd_named(p_name text, p_id uuid)
returns table (id uuid)
language sql stable parallel safe
begin atomic
    select coalesce((select s.id from organizations s where s.slug = p_name),
                    (select o.id from organizations o where o.id = p_id));
end;
comment on function periodd_named is 'The org of a slug, or else of an id; null where there is none.';
