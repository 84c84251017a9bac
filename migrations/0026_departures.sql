-- Orgs and people that went. What is remembered of it names nobody.

-- An org whose books are kept: it is parked for good, and no function knows it any more.
alter table organizations add column removed_at timestamptz;
alter table organizations add column merged_into uuid;
comment on column organizations.removed_at is 'Time at which the org was removed; only its books are kept. Null: a customer.';
comment on column organizations.merged_into is 'The org that the removed org was merged into. Null: none.';
alter table organizations
    add constraint organizations_removed_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> removed_at) not valid;
alter table organizations drop constraint organizations_parked_code_check;
alter table organizations
    add constraint organizations_parked_code_check
        check (parked_code in ('by_hand', 'gap', 'halted', 'invalid_cycle', 'inverted_period',
                               'negative_pack', 'out_of_range', 'plan_fault',
                               'refused_by_database', 'removed', 'unknown_zone', 'unprocessable',
                               'unreadable_row')),
    add constraint organizations_removed_check
        check (removed_at is null or parked_at is not null and coalesce(parked_code, '') = 'removed');
-- A removed org is not set aside because something is wrong with it.
drop index organizations_parked_by_periodd;
create index organizations_parked_by_periodd on organizations (id)
    where parked_at is not null and parked_code is distinct from 'by_hand' and removed_at is null;
create or replace view organisations with (security_invoker = true) as select * from organizations;
create index organizations_removed on organizations (id) where removed_at is not null;
create index organizations_merged on organizations (merged_into) where merged_into is not null;

-- What a pack holds may move to another org: out of one ledger, into another.
alter table overage_entries drop constraint overage_entries_kind_check;
alter table overage_entries
    add constraint overage_entries_kind_check
        check (kind in ('granted', 'drawn', 'expired', 'refunded', 'moved'));
comment on column overage_entries.kind is 'granted, drawn (negative: returned), expired, refunded or moved (to another org).';
comment on table overage_entries is 'Ledger of packs, append-only: granted = remaining + drawn + expired + refunded + moved after every entry.';

-- Where a pack came from: its reference grants nothing a second time, wherever it is repeated.
create table periodd_moved_packs (
    org_id uuid not null references organizations (id),
    from_org uuid not null,
    from_pack uuid not null,
    from_seq integer not null check (from_seq >= 0),
    pack_id uuid,
    reference text,
    feature text not null,
    granted numeric not null default 0 check (granted >= 0),
    moved numeric not null default 0 check (moved >= 0),
    at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, from_org, from_pack, from_seq),
    constraint periodd_moved_packs_granted_range check (abs(granted) < 1e22 and granted = round(granted, 6)),
    constraint periodd_moved_packs_moved_range check (abs(moved) < 1e22 and moved = round(moved, 6)),
    constraint periodd_moved_packs_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> at),
    constraint periodd_moved_packs_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
);
create index periodd_moved_packs_reference on periodd_moved_packs (org_id, reference)
    where reference is not null;
comment on table periodd_moved_packs is 'Packs that came from another org.';
comment on column periodd_moved_packs.org_id is 'The org that has the pack now.';
comment on column periodd_moved_packs.from_org is 'The org that bought the pack.';
comment on column periodd_moved_packs.from_pack is 'The pack there.';
comment on column periodd_moved_packs.from_seq is 'The entry of the move in the ledger of that pack; of a pack that was spent, its last one.';
comment on column periodd_moved_packs.pack_id is 'The pack here. Null: it was spent, and only its reference is kept.';
comment on column periodd_moved_packs.reference is 'Reference of the purchase.';
comment on column periodd_moved_packs.feature is 'Feature that the pack covers.';
comment on column periodd_moved_packs.granted is 'Purchased quantity.';
comment on column periodd_moved_packs.moved is 'Quantity that moved.';
comment on column periodd_moved_packs.at is 'Business time of the move.';
comment on column periodd_moved_packs.recorded_at is 'Time at which the row was written.';
alter table periodd_moved_packs enable row level security;

-- Without a foreign key: it outlives the org.
create table periodd_departures (
    org_id uuid not null,
    id uuid not null default gen_random_uuid(),
    kind text not null check (kind in ('org_removed', 'org_merged', 'user_erased', 'pack_moved')),
    subject uuid,
    into_org uuid,
    with_history boolean not null default false,
    counts jsonb not null default '{}',
    at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    primary key (org_id, id),
    constraint periodd_departures_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> at),
    constraint periodd_departures_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
);
create index periodd_departures_erased on periodd_departures (org_id, subject)
    where kind = 'user_erased';
comment on table periodd_departures is 'Removed and merged orgs, erased users and moved packs: which and when, without a name or an address.';
comment on column periodd_departures.org_id is 'The org.';
comment on column periodd_departures.id is 'Id of the row.';
comment on column periodd_departures.kind is 'org_removed, org_merged, user_erased or pack_moved.';
comment on column periodd_departures.subject is 'The user or the pack. Null: the org, or an address without a user.';
comment on column periodd_departures.into_org is 'The org that a merge or a move led to.';
comment on column periodd_departures.with_history is 'Whether the books of the org were removed, too.';
comment on column periodd_departures.counts is 'Number of rows or quantity by what was done.';
comment on column periodd_departures.at is 'Business time.';
comment on column periodd_departures.recorded_at is 'Time at which the row was written.';
alter table periodd_departures enable row level security;

-- An address is looked for wherever it may be.
create index periodd_outbox_recipient on periodd_outbox (lower(recipient));
create index periodd_suppressions_email on periodd_suppressions (email);
create index periodd_unsubscribe_tokens_email on periodd_unsubscribe_tokens (email);
