-- The functions foresee what a rollover will do when a subscription has ended. `db migrate` and
-- every rollover write here what the configuration says ([rollover] ended_tier); until then it is
-- what the shipped configuration says.
insert into periodd_facts (name, value) values ('ended_tier', 'free')
on conflict (name) do nothing;
