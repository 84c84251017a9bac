-- What an uncovered unit of a closed period costs: by what the close kept, of what was used and of
-- what was not. Periods that were closed before prices of unused features were kept, or that were
-- brought from elsewhere, know nothing of the latter: those have the price that the tier has now.
-- Its body is bound when it is created, and becomes part of the statement that calls it.
create or replace function periodd_closed_price(
    p_org_id uuid, p_period_start timestamptz, p_feature text
)
returns table (uncovered_price_cents numeric, currency text)
language sql stable parallel safe rows 1
begin atomic
    select k.price,
           case when k.price is not null then coalesce(t.currency, p.currency) end
    from billing_periods p
    left join tier_limits l
           on l.tier = p.tier and l.feature = p_feature and l.uncovered_price_cents is not null
          and p.unused_features is null and p_feature <> all (p.features)
    left join subscription_tiers t on t.code = l.tier and t.currency ~ '^[A-Z]{3}$'
    cross join lateral (
        select coalesce(p.uncovered_prices[array_position(p.features, p_feature)],
                        p.unused_prices[array_position(p.unused_features, p_feature)],
                        case when t.code is not null then l.uncovered_price_cents end) as price) k
    where p.org_id = p_org_id and p.period_start = p_period_start;
end;
comment on function periodd_closed_price is 'Price of an uncovered unit of a feature in a closed period, and its currency; null: none.';
