-- Packs: overage that was bought, and the ledger behind it.

create table overage_packs (
    id uuid not null default gen_random_uuid(),
    org_id uuid not null references organizations (id),
    feature text not null references features (feature),
    quantity numeric not null default 0
        check (quantity >= 0 and quantity < 'Infinity' and quantity = round(quantity, 6)),
    remaining numeric
        check (remaining > '-Infinity' and remaining < 'Infinity' and remaining = round(remaining, 6)),
    purchased_at timestamptz not null default now(),
    expires_at timestamptz,
    reference text,
    entries integer not null default 0 check (entries >= 0),
    primary key (org_id, id),
    unique (org_id, reference),
    check (expires_at > purchased_at)
)
with (fillfactor = 80);
comment on table overage_packs is 'Overage that an org bought. It survives every rollover until it is drawn, expires or is refunded.';
comment on column overage_packs.id is 'The pack''s id.';
comment on column overage_packs.org_id is 'Who bought it.';
comment on column overage_packs.feature is 'What it pays for.';
comment on column overage_packs.quantity is 'How much was bought.';
comment on column overage_packs.remaining is 'How much is left; null in a row inserted without it: all.';
comment on column overage_packs.purchased_at is 'From when it is usable.';
comment on column overage_packs.expires_at is 'From when it is no longer usable; null: never.';
comment on column overage_packs.reference is 'The buyer''s reference; the same one grants once.';
comment on column overage_packs.entries is 'How many entries its ledger has; 0 in a row that periodd has not seen yet.';
-- Packs that can still pay.
create index overage_packs_holding on overage_packs (org_id) where remaining <> 0;
-- Packs that expire and still hold something.
create index overage_packs_expiring on overage_packs (expires_at, org_id)
    where remaining > 0 and expires_at is not null;
-- Packs that an application inserted and periodd has not entered in the ledger yet.
create index overage_packs_unseen on overage_packs (org_id) where entries = 0;

create table overage_entries (
    org_id uuid not null,
    pack_id uuid not null,
    seq integer not null check (seq > 0),
    kind text not null check (kind in ('granted', 'drawn', 'expired', 'refunded')),
    quantity numeric not null default 0
        check (quantity > '-Infinity' and quantity < 'Infinity' and quantity = round(quantity, 6)),
    at timestamptz not null default now(),
    period_start timestamptz,
    remaining numeric not null default 0
        check (remaining >= 0 and remaining < 'Infinity' and remaining = round(remaining, 6)),
    recorded_at timestamptz not null default now(),
    primary key (org_id, pack_id, seq),
    foreign key (org_id, pack_id) references overage_packs (org_id, id)
);
comment on table overage_entries is 'The append-only ledger of packs: granted = remaining + drawn + expired + refunded, at every prefix.';
comment on column overage_entries.org_id is 'Who bought the pack.';
comment on column overage_entries.pack_id is 'The pack.';
comment on column overage_entries.seq is 'The entry''s place in the pack''s ledger, from 1 on.';
comment on column overage_entries.kind is 'granted, drawn (negative: given back), expired or refunded.';
comment on column overage_entries.quantity is 'How much; negative for a draw that was given back.';
comment on column overage_entries.at is 'The moment in business time.';
comment on column overage_entries.period_start is 'Start of the period that a draw belongs to.';
comment on column overage_entries.remaining is 'What the pack held afterwards.';
comment on column overage_entries.recorded_at is 'When the entry was written.';
-- What a period has drawn already.
create index overage_entries_drawn on overage_entries (org_id, period_start) where kind = 'drawn';
