-- What ran, what is running and what was left out; and how far each schedule has come. Control
-- tables: they stay in one place when the org tables are spread over machines.

create table periodd_schedules (
    job text not null,
    trigger text not null check (trigger in ('schedule', 'boundary')),
    line text,
    seed bigint not null,
    settled timestamptz not null,
    paused_at timestamptz,
    pause_reason text,
    running timestamptz,
    run_token bigint,
    replica text,
    lease_until timestamptz,
    token bigint not null default 0,
    primary key (job, trigger),
    check ((paused_at is null) = (pause_reason is null)),
    check ((running is null) = (lease_until is null)),
    check ((running is null) = (replica is null)),
    check ((running is null) = (run_token is null)),
    constraint periodd_schedules_settled_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> settled),
    constraint periodd_schedules_paused_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> paused_at),
    constraint periodd_schedules_running_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> running),
    constraint periodd_schedules_lease_until_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> lease_until)
);
comment on table periodd_schedules is 'Progress of every schedule, and the process that runs it now. The first process to update the row gets the occurrence.';
comment on column periodd_schedules.job is 'The job.';
comment on column periodd_schedules.trigger is 'Trigger: schedule (its cron expression) or boundary (the end of a period).';
comment on column periodd_schedules.line is 'Cron expression and zone at the last start of the daemon; null: disabled. A schedule with a changed expression counts as new and catches nothing up.';
comment on column periodd_schedules.seed is 'Random number, drawn once: databases differ in their jitter.';
comment on column periodd_schedules.settled is 'Every occurrence up to this time has its row in periodd_runs.';
comment on column periodd_schedules.paused_at is 'Time at which the schedule was paused; null: not paused.';
comment on column periodd_schedules.pause_reason is 'Reason for the pause.';
comment on column periodd_schedules.running is 'Running occurrence; null: none.';
comment on column periodd_schedules.run_token is 'Fencing token of the running occurrence.';
comment on column periodd_schedules.replica is 'Process that runs it: host and process id.';
comment on column periodd_schedules.lease_until is 'End of the lease, by the database''s clock; another process may take over afterwards.';
comment on column periodd_schedules.token is 'Fencing token, raised whenever an occurrence is taken; older tokens are refused.';
alter table periodd_schedules enable row level security;

create table periodd_runs (
    id bigint generated always as identity primary key,
    job text not null,
    trigger text not null check (trigger in ('schedule', 'boundary', 'command')),
    occurrence timestamptz,
    last_occurrence timestamptz,
    occurrences bigint not null default 1 check (occurrences > 0),
    outcome text not null check (outcome in ('running', 'done', 'failed', 'skipped')),
    reason text check (reason in ('paused', 'overlapped', 'too late', 'clock')),
    replica text not null,
    token bigint,
    attempts integer not null default 1 check (attempts > 0),
    started_at timestamptz,
    finished_at timestamptz,
    lateness_ms bigint,
    counts jsonb,
    error text,
    check ((trigger = 'command') = (occurrence is null)),
    check ((outcome = 'skipped') = (reason is not null)),
    check ((outcome = 'running') = (finished_at is null)),
    check (last_occurrence >= occurrence),
    constraint periodd_runs_occurrence_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> occurrence),
    constraint periodd_runs_last_occurrence_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> last_occurrence),
    constraint periodd_runs_started_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> started_at),
    constraint periodd_runs_finished_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> finished_at)
);
-- An occurrence runs once or is skipped once, whoever comes to it.
create unique index periodd_runs_occurrence on periodd_runs (job, trigger, occurrence)
    where occurrence is not null;
create index periodd_runs_job on periodd_runs (job, id);
create index periodd_runs_finished on periodd_runs (finished_at);
comment on table periodd_runs is 'All runs, and all skipped occurrences with their reasons.';
comment on column periodd_runs.id is 'Number of the run.';
comment on column periodd_runs.job is 'The job.';
comment on column periodd_runs.trigger is 'Trigger: schedule, boundary (the end of a period) or command (a person).';
comment on column periodd_runs.occurrence is 'Time at which the run was due; null for a command.';
comment on column periodd_runs.last_occurrence is 'Last occurrence of consecutive skips; null: a single occurrence.';
comment on column periodd_runs.occurrences is 'Number of occurrences in this row.';
comment on column periodd_runs.outcome is 'running, done, failed or skipped.';
comment on column periodd_runs.reason is 'Reason for a skip: paused, overlapped (the previous run had not finished), too late or clock (the database''s clock was not trusted, or had run ahead).';
comment on column periodd_runs.replica is 'Process that ran or skipped it: host and process id.';
comment on column periodd_runs.token is 'Fencing token of the run; null for a command, which has no lease.';
comment on column periodd_runs.attempts is 'Number of starts: one more after each process that was lost during the run.';
comment on column periodd_runs.started_at is 'Time of the first start; null for a skip.';
comment on column periodd_runs.finished_at is 'Time of the end or of the skip; null while running.';
comment on column periodd_runs.lateness_ms is 'Delay of the first start, in milliseconds.';
comment on column periodd_runs.counts is 'Counts of the work done.';
comment on column periodd_runs.error is 'Error of a failed run, or details of a skip.';
alter table periodd_runs enable row level security;

create table periodd_daemons (
    replica text primary key,
    version text not null,
    started_at timestamptz not null,
    seen_at timestamptz not null,
    stopped_at timestamptz,
    config_file text,
    config_digest text,
    listening text[] not null default '{}',
    constraint periodd_daemons_started_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> started_at),
    constraint periodd_daemons_seen_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> seen_at),
    constraint periodd_daemons_stopped_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> stopped_at)
);
comment on table periodd_daemons is 'Daemons of this database, each with its last heartbeat.';
comment on column periodd_daemons.replica is 'Process: host and process id.';
comment on column periodd_daemons.version is 'Version of the program.';
comment on column periodd_daemons.started_at is 'Time of the start.';
comment on column periodd_daemons.seen_at is 'Time of the last heartbeat, by the clock of the database.';
comment on column periodd_daemons.stopped_at is 'Time of a regular stop; null: none.';
comment on column periodd_daemons.config_file is 'Configuration file; null: none.';
comment on column periodd_daemons.config_digest is 'SHA-256 of that file as it was read, in hexadecimal.';
comment on column periodd_daemons.listening is 'Addresses and sockets of its HTTP server; empty: none.';
alter table periodd_daemons enable row level security;

create table periodd_clocks (
    boot text primary key,
    machine text not null,
    database_at timestamptz not null,
    machine_at timestamptz not null,
    awake_us bigint not null,
    expected_at timestamptz,
    constraint periodd_clocks_expected_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> expected_at),
    constraint periodd_clocks_database_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> database_at),
    constraint periodd_clocks_machine_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> machine_at)
);
comment on table periodd_clocks is 'Clock readings at the last time at which they were trusted: the progress of the database''s clock since is compared with the elapsed time.';
comment on column periodd_clocks.boot is 'Machine and boot: the time since the boot is independent of the machine''s clock.';
comment on column periodd_clocks.machine is 'Host name.';
comment on column periodd_clocks.database_at is 'Database''s clock when this machine last trusted it.';
comment on column periodd_clocks.machine_at is 'Clock of the machine at that time.';
comment on column periodd_clocks.awake_us is 'Microseconds from the boot of the machine to that time, including sleep.';
comment on column periodd_clocks.expected_at is 'Expected time there by the elapsed time, written while the database''s clock is not trusted.';
alter table periodd_clocks enable row level security;

create table periodd_facts (
    name text primary key,
    value text not null
);
comment on table periodd_facts is 'Facts about this database, such as the newest tz database release that was used.';
comment on column periodd_facts.name is 'Name of the fact.';
comment on column periodd_facts.value is 'Value of the fact.';
alter table periodd_facts enable row level security;
-- The functions foresee what a rollover will do when a subscription has ended. `db migrate` and
-- every rollover write here what the configuration says ([rollover] ended_tier); until then it is
-- what the shipped configuration says.
insert into periodd_facts (name, value) values ('ended_tier', 'free');

create table periodd_api (
    name text primary key,
    checksum bytea not null,
    applied_at timestamptz not null default now(),
    constraint periodd_api_applied_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> applied_at)
);
comment on table periodd_api is 'Texts of the functions, views and rights that were applied.';
comment on column periodd_api.name is 'Name of the text.';
comment on column periodd_api.checksum is 'Checksum of the text; a changed text is applied again.';
comment on column periodd_api.applied_at is 'Time at which the text was last applied.';
alter table periodd_api enable row level security;

-- periodd makes it before the first migration, and a database that psql fills has none.
alter table if exists periodd_migrations
    add constraint periodd_migrations_applied_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> applied_at) not valid;
