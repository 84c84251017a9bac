-- Notices beside thresholds: a row before a message, and emails about either.

create table periodd_notices (
    org_id uuid not null references organizations (id),
    id uuid not null default gen_random_uuid(),
    kind text not null
        check (kind in ('runs_out', 'pack_expires', 'subscription_ends', 'trial_ends',
                        'tier_changes', 'limit_reached_again', 'org_parked')),
    key text not null check (key <> ''),
    state text not null default 'notified'
        check (state in ('notified', 'covered', 'waiting', 'recorded', 'withdrawn', 'expired')),
    feature text not null default '',
    facts text,
    until timestamptz not null default '9999-12-31 00:00:00+00',
    decided_at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, id),
    unique (org_id, kind, key),
    constraint periodd_notices_until_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> until),
    constraint periodd_notices_decided_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> decided_at),
    constraint periodd_notices_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
);
comment on table periodd_notices is 'Notices beside crossed thresholds: each once per org, kind and key.';
comment on column periodd_notices.org_id is 'The org.';
comment on column periodd_notices.id is 'Id of the notice.';
comment on column periodd_notices.kind is 'Kind of notice, as in [notices] of the configuration.';
comment on column periodd_notices.key is 'Occasion of the notice, such as a pack, its end and the days before it.';
comment on column periodd_notices.state is 'notified: emails were queued; covered: included in another notice; waiting: for a recipient; recorded: transport none; withdrawn: it no longer holds; expired: no recipient in time.';
comment on column periodd_notices.feature is 'Feature of the notice; empty: it is about the org.';
comment on column periodd_notices.facts is 'Contents as JSON; null: included in another notice.';
comment on column periodd_notices.until is 'Time from which the notice is too late: no emails are sent after it.';
comment on column periodd_notices.decided_at is 'Business time of the decision.';
comment on column periodd_notices.recorded_at is 'Time at which the row was written.';
create index periodd_notices_until on periodd_notices (until, org_id);
create index periodd_notices_waiting on periodd_notices (until, org_id) where state = 'waiting';
alter table periodd_notices enable row level security;

-- An email is about a crossed threshold or about a notice.
alter table periodd_outbox add column notice uuid;
alter table periodd_outbox add column kind text not null default 'threshold';
alter table periodd_outbox alter column threshold drop not null;
alter table periodd_outbox
    add constraint periodd_outbox_subject_check
    check ((threshold is null) = (notice is not null)
           and (kind = 'threshold') = (notice is null));
alter table periodd_outbox
    add constraint periodd_outbox_notice_key unique (org_id, notice, recipient);
comment on column periodd_outbox.notice is 'The notice; null: the email is about a threshold.';
comment on column periodd_outbox.kind is 'threshold, or the kind of the notice.';
comment on column periodd_outbox.threshold is 'Threshold of the alert, in percent; null: the email is about a notice.';
comment on column periodd_outbox.feature is 'Feature of the alert or notice; empty: the notice is about the org.';
comment on column periodd_outbox.period_start is 'Start of the period of the alert; for a notice, its decision.';
comment on column periodd_outbox.period_end is 'End of the period of the alert, or time from which the notice is too late: an unsent email is given up then.';

-- Levels above 100 percent remind of a limit that was exceeded.
alter table periodd_alerts drop constraint periodd_alerts_threshold_check;
alter table periodd_alerts
    add constraint periodd_alerts_threshold_check
    check (threshold between 1 and 250);
alter table periodd_outbox drop constraint periodd_outbox_threshold_check;
alter table periodd_outbox
    add constraint periodd_outbox_threshold_check
    check (threshold between 1 and 250);
-- Limits that were reached.
create index periodd_alerts_reached on periodd_alerts (period_end, org_id) where threshold >= 100;

-- Orgs whose tier or subscription changes at a boundary to come.
create index organizations_changing on organizations (current_period_end, id)
    where parked_at is null
      and (period_day_ends is not null or next_subscription_tier is not null);
