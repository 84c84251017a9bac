-- Features that do not reset, orgs without a period's end, and orgs that pause.

alter table features add column kind text not null default 'metered'
    check (kind in ('metered', 'level'));
comment on column features.kind is 'metered: usage begins at zero in every period; level: it carries over, such as storage or seats.';

-- Its periods end at 9999-12-31 23:59:59.999999+00, the last instant that there is.
alter table organizations drop constraint organizations_cycle_check;
alter table organizations add constraint organizations_cycle_check
    check (cycle in ('monthly', 'quarterly', 'semiannual', 'yearly', 'weekly', 'daily', 'none'));
comment on column organizations.cycle is 'Billing cycle: monthly, quarterly, semiannual, yearly, weekly, daily or none.';
comment on column organizations.current_period_end is 'End of the open period (exclusive); the period is due once it has passed. 9999-12-31 23:59:59.999999+00: it never ends (cycle none).';

alter table organizations add column paused_from timestamptz;
alter table organizations add column paused_until timestamptz;
alter table organizations add column pause_reason text;
alter table organizations
    add constraint organizations_paused_from_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> paused_from) not valid;
alter table organizations
    add constraint organizations_paused_until_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> paused_until or paused_until = 'infinity') not valid;
alter table organizations add constraint organizations_paused_check check (paused_until >= paused_from);
comment on column organizations.paused_from is 'Start of the last pause: increments are refused, and periods within it include nothing; null: never paused.';
comment on column organizations.paused_until is 'End of that pause (exclusive); null: until it is resumed.';
comment on column organizations.pause_reason is 'Reason for that pause, as a sentence.';

create or replace view organisations with (security_invoker = true) as select * from organizations;

alter table billing_periods add column is_paused boolean not null default false;
comment on column billing_periods.is_paused is 'Whether a pause covered the whole period: nothing was included, and no pack paid.';

-- A level that is set again with the same key stays as it is.
create table periodd_level_keys (
    org_id uuid not null references organizations (id),
    idempotency_key text not null check (idempotency_key <> ''),
    feature text not null,
    level numeric not null check (level >= 0),
    set_at timestamptz not null default now(),
    primary key (org_id, idempotency_key),
    constraint periodd_level_keys_level_range check (abs(level) < 1e22 and level = round(level, 6)),
    constraint periodd_level_keys_set_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> set_at)
);
comment on table periodd_level_keys is 'Idempotency keys of levels that were set: a repeated key sets nothing.';
comment on column periodd_level_keys.org_id is 'The org.';
comment on column periodd_level_keys.idempotency_key is 'The key.';
comment on column periodd_level_keys.feature is 'The feature.';
comment on column periodd_level_keys.level is 'The level.';
comment on column periodd_level_keys.set_at is 'When it was set.';
alter table periodd_level_keys enable row level security;
