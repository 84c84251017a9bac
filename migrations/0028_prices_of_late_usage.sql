-- The price of late usage stays with it, as that of a close does; a hand-over that found nothing is a
-- hand-over; and whoever asks how things are sees the orgs that are paused.

alter table billing_adjustments add column uncovered_price_cents numeric;
alter table billing_adjustments add column currency text;
alter table billing_adjustments add column keeps_price boolean not null default false;
alter table billing_adjustments
    add constraint billing_adjustments_uncovered_price_cents_range check (abs(uncovered_price_cents) < 1e22 and uncovered_price_cents = round(uncovered_price_cents, 6)) not valid;
alter table billing_adjustments
    add constraint billing_adjustments_uncovered_price_cents_check check (uncovered_price_cents >= 0);
alter table billing_adjustments
    add constraint billing_adjustments_currency_check check (currency ~ '^[A-Z]{3}$');
alter table billing_adjustments
    add constraint billing_adjustments_price_check check ((uncovered_price_cents is null) = (currency is null) and (keeps_price or currency is null));
comment on column billing_adjustments.uncovered_price_cents is 'Price of an uncovered unit in hundredths of the currency; null: none.';
comment on column billing_adjustments.currency is 'Currency of the price.';
comment on column billing_adjustments.keeps_price is 'Whether the price was kept when the adjustment was written. False: it is the price that periodd_closed_price finds.';

-- The close keeps the prices of what was not used by then, too: usage of it may come late.
alter table billing_periods add column unused_features text[];
alter table billing_periods add column unused_prices numeric[];
alter table billing_periods
    add constraint billing_periods_unused_prices_range check (case when cardinality(unused_prices) = 0 then true when array_ndims(unused_prices) > 1 then false else 1e22 > all (unused_prices) and -1e22 < all (unused_prices) and unused_prices::text !~ '\.\d{6}\d*[1-9]' end) not valid;
alter table billing_periods
    add constraint billing_periods_unused_prices_check check (0 <= all (unused_prices));
alter table billing_periods
    add constraint billing_periods_unused_check check (cardinality(unused_features) = cardinality(unused_prices));
comment on column billing_periods.unused_features is 'Features with a price on the tier of which nothing was used by the close; null: nobody kept them.';
comment on column billing_periods.unused_prices is 'Price of an uncovered unit of each of these, in hundredths of the currency; null: there is none of them.';

create table periodd_empty_hand_overs (
    kind text not null check (kind in ('closes', 'packs', 'ledger', 'adjustments')),
    name text not null check (name <> ''),
    up_to bigint not null,
    handed_over_at timestamptz not null default now(),
    recorded_at timestamptz not null default now(),
    primary key (kind, name),
    constraint periodd_empty_hand_overs_handed_over_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> handed_over_at),
    constraint periodd_empty_hand_overs_recorded_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> recorded_at)
);
comment on table periodd_empty_hand_overs is 'Hand-overs that found nothing: repeated, they are as empty.';
comment on column periodd_empty_hand_overs.kind is 'closes, packs, ledger or adjustments.';
comment on column periodd_empty_hand_overs.name is 'Name of the hand-over, such as that of an invoice run.';
comment on column periodd_empty_hand_overs.up_to is 'Last position that had been handed over by then; 0: none.';
comment on column periodd_empty_hand_overs.handed_over_at is 'Business time of the hand-over.';
comment on column periodd_empty_hand_overs.recorded_at is 'Time at which the row was written.';
alter table periodd_empty_hand_overs enable row level security;

create index organizations_paused on organizations (paused_from, id) where paused_from is not null;
