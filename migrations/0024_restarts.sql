-- Restarts of the billing cycle.

alter table organizations add column period_tier text;
comment on column organizations.period_tier is 'Tier that the open period began with; null: unknown. A restart without a tier books the period on it.';

-- A restart ends the open period: its instant is an end among the stored ones from then on, and the
-- next rollover closes what it ends and computes the ends that follow.
alter table organizations add column restarted_at timestamptz;
alter table organizations
    add constraint organizations_restarted_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> restarted_at) not valid;
comment on column organizations.restarted_at is 'Time at which restart_billing_cycle ended a period that no rollover has closed yet; null: none.';
alter table organizations add column restarted_from text;
comment on column organizations.restarted_from is 'Tier on which the period is booked that ended at restarted_at.';
alter table organizations add column restarted_on text;
comment on column organizations.restarted_on is 'Tier that the row was on until restarted_at: what it granted counts for the ended period, too.';
alter table organizations add column restarted_tier text;
comment on column organizations.restarted_tier is 'Tier that was named with that restart, which the row is on since; null: none.';

alter table organizations add column skipped_end_date date;
alter table organizations
    add constraint organizations_skipped_end_date_range check (skipped_end_date between '0001-01-01' and '9999-12-31') not valid;
comment on column organizations.skipped_end_date is 'Local date that the end after the open period''s passes over, where a change of calendar was left to the boundary after; null: none.';

create table periodd_restarts (
    org_id uuid not null references organizations (id),
    reference text not null check (reference <> ''),
    tier text,
    at timestamptz not null,
    recorded_at timestamptz not null default now(),
    primary key (org_id, reference),
    constraint periodd_restarts_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> at),
    constraint periodd_restarts_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
);
comment on table periodd_restarts is 'Restarts of billing cycles by restart_billing_cycle with a reference, each of which counts once.';
comment on column periodd_restarts.org_id is 'The org.';
comment on column periodd_restarts.reference is 'Reference of the caller, such as the id of the payment provider''s event.';
comment on column periodd_restarts.tier is 'Tier that was named; null: none.';
comment on column periodd_restarts.at is 'Time at which the new period begins.';
comment on column periodd_restarts.recorded_at is 'Time at which the row was written.';
alter table periodd_restarts enable row level security;
