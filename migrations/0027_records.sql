-- Records for finance: in which order rows are exported, which closes an invoice run took, and the
-- prices that stay with what was sold.

-- Positions rise as rows are inserted, and transactions commit in another order: an export waits for
-- the transactions that may still bring a lower one (src/store/exports/settled.rs). They come from
-- sequences and not from transaction ids, which a restored database counts from the beginning.
alter table billing_periods add column export_position bigint not null generated always as identity;
comment on column billing_periods.export_position is 'Place of the close in exports; rises with every insert.';
create index billing_periods_position on billing_periods (export_position);
alter table overage_packs add column export_position bigint not null generated always as identity;
comment on column overage_packs.export_position is 'Place of the pack in exports; rises with every insert.';
create index overage_packs_position on overage_packs (export_position);
alter table overage_entries add column export_position bigint not null generated always as identity;
comment on column overage_entries.export_position is 'Place of the entry in exports; rises with every insert.';
create index overage_entries_position on overage_entries (export_position);
alter table billing_adjustments add column export_position bigint not null generated always as identity;
comment on column billing_adjustments.export_position is 'Place of the adjustment in exports; rises with every insert.';
create index billing_adjustments_position on billing_adjustments (export_position);

-- A hand-over is a range of positions, which begins where the one before it ends: so each row belongs
-- to one at most, and to hand a million closes over is to write one row.
create table periodd_hand_overs (
    kind text not null check (kind in ('closes', 'packs', 'ledger', 'adjustments')),
    name text not null check (name <> ''),
    follows bigint,
    up_to bigint not null,
    handed_over_at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    primary key (kind, name),
    unique (kind, up_to),
    check (up_to > coalesce(follows, 0)),
    -- One follows each, and one is the first.
    constraint periodd_hand_overs_first unique nulls not distinct (kind, follows),
    foreign key (kind, follows) references periodd_hand_overs (kind, up_to),
    constraint periodd_hand_overs_handed_over_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> handed_over_at),
    constraint periodd_hand_overs_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
);
comment on table periodd_hand_overs is 'Ranges of exported rows that were handed over by name. Ranges of a kind touch: each row is handed over once.';
comment on column periodd_hand_overs.kind is 'closes, packs, ledger or adjustments.';
comment on column periodd_hand_overs.name is 'Name of the hand-over, such as that of an invoice run.';
comment on column periodd_hand_overs.follows is 'Last position of the previous hand-over; null: the first one.';
comment on column periodd_hand_overs.up_to is 'Last position that was handed over.';
comment on column periodd_hand_overs.handed_over_at is 'Business time of the hand-over.';
comment on column periodd_hand_overs.recorded_at is 'Time at which the row was written.';
alter table periodd_hand_overs enable row level security;

-- Prices. What was sold keeps its own, whatever is on sale later.
alter table overage_packs
    add column price_cents bigint check (price_cents >= 0),
    add column currency text check (currency ~ '^[A-Z]{3}$'),
    add constraint overage_packs_price_check check ((price_cents is null) = (currency is null));
comment on column overage_packs.price_cents is 'Price of the whole pack in hundredths of the currency; null: unknown.';
comment on column overage_packs.currency is 'Currency of the price.';
alter table tier_limits
    add column uncovered_price_cents numeric check (uncovered_price_cents >= 0),
    add constraint tier_limits_uncovered_price_cents_range check (abs(uncovered_price_cents) < 1e22 and uncovered_price_cents = round(uncovered_price_cents, 6));
comment on column tier_limits.uncovered_price_cents is 'Price of an uncovered unit in hundredths of the currency of the tier; null: none.';
alter table billing_periods
    add column uncovered_prices numeric[] check (0 <= all (uncovered_prices)),
    add column currency text check (currency ~ '^[A-Z]{3}$'),
    add constraint billing_periods_prices_check check ((uncovered_prices is null) = (currency is null) and cardinality(uncovered_prices) = cardinality(features)),
    add constraint billing_periods_uncovered_prices_range check (case when cardinality(uncovered_prices) = 0 then true when array_ndims(uncovered_prices) > 1 then false else 1e22 > all (uncovered_prices) and -1e22 < all (uncovered_prices) and uncovered_prices::text !~ '\.\d{6}\d*[1-9]' end);
comment on column billing_periods.uncovered_prices is 'Price of an uncovered unit of each feature at the close, in hundredths of the currency; null: none.';
comment on column billing_periods.currency is 'Currency of the prices.';
