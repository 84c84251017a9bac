-- Asked inside the functions that lend their owner's rights: current_user is the owner there, and
-- the caller is whom the session has become. Its body is bound when it is created, so that it needs
-- no search path, and becomes part of the expression that asks.
create or replace function periodd_speaks_for(p_user_id uuid) returns boolean
language sql stable parallel safe
begin atomic
    select pg_has_role(case when current_setting('role') = 'none' then session_user
                            else current_setting('role')::name end, current_user, 'usage')
        or coalesce(pg_has_role(case when current_setting('role') = 'none' then session_user
                                     else current_setting('role')::name end,
                                to_regrole('periodd_app')::oid, 'member'), false)
        or coalesce(p_user_id = periodd_caller(), false);
end;
comment on function periodd_speaks_for is 'Whether the caller may act for this user: the owner and members of periodd_app for any user, others for themselves.';
