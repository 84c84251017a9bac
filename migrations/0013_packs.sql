-- Packs: overage that was bought, and the ledger behind it.

create table overage_packs (
    id uuid not null default gen_random_uuid(),
    org_id uuid not null references organizations (id),
    feature text not null references features (feature),
    quantity numeric not null default 0 check (quantity >= 0),
    remaining numeric,
    purchased_at timestamptz not null default now(),
    expires_at timestamptz,
    reference text,
    entries integer not null default 0 check (entries >= 0),
    primary key (org_id, id),
    unique (org_id, reference),
    check (expires_at > purchased_at),
    constraint overage_packs_quantity_range check (abs(quantity) < 1e22 and quantity = round(quantity, 6)),
    constraint overage_packs_remaining_range check (abs(remaining) < 1e22 and remaining = round(remaining, 6)),
    constraint overage_packs_purchased_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> purchased_at),
    constraint overage_packs_expires_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> expires_at or expires_at = 'infinity')
)
with (fillfactor = 80);
comment on table overage_packs is 'Purchased overage. A pack survives rollovers until it is drawn, expires or is refunded.';
comment on column overage_packs.id is 'Id of the pack.';
comment on column overage_packs.org_id is 'The org that bought the pack.';
comment on column overage_packs.feature is 'Feature that the pack covers.';
comment on column overage_packs.quantity is 'Purchased quantity.';
comment on column overage_packs.remaining is 'Remaining quantity; null in a row that was inserted without it: all of it.';
comment on column overage_packs.purchased_at is 'Time from which the pack can be used.';
comment on column overage_packs.expires_at is 'Time from which the pack can no longer be used; null: it never expires.';
comment on column overage_packs.reference is 'Reference of the purchase; a repeated reference grants once.';
comment on column overage_packs.entries is 'Number of its ledger entries; 0 in a row that periodd has not processed yet.';
-- Packs that can still pay.
create index overage_packs_holding on overage_packs (org_id) where remaining <> 0;
-- Packs that expire and still hold something.
create index overage_packs_expiring on overage_packs (expires_at, org_id)
    where remaining > 0 and expires_at is not null;
-- Packs whose time has come, whether they hold something or not.
create index overage_packs_ending on overage_packs (expires_at, org_id) where expires_at is not null;
-- Packs that an application inserted and periodd has not entered in the ledger yet.
create index overage_packs_unseen on overage_packs (org_id) where entries = 0;
alter table overage_packs enable row level security;

create table overage_entries (
    org_id uuid not null,
    pack_id uuid not null,
    seq integer not null check (seq > 0),
    kind text not null check (kind in ('granted', 'drawn', 'expired', 'refunded')),
    quantity numeric not null default 0,
    at timestamptz not null default now(),
    period_start timestamptz,
    remaining numeric not null default 0 check (remaining >= 0),
    recorded_at timestamptz not null default now(),
    primary key (org_id, pack_id, seq),
    foreign key (org_id, pack_id) references overage_packs (org_id, id),
    constraint overage_entries_quantity_range check (abs(quantity) < 1e22 and quantity = round(quantity, 6)),
    constraint overage_entries_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> at),
    constraint overage_entries_period_start_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> period_start),
    constraint overage_entries_remaining_range check (abs(remaining) < 1e22 and remaining = round(remaining, 6)),
    constraint overage_entries_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
);
comment on table overage_entries is 'Ledger of packs, append-only: granted = remaining + drawn + expired + refunded after every entry.';
comment on column overage_entries.org_id is 'The org that bought the pack.';
comment on column overage_entries.pack_id is 'The pack.';
comment on column overage_entries.seq is 'Number of the entry in the ledger of its pack, from 1.';
comment on column overage_entries.kind is 'granted, drawn (negative: returned), expired or refunded.';
comment on column overage_entries.quantity is 'Quantity; negative for a returned draw.';
comment on column overage_entries.at is 'Business time of the entry.';
comment on column overage_entries.period_start is 'Start of the period of a draw.';
comment on column overage_entries.remaining is 'Remaining quantity of the pack after the entry.';
comment on column overage_entries.recorded_at is 'Time at which the row was written.';
-- What a period has drawn already.
create index overage_entries_drawn on overage_entries (org_id, period_start) where kind = 'drawn';
-- What was refunded, by when it was written down.
create index overage_entries_refunded on overage_entries (recorded_at, org_id) where kind = 'refunded';
alter table overage_entries enable row level security;

-- Beside the ledger and not in it: most entries are draws of rollovers, which have no key.
create table periodd_refund_keys (
    org_id uuid not null,
    idempotency_key text not null check (idempotency_key <> ''),
    pack_id uuid not null,
    seq integer not null,
    asked numeric check (asked >= 0 and asked < 'Infinity' and asked = round(asked, 6)),
    primary key (org_id, idempotency_key),
    foreign key (org_id, pack_id, seq) references overage_entries (org_id, pack_id, seq),
    constraint periodd_refund_keys_asked_range check (abs(asked) < 1e22 and asked = round(asked, 6))
);
comment on table periodd_refund_keys is 'Idempotency keys of refunds: a repeated key refunds once.';
comment on column periodd_refund_keys.org_id is 'The org.';
comment on column periodd_refund_keys.idempotency_key is 'The key.';
comment on column periodd_refund_keys.pack_id is 'The refunded pack.';
comment on column periodd_refund_keys.seq is 'The entry of the refund in the ledger of the pack.';
comment on column periodd_refund_keys.asked is 'The requested quantity; null: all that could be refunded.';
alter table periodd_refund_keys enable row level security;
