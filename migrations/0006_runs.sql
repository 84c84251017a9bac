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
comment on table periodd_schedules is 'How far each job''s schedule has come, and who runs it now. Whoever moves a row first has the occurrence.';
comment on column periodd_schedules.job is 'The job.';
comment on column periodd_schedules.trigger is 'What starts it: schedule is its cron line, boundary the end of a period.';
comment on column periodd_schedules.line is 'The cron line and zone that the daemon last started with; null while it is switched off. A schedule whose line changed is new, and replays nothing.';
comment on column periodd_schedules.seed is 'Drawn once: makes this database''s jitter differ from that of others.';
comment on column periodd_schedules.settled is 'Every occurrence up to here has its row in periodd_runs.';
comment on column periodd_schedules.paused_at is 'Since when it is paused; null: it is not.';
comment on column periodd_schedules.pause_reason is 'Why it is paused.';
comment on column periodd_schedules.running is 'The occurrence that is running; null: none is.';
comment on column periodd_schedules.run_token is 'The token under which it was taken last.';
comment on column periodd_schedules.replica is 'Which process runs it: host and process id.';
comment on column periodd_schedules.lease_until is 'Until when nobody else may take it over, by the database''s clock.';
comment on column periodd_schedules.token is 'Moves on whenever somebody takes an occurrence. Who comes with an older one is refused.';

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
comment on table periodd_runs is 'Every run, and every occurrence of a schedule that was left out, with its reason.';
comment on column periodd_runs.id is 'Its number.';
comment on column periodd_runs.job is 'The job.';
comment on column periodd_runs.trigger is 'What started it: schedule, boundary (the end of a period) or command (a person).';
comment on column periodd_runs.occurrence is 'When it was due; null for a command.';
comment on column periodd_runs.last_occurrence is 'For skips in a row: the last of them; null where it is one.';
comment on column periodd_runs.occurrences is 'How many occurrences the row stands for.';
comment on column periodd_runs.outcome is 'running, done, failed or skipped.';
comment on column periodd_runs.reason is 'Why it was skipped: paused, overlapped (the run before it was still going) or too late.';
comment on column periodd_runs.replica is 'Which process ran or skipped it: host and process id.';
comment on column periodd_runs.token is 'The fencing token under which it runs; null for a command, which has no lease.';
comment on column periodd_runs.attempts is 'How often it was begun: once more each time that a process went away in the middle of it.';
comment on column periodd_runs.started_at is 'When it began first; null for a skip.';
comment on column periodd_runs.finished_at is 'When it ended or was skipped; null while it is going.';
comment on column periodd_runs.lateness_ms is 'Milliseconds from when it was due to when it began.';
comment on column periodd_runs.counts is 'What it did, in numbers.';
comment on column periodd_runs.error is 'Why it failed, or more about why it was skipped.';
