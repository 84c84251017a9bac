-- A metric's row, or what retention kept of it: in each snapshot there is one of the two, unless an
-- application has inserted the key again. Its body is bound when it is created, and becomes part of
-- the statement that calls it.
create or replace function periodd_keyed(p_org_id uuid, p_key text)
returns table (
    metric_id uuid, user_id uuid, feature text, quantity numeric, used_at timestamptz,
    recorded_at timestamptz
)
language sql stable parallel safe
begin atomic
    select m.id, m.user_id, periodd_folded(m.metric_type), m.metric_value, m.created_at,
           m.recorded_at
    from usage_metrics m
    where m.organization_id = p_org_id and m.idempotency_key = p_key
    union all
    select k.metric_id, k.user_id, k.feature, k.quantity, k.used_at, k.recorded_at
    from periodd_usage_keys k
    where k.org_id = p_org_id and k.idempotency_key = p_key;
end;
comment on function periodd_keyed is 'What an idempotency key of an org was used for; no row: it is new.';
