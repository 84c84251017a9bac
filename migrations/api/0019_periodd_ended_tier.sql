-- The owner's rights are lent for this one row: views that show an org what it may use run with
-- their reader's.
create or replace function periodd_ended_tier() returns text
language sql stable parallel safe security definer
begin atomic
    select f.value from periodd_facts f where f.name = 'ended_tier';
end;
comment on function periodd_ended_tier is 'Tier after the end of a subscription, as configured.';
