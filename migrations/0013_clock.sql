-- What the clocks said when they were last believed, one row per machine and start of it; and runs
-- that are left out because the database's clock is not believed. A control table: it stays in one
-- place when the org tables are spread over machines.

create table periodd_clocks (
    boot text primary key,
    machine text not null,
    database_at timestamptz not null,
    machine_at timestamptz not null,
    awake_us bigint not null,
    expected_at timestamptz
);
comment on table periodd_clocks is 'Clock readings at the last time at which they were trusted: the progress of the database''s clock since is compared with the elapsed time.';
comment on column periodd_clocks.boot is 'Machine and boot: the time since the boot is independent of the machine''s clock.';
comment on column periodd_clocks.machine is 'Host name.';
comment on column periodd_clocks.database_at is 'Database''s clock when this machine last trusted it.';
comment on column periodd_clocks.machine_at is 'Clock of the machine at that time.';
comment on column periodd_clocks.awake_us is 'Microseconds from the boot of the machine to that time, including sleep.';
comment on column periodd_clocks.expected_at is 'Expected time there by the elapsed time, written while the database''s clock is not trusted.';
alter table periodd_clocks
    add constraint periodd_clocks_expected_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> expected_at) not valid,
    add constraint periodd_clocks_database_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> database_at) not valid,
    add constraint periodd_clocks_machine_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> machine_at) not valid;
alter table periodd_clocks enable row level security;

alter table periodd_runs drop constraint periodd_runs_reason_check;
alter table periodd_runs add constraint periodd_runs_reason_check
    check (reason in ('paused', 'overlapped', 'too late', 'clock'));
comment on column periodd_runs.reason is 'Reason for a skip: paused, overlapped (the previous run had not finished), too late or clock (the database''s clock was not trusted, or had run ahead).';
