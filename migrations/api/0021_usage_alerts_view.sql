create or replace view usage_alerts_view with (security_invoker = true) as
select s.org_id, s.slug, s.name, s.feature, s.used, s.allowance,
       periodd_percent(s.used, s.allowance) as percent,
       case when s.used * 100 >= s.allowance * 100 then 100
            when s.used * 100 >= s.allowance * 90 then 90
            else 80 end as level,
       s.period_start, s.period_end
from (
    select o.id as org_id, o.slug, o.name, c.feature, c.used, c.period_start, c.period_end,
           case when a.is_granted and a.period_start = c.period_start then a.allowance end
               as allowance
    from usage_counters c
    join organizations o on o.id = c.org_id
    cross join lateral periodd_limit(c.org_id, c.feature, now()) a
    where c.period_start <= now() and c.period_end > now() and c.used > 0
      and not periodd_is_paused(o.paused_from, o.paused_until, now())
      -- A level that is yet to be carried over is shown once it has been.
      and case when c.period_start > o.current_period_start
               then periodd_carried(c.org_id, c.feature, c.period_start) is null else true end) s
where s.used * 100 >= s.allowance * 80;
comment on view usage_alerts_view is 'Orgs at 80, 90 or 100 percent of their allowance in the current period, but for paused ones.';
