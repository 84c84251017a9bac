-- How an org stands in its open period, but for what it has used, and for what that keeps included
-- after a limit has fallen: short, for this is read at every increment. Packs have paid for something
-- in an open period only where one of the feature has expired in it, and been emptied by that, though
-- it be later than the instant that is asked for. Then, and while a rollover has yet to settle one,
-- this is not all. Its body is bound when it is created, so that it needs no search path, and becomes
-- part of the statement that calls it.
create or replace function periodd_standing(p_org_id uuid, p_feature text, p_at timestamptz)
returns table (
    at timestamptz, included numeric, usable numeric, is_granted boolean, tier text,
    subscription_status text, open_start timestamptz, open_end timestamptz,
    next_ends timestamptz[], revision bigint, is_all boolean
)
language sql stable parallel safe
begin atomic
    select i.at,
           g.included,
           k.usable,
           g.is_granted,
           o.subscription_tier, o.subscription_status,
           o.current_period_start, o.current_period_end, o.next_period_ends, o.revision,
           coalesce(i.at < o.current_period_end, false) and o.current_period_start is not null
               and k.are_all is not false
               and not periodd_is_paused(o.paused_from, o.paused_until, i.at)
    from organizations o
    cross join lateral periodd_included(o.id, p_feature, o.subscription_tier) g
    cross join lateral (select greatest(p_at, o.current_period_start, o.restarted_at) as at) i
    cross join lateral (
        select coalesce(sum(h.held) filter (
                   where h.held > 0 and p.purchased_at <= i.at
                     and (p.expires_at is null or p.expires_at > i.at)), 0) as usable,
               bool_and(p.expires_at is null
                        or p.expires_at <= o.current_period_start and h.held = 0
                        or p.expires_at > i.at and h.held > 0)
                   as are_all
        from overage_packs p
        cross join lateral (select coalesce(p.remaining, p.quantity) as held) h
        where p.org_id = o.id and p.feature = p_feature) k
    -- A removed org is known to nobody.
    where o.id = p_org_id and o.removed_at is null;
end;
comment on function periodd_standing is 'Usage and packs of an org in its open period; is_all: the period has not ended, no pack that expires did so in it or is empty, and the org is not paused.';
