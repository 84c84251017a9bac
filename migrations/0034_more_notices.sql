-- Summaries of closed periods, limits of users, and purchases without a pack, as notices.

alter table periodd_notices drop constraint periodd_notices_kind_check;
alter table periodd_notices
    add constraint periodd_notices_kind_check
    check (kind in ('runs_out', 'pack_expires', 'subscription_ends', 'trial_ends', 'tier_changes',
                    'limit_reached_again', 'summary', 'user_limit', 'org_parked',
                    'purchase_without_pack'));
comment on column periodd_notices.state is 'notified: emails were queued; covered: included in another notice; waiting: for a recipient; recorded: transport none, or nobody is to hear of it by email; withdrawn: it no longer holds; expired: no recipient in time.';

alter table org_contacts drop constraint org_contacts_kinds_check;
alter table org_contacts
    add constraint org_contacts_kinds_check
    check (kinds <@ array['threshold', 'runs_out', 'pack_expires', 'subscription_ends',
                          'trial_ends', 'tier_changes', 'limit_reached_again', 'summary']);

-- What one user is warned by. No user is named by a key: applications delete users as they like.
create table user_limits (
    organization_id uuid not null references organizations (id),
    user_id uuid not null,
    feature text not null references features (feature),
    included numeric not null check (included >= 0),
    primary key (organization_id, user_id, feature),
    constraint user_limits_included_range check (abs(included) < 1e22 and included = round(included, 6))
);
comment on table user_limits is 'Limits of single users within their org, at whose thresholds the user is warned. Nothing is refused by them.';
comment on column user_limits.organization_id is 'The org.';
comment on column user_limits.user_id is 'The user.';
comment on column user_limits.feature is 'The feature.';
comment on column user_limits.included is 'What the user is to use at most per period.';
alter table user_limits enable row level security;
