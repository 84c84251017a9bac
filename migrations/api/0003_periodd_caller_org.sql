create or replace function periodd_caller_org() returns uuid
language plpgsql stable parallel safe
set search_path from current
as $$
begin
    return (select u.organization_id from users u where u.id = periodd_caller());
end
$$;
comment on function periodd_caller_org is 'Org of the end user of this connection; null: no end user.';
