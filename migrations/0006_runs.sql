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
    check ((running is null) = (run_token is null))
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

create table periodd_runs (
    id bigint generated always as identity primary key,
    job text not null,
    trigger text not null check (trigger in ('schedule', 'boundary', 'command')),
    occurrence timestamptz,
    last_occurrence timestamptz,
    occurrences bigint not null default 1 check (occurrences > 0),
    outcome text not null check (outcome in ('running', 'done', 'failed', 'skipped')),
    reason text check (reason in ('paused', 'overlapped', 'too late')),
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
    check (last_occurrence >= occurrence)
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
comment on column periodd_runs.reason is 'Reason for a skip: paused, overlapped (the previous run had not finished) or too late.';
comment on column periodd_runs.replica is 'Process that ran or skipped it: host and process id.';
comment on column periodd_runs.token is 'Fencing token of the run; null for a command, which has no lease.';
comment on column periodd_runs.attempts is 'Number of starts: one more after each process that was lost during the run.';
comment on column periodd_runs.started_at is 'Time of the first start; null for a skip.';
comment on column periodd_runs.finished_at is 'Time of the end or of the skip; null while running.';
comment on column periodd_runs.lateness_ms is 'Delay of the first start, in milliseconds.';
comment on column periodd_runs.counts is 'Counts of the work done.';
comment on column periodd_runs.error is 'Error of a failed run, or details of a skip.';

create table periodd_daemons (
    replica text primary key,
    version text not null,
    started_at timestamptz not null,
    seen_at timestamptz not null,
    stopped_at timestamptz,
    config_file text,
    config_digest text
);
comment on table periodd_daemons is 'Daemons of this database, each with its last heartbeat.';
comment on column periodd_daemons.replica is 'Process: host and process id.';
comment on column periodd_daemons.version is 'Version of the program.';
comment on column periodd_daemons.started_at is 'Time of the start.';
comment on column periodd_daemons.seen_at is 'Time of the last heartbeat, by the clock of the database.';
comment on column periodd_daemons.stopped_at is 'Time of a regular stop; null: none.';
comment on column periodd_daemons.config_file is 'Configuration file; null: none.';
comment on column periodd_daemons.config_digest is 'SHA-256 of that file as it was read, in hexadecimal.';
