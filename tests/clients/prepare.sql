-- What an application has beside periodd, and what a Supabase project has before it.
-- Supabase's roles neither log in nor inherit; the API logs in as `authenticator` and becomes one of them.
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;
grant usage on schema public to anon, authenticated, service_role;
