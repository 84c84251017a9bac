-- Functions are executable by everybody unless that is taken back; `db migrate --with-roles` gives
-- them to the two roles. The policies need the two that say who is asking.
revoke execute on function
    periodd_period_at, periodd_speaks_for, periodd_included, periodd_foreseen, periodd_allowances,
    periodd_limit, periodd_standing, periodd_held, periodd_refuse_period, increment_feature_usage,
    increment_org_usage, increment_usage_if_allowed, get_current_usage_stats, record_usage, grant_overage_pack, restart_billing_cycle,
    record_usage_batch, periodd_record_batch, periodd_events, periodd_closed_since,
    get_current_usage_period, periodd_percent, periodd_folded, periodd_ended_tier,
    periodd_is_inclusive, periodd_first_month, periodd_opened, periodd_unsubscribe,
    periodd_is_key, periodd_refuse_key, periodd_keyed, periodd_refuse_reuse, periodd_named,
    periodd_left, periodd_limit_used, periodd_adds_up, periodd_at_least, periodd_kept,
    periodd_kept_in, periodd_seen, refund_overage_pack, periodd_enter_packs, periodd_hold_packs,
    periodd_is_paused, periodd_carried, set_usage_level,
    periodd_hold, periodd_let_go, periodd_forget_held, periodd_is_deleted, periodd_removal,
    remove_org, periodd_traces, periodd_erasure, erase_user, periodd_merge, periodd_carry_pack,
    periodd_shift_minutes,
    merge_orgs, periodd_pack_move, move_overage_pack,
    periodd_rfc3339, periodd_event_id, periodd_enter_events, periodd_enter_event,
    periodd_enter_entries, periodd_enter_closes, periodd_enter_tier_change, periodd_enter_alerts,
    periodd_closed_price, periodd_adjusted_price,
    periodd_check_time, periodd_check_quantity, periodd_lock_org
from public;

do $$
declare
    v_text text;
begin
    -- Whoever may call a function, or read the view, may call what that calls with the caller's
    -- rights: so that what has been granted before goes on working.
    for v_text in
        select distinct format('grant execute on function %s to %I', needed.oid::regprocedure,
                               pg_get_userbyid(a.grantee))
        from (values ('record_usage', 'periodd_folded'), ('record_usage', 'periodd_period_at'),
                     ('record_usage', 'periodd_is_key'), ('record_usage', 'periodd_refuse_key'),
                     ('record_usage', 'periodd_keyed'), ('record_usage', 'periodd_refuse_reuse'),
                     ('record_usage', 'record_usage_batch'), ('record_usage', 'periodd_record_batch'),
                     ('record_usage', 'periodd_events'), ('record_usage', 'periodd_seen'),
                     ('record_usage', 'periodd_included'), ('record_usage', 'periodd_at_least'),
                     ('record_usage', 'periodd_is_deleted'),
                     ('record_usage', 'periodd_check_time'),
                     ('grant_overage_pack', 'periodd_folded'),
                     ('grant_overage_pack', 'periodd_check_time'),
                     ('grant_overage_pack', 'periodd_check_quantity'),
                     ('grant_overage_pack', 'periodd_enter_entries'),
                     ('refund_overage_pack', 'periodd_enter_entries'),
                     ('refund_overage_pack', 'periodd_check_time'),
                     ('refund_overage_pack', 'periodd_check_quantity'),
                     ('refund_overage_pack', 'periodd_lock_org'),
                     ('periodd_enter_packs', 'periodd_enter_entries'),
                     ('get_current_usage_period', 'periodd_folded'),
                     ('get_current_usage_period', 'periodd_period_at'),
                     ('periodd_percent', 'periodd_standing'), ('periodd_percent', 'periodd_held'),
                     ('periodd_percent', 'periodd_allowances'),
                     ('periodd_percent', 'periodd_included'), ('periodd_percent', 'periodd_limit'),
                     ('periodd_percent', 'periodd_period_at'),
                     ('periodd_percent', 'periodd_foreseen'),
                     ('periodd_percent', 'periodd_folded'), ('periodd_percent', 'periodd_left'),
                     ('periodd_percent', 'periodd_at_least'), ('periodd_percent', 'periodd_kept'),
                     ('periodd_percent', 'periodd_kept_in'),
                     ('periodd_percent', 'periodd_ended_tier'),
                     ('periodd_percent', 'periodd_is_paused'),
                     ('periodd_percent', 'periodd_carried')) as n (caller, called)
        join pg_proc caller on caller.proname = n.caller
                           and caller.pronamespace = quote_ident(current_schema())::regnamespace
        join pg_proc needed on needed.proname = n.called
                           and needed.pronamespace = quote_ident(current_schema())::regnamespace
        cross join lateral aclexplode(caller.proacl) a
        where a.privilege_type = 'EXECUTE' and a.grantee not in (0, caller.proowner)
          and not exists (select from aclexplode(needed.proacl) h
                          where h.privilege_type = 'EXECUTE' and h.grantee = a.grantee)
    loop
        execute v_text;
    end loop;
    for v_text in
        select distinct format('grant select on %s to %I', n.called, pg_get_userbyid(a.grantee))
        from (values ('record_usage', 'periodd_usage_keys'),
                     ('grant_overage_pack', 'periodd_moved_packs')) as n (caller, called)
        join pg_proc caller on caller.proname = n.caller
                           and caller.pronamespace = quote_ident(current_schema())::regnamespace
        cross join lateral aclexplode(caller.proacl) a
        where a.privilege_type = 'EXECUTE' and a.grantee not in (0, caller.proowner)
          and not has_table_privilege(a.grantee, n.called, 'select')
    loop
        execute v_text;
    end loop;

    -- Row-level security does not hold these, and nobody but the owner needs them. Default
    -- privileges may have given them; migrations run this again after they have made a table.
    for v_text in
        select format('revoke truncate, references, trigger on %s from %s', c.oid::regclass,
                      case when a.grantee = 0 then 'public'
                           else quote_ident(pg_get_userbyid(a.grantee)) end)
        from pg_class c
        cross join lateral aclexplode(c.relacl) a
        where c.relnamespace = quote_ident(current_schema())::regnamespace and c.relkind in ('r', 'p', 'v')
          and (c.relname like 'periodd\_%' or c.relname in (
              'billing_adjustments', 'billing_period_usage', 'billing_periods', 'feature_usage',
              'features', 'limit_overrides', 'org_alert_settings', 'org_contacts',
              'organisations', 'organizations', 'overage_entries', 'overage_packs', 'pack_offers',
              'subscription_tiers', 'tier_limits', 'usage_alerts_view', 'usage_counters',
              'usage_events', 'usage_metrics', 'user_limits', 'users'))
          and a.privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER')
          and a.grantee <> c.relowner
        group by c.oid, a.grantee
    loop
        execute v_text;
    end loop;
end
$$;
