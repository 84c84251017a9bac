-- What an org was granted while it used something: a limit that falls within a period does not reach
-- back. A counter remembers what was included when somebody last looked, for an application lowers
-- a tier with a plain update, and nobody else hears of it.

alter table usage_counters
    add column included_at_least numeric not null default 0,
    add column included_seen numeric,
    add constraint usage_counters_included_at_least_range check (included_at_least >= 0 and included_at_least < 1e22 and included_at_least = round(included_at_least, 6)) not valid,
    add constraint usage_counters_included_seen_range check (included_seen >= 0 and included_seen < 1e22 and included_seen = round(included_seen, 6)) not valid;
comment on column usage_counters.included_at_least is 'Included in this period at least, whatever is granted: what had been used within a limit that has fallen since.';
comment on column usage_counters.included_seen is 'Included quantity that was last seen, the largest number for unlimited; null: never. A limit below it has fallen, and what is used within it stays included.';
