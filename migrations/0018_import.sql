-- Databases that were there before: what `db import` replaced, so that it can be put back.

create table periodd_imports (
    id integer primary key,
    applied_at timestamptz not null default now(),
    tables text[] not null default '{}',
    indexes text[] not null default '{}',
    views text[] not null default '{}',
    foreign_keys text[] not null default '{}',
    after_sql text,
    legacy_dropped_at timestamptz,
    constraint periodd_imports_applied_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> applied_at),
    constraint periodd_imports_legacy_dropped_at_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> legacy_dropped_at)
);
comment on table periodd_imports is 'Imports by db import; the replaced tables stay as NAME_legacy until db import --drop-legacy.';
comment on column periodd_imports.id is 'Number of the import.';
comment on column periodd_imports.applied_at is 'Time of the import.';
comment on column periodd_imports.tables is 'Former names of the replaced tables.';
comment on column periodd_imports.indexes is 'Former names of the renamed indexes.';
comment on column periodd_imports.views is 'Statements that recreate the views that had to be dropped.';
comment on column periodd_imports.foreign_keys is 'Statements that point the foreign keys of other tables at the replaced tables again.';
comment on column periodd_imports.after_sql is 'Query for the sums of the imported rows, for db verify; null: none were imported.';
comment on column periodd_imports.legacy_dropped_at is 'Time at which the replaced tables were dropped; null: they exist.';
alter table periodd_imports enable row level security;

create table periodd_import_sums (
    import integer not null,
    org_id uuid not null,
    feature text not null,
    amount numeric not null default 0,
    is_period boolean not null,
    since timestamptz not null,
    primary key (import, org_id, feature, is_period, since),
    constraint periodd_import_sums_since_range check ('[0001-01-01 00:00:00+00,9999-12-31 23:59:59.999999+00]'::tstzrange @> since),
    constraint periodd_import_sums_amount_range check (abs(amount) < 1e22 and amount = round(amount, 6))
);
comment on table periodd_import_sums is 'Sums of the replaced tables per org and feature, by period and by calendar month; db verify compares them with the imported rows.';
comment on column periodd_import_sums.import is 'The import.';
comment on column periodd_import_sums.org_id is 'The org.';
comment on column periodd_import_sums.feature is 'The feature.';
comment on column periodd_import_sums.amount is 'Quantity.';
comment on column periodd_import_sums.is_period is 'True: sum of a period, as counters were merged; false: sum of a calendar month by the original rows'' own times.';
comment on column periodd_import_sums.since is 'Start of the period or month.';
alter table periodd_import_sums enable row level security;

create table periodd_import_ids (
    kind text not null,
    former_id text not null,
    id uuid not null,
    primary key (kind, former_id)
);
comment on table periodd_import_ids is 'UUIDs of imported orgs, users and metrics whose ids were not UUIDs.';
comment on column periodd_import_ids.kind is 'Kind of id: organizations, users, or the name of a table of metrics.';
comment on column periodd_import_ids.former_id is 'Former id, as text; a generated text for metrics without an id.';
comment on column periodd_import_ids.id is 'UUID that replaces it: version 5, from kind and former id.';
create index periodd_import_ids_id on periodd_import_ids (id);
alter table periodd_import_ids enable row level security;
