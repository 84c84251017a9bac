-- Whose run it was: what people set off for one org is found from that org.

alter table periodd_runs add column org_id uuid;
comment on column periodd_runs.org_id is 'The only org of the run; null: of several, or of all.';
create index periodd_runs_org on periodd_runs (org_id, id) where org_id is not null;
