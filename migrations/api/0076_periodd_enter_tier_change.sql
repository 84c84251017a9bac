create or replace function periodd_enter_tier_change(p_org_id uuid, p_before text, p_at timestamptz)
returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_after text;
begin
    select o.subscription_tier into v_after
    from organizations o where o.id = p_org_id and o.subscription_tier <> p_before;
    if not found then
        return 0;
    end if;
    -- The change has no key of its own: the org's row is what lets it happen once.
    return periodd_enter_event(
        'org.tier_changed', p_org_id,
        pg_catalog.jsonb_build_object('before', p_before, 'after', v_after), p_at);
end
$$;
comment on function periodd_enter_tier_change is 'Enters an event about the tier of an org, where it is another one than before.';
