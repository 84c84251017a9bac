-- Orgs in the middle of their period, each with one user; the limit of the third is used up by a test.
insert into tier_limits (tier, feature, included)
values ('pro', 'scrapes', 5), ('pro', 'minutes_transcribed', 600), ('pro', 'ai_messages', 100)
on conflict (tier, feature) do update set included = excluded.included;
insert into organizations (id, slug, name, time_zone, subscription_tier)
values ('00000000-0000-4000-8000-00000000000a', 'acme', 'Acme', 'Europe/Berlin', 'pro'),
       ('00000000-0000-4000-8000-00000000000b', 'borea', 'Borea', 'America/New_York', 'pro'),
       ('00000000-0000-4000-8000-00000000000c', 'cedar', 'Cedar', 'Asia/Beirut', 'pro');
insert into users (id, organization_id, email)
values ('00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-00000000000a', 'ann@acme.example'),
       ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-00000000000b', 'bob@borea.example'),
       ('00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-00000000000c', 'cat@cedar.example');
-- What the pictures of emails and pages show.
insert into pack_offers (code, feature, quantity, price_cents, currency)
values ('audio-100', 'minutes_transcribed', 100, 900, 'EUR');
