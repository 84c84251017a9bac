-- Databases that were there before: what `db import` replaced, so that it can be put back.

create table periodd_imports (
    id integer primary key,
    applied_at timestamptz not null default now(),
    tables text[] not null default '{}',
    indexes text[] not null default '{}',
    views text[] not null default '{}',
    foreign_keys text[] not null default '{}',
    after_sql text not null default '',
    legacy_dropped_at timestamptz
);
comment on table periodd_imports is 'What db import adopted; the replaced tables stay as NAME_legacy until db import --drop-legacy.';
comment on column periodd_imports.id is 'The import''s number.';
comment on column periodd_imports.applied_at is 'When it was applied.';
comment on column periodd_imports.tables is 'The tables that were replaced, by their former names.';
comment on column periodd_imports.indexes is 'The indexes that were renamed, by their former names.';
comment on column periodd_imports.views is 'Statements that make the views again that were in the way.';
comment on column periodd_imports.foreign_keys is 'Statements that point foreign keys of other tables at the replaced ones again.';
comment on column periodd_imports.after_sql is 'The query that adds up what was imported, for db verify.';
comment on column periodd_imports.legacy_dropped_at is 'When the replaced tables were dropped; null: they are there.';
alter table periodd_imports enable row level security;

create table periodd_import_sums (
    import integer not null,
    org_id uuid not null,
    feature text not null,
    period_start timestamptz,
    amount numeric not null default 0
        check (amount > '-Infinity' and amount < 'Infinity' and amount = round(amount, 6)),
    unique (import, org_id, feature, period_start)
);
comment on table periodd_import_sums is 'What the replaced tables held, per org, feature and period: db verify adds up what became of it.';
comment on column periodd_import_sums.import is 'The import.';
comment on column periodd_import_sums.org_id is 'The org.';
comment on column periodd_import_sums.feature is 'The feature.';
comment on column periodd_import_sums.period_start is 'The period, by its start; null for metrics, which bring their own instants; -infinity for everything of the feature, added up row by row.';
comment on column periodd_import_sums.amount is 'How much.';
alter table periodd_import_sums enable row level security;
