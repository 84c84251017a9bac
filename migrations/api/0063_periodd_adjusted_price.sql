-- What an uncovered unit of late usage costs: the price that the adjustment kept when it was written.
-- One that was written before prices were kept has that of its closed period. Its body is bound when
-- it is created, and becomes part of the statement that calls it.
create or replace function periodd_adjusted_price(
    p_org_id uuid, p_period_start timestamptz, p_feature text, p_seq integer
)
returns table (uncovered_price_cents numeric, currency text)
language sql stable parallel safe rows 1
begin atomic
    select case when a.keeps_price then a.uncovered_price_cents
                else k.uncovered_price_cents end,
           case when a.keeps_price then a.currency else k.currency end
    from billing_adjustments a
    left join lateral periodd_closed_price(a.org_id, a.period_start, a.feature) k
           on not a.keeps_price
    where a.org_id = p_org_id and a.period_start = p_period_start and a.feature = p_feature
      and a.seq = p_seq;
end;
comment on function periodd_adjusted_price is 'Price of an uncovered unit of an adjustment, and its currency; null: none.';
