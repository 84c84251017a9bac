//! A session that may do no more than anybody may tries to have its own code run with the rights of
//! the tables' owner: everything that it can make by the names that our functions use lies in its
//! temporary schema, which it searches first.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::api::{Customer, customer};
use crate::support::{TestDatabase, server};

/// The SQLSTATE of foreign code that notices that it runs as somebody else than who made it.
const FOREIGN: &str = "ZZ001";

/// Says so, and lets everything through that runs as the session itself.
const SPY: &str = "
    create function pg_temp.spy() returns pg_catalog.bool language plpgsql as $$
    begin
        if current_user <> session_user then
            raise exception 'foreign code runs as %', current_user using errcode = 'ZZ001';
        end if;
        return true;
    end $$;
    set search_path = pg_catalog, pg_temp;";

/// Statements that make a thing of every name that counts, as the catalogue has them: the session
/// writes them itself, with nothing but what everybody may read.
const ARMS: [&str; 5] = [
    // A view for each table and view, of ours and of the catalogue: whoever looks at a column looks
    // at it through the spy.
    "select format('create view pg_temp.%I as select %s where pg_temp.spy()', c.relname,
                   (select string_agg(format('case when pg_temp.spy() then null::%s end as %I',
                                             format_type(a.atttypid, null), a.attname),
                                      ', ' order by a.attnum)
                    from pg_attribute a
                    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                      and not exists (select from pg_type t
                                      where t.oid = a.atttypid and t.typtype = 'p')))
     from pg_class c
     where c.relkind in ('r', 'p', 'v')
       and c.relnamespace in ('public'::regnamespace, 'pg_catalog'::regnamespace)",
    // A function for each of ours, and for each of the catalogue that ours name. Where one takes
    // anything, two of them that fit what ours have are made.
    "with bodies as (
         select string_agg(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), ' ') as text
         from pg_proc p where p.pronamespace = 'public'::regnamespace),
     wanted as (
         select distinct p.proname, f.arguments
         from pg_proc p, bodies b,
              unnest(array['timestamptz', 'numeric', 'text', 'uuid']) as element,
              lateral (select coalesce(string_agg(
                           case format_type(t.oid, null)
                               when 'anyarray' then element || '[]'
                               when 'anycompatiblearray' then element || '[]'
                               when 'anyelement' then element
                               when 'anycompatible' then element
                               when 'any' then element
                               else format_type(t.oid, null) end, ', ' order by t.place), '')
                       from unnest(p.proargtypes) with ordinality as t (oid, place)) f (arguments)
         where p.prokind in ('f', 'a')
           and (p.pronamespace = 'public'::regnamespace
                or p.pronamespace = 'pg_catalog'::regnamespace
                   and b.text ~* ('\\m' || p.proname || '\\M')))
     select format('create function pg_temp.%I(%s) returns text language plpgsql as
                    ''begin perform pg_temp.spy(); return null; end''', proname, arguments)
     from wanted where arguments !~ '\\m(internal|cstring|any|record|trigger)\\M'",
    // An operator for each between the types that our functions work with.
    "select format('create function pg_temp.operator_%s(%s, %s) returns %s language plpgsql as
                    ''begin perform pg_temp.spy(); return null; end''; ', o.oid, l.name, r.name,
                   format_type(o.oprresult, null))
            || format('create operator pg_temp.%s (leftarg = %s, rightarg = %s,
                                                   function = pg_temp.operator_%s)',
                      o.oprname, l.name, r.name, o.oid)
     from pg_operator o,
          lateral (select format_type(o.oprleft, null)) l (name),
          lateral (select format_type(o.oprright, null)) r (name)
     where o.oprnamespace = 'pg_catalog'::regnamespace
       and o.oprleft::regtype::text in (select t from unnest($1::text[]) t)
       and o.oprright::regtype::text in (select t from unnest($1::text[]) t)
       and o.oprname not in ('=>', '<>')",
    // A cast of each name: a domain whose every value is looked at.
    "select format('create domain pg_temp.%I as pg_catalog.%I check (pg_temp.spy())', t.typname,
                   t.typname)
     from pg_type t
     where t.typnamespace = 'pg_catalog'::regnamespace and t.typtype in ('b', 'e', 'r', 'm')
       and t.typelem = 0 and t.typname !~ '^_'
       -- What the statements of this very test are made of.
       and t.typname not in ('unknown')",
    // Other names that types are called by. (A record, say, is no type that a check could be in.)
    "select format('create domain pg_temp.%I as pg_catalog.%s check (pg_temp.spy())', alias, real)
     from (values ('bigint', 'int8'), ('integer', 'int4'), ('int', 'int4'), ('boolean', 'bool'),
                  ('decimal', 'numeric')) as names (alias, real)",
];

/// Statements for whoever may create in the schema of ours: for each function of the catalogue that
/// ours name, and for each operator, one that fits arguments better than the catalogue's own does.
/// A search path does not help there, for the best fit wins wherever it lies.
const OVERLOADS: [&str; 3] = [
    // A function that takes just what another takes as anything.
    "with bodies as (
         select string_agg(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), ' ') as text
         from pg_proc p where p.pronamespace = 'public'::regnamespace)
     select distinct case when p.prokind = 'a'
         then format('create aggregate public.%I(%s) (sfunc = public.spied_%s, stype = %s[])',
                     p.proname, element, replace(element, ' ', '_'), element)
         else format('create function public.%I(%s) returns %s language plpgsql as
                          ''begin perform public.spy(); return null; end''',
                     p.proname, f.arguments,
                     case format_type(p.prorettype, null)
                         when 'anyarray' then element || '[]'
                         when 'anycompatiblearray' then element || '[]'
                         when 'anyelement' then element
                         else format_type(p.prorettype, null) end) end
     from pg_proc p, bodies b,
          unnest(array['timestamp with time zone', 'numeric', 'text', 'uuid']) as element,
          lateral (select string_agg(
                       case format_type(t.oid, null)
                           when 'anyarray' then element || '[]'
                           when 'anycompatiblearray' then element || '[]'
                           when 'anyelement' then element
                           when 'anynonarray' then element
                           when 'anycompatible' then element
                           else format_type(t.oid, null) end, ', ' order by t.place)
                   from unnest(p.proargtypes) with ordinality as t (oid, place)) f (arguments)
     where p.prokind in ('f', 'a') and p.pronamespace = 'pg_catalog'::regnamespace
       and exists (select from unnest(p.proargtypes) t (oid)
                   where t.oid::regtype::text like 'any%')
       and (p.prokind = 'f' or cardinality(p.proargtypes) = 1)
       and b.text ~* ('\\m' || p.proname || '\\M')
       and f.arguments !~ '\\m(internal|cstring|any|record|anyrange|anyenum)\\M'",
    // A function that takes a number as it is written.
    "with bodies as (
         select string_agg(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), ' ') as text
         from pg_proc p where p.pronamespace = 'public'::regnamespace)
     select format('create function public.%I(%s) returns %s language plpgsql as
                        ''begin perform public.spy(); return null; end''',
                   p.proname, f.arguments, format_type(p.prorettype, null))
     from pg_proc p, bodies b,
          lateral (select string_agg(case when t.oid = 'numeric'::regtype then 'integer'
                                          else format_type(t.oid, null) end,
                                     ', ' order by t.place)
                   from unnest(p.proargtypes) with ordinality as t (oid, place)) f (arguments)
     where p.prokind = 'f' and p.pronamespace in ('pg_catalog'::regnamespace,
                                                  'public'::regnamespace)
       and 'numeric'::regtype = any (p.proargtypes::oid[])
       and b.text ~* ('\\m' || p.proname || '\\M')
       and not p.proretset
       and f.arguments !~ '\\m(internal|cstring|any|record)\\M'
       and not exists (select from pg_proc q
                       where q.proname = p.proname and q.pronamespace = p.pronamespace
                         and pg_get_function_identity_arguments(q.oid) = f.arguments)",
    // An operator between types for which the catalogue has none of its own.
    "select format('create function public.operator_%s_%s_%s(%s, %s) returns %s language plpgsql as
                        ''begin perform public.spy(); return null; end''; ',
                   n.place, l.place, r.place, l.name, r.name, n.result)
            || format('create operator public.%s (leftarg = %s, rightarg = %s,
                                                 function = public.operator_%s_%s_%s)',
                      n.name, l.name, r.name, n.place, l.place, r.place)
     from unnest(array['<', '<=', '=', '<>', '>', '>=', '+', '-', '*', '/', '||'],
                 array['boolean', 'boolean', 'boolean', 'boolean', 'boolean', 'boolean', 'numeric',
                       'numeric', 'numeric', 'numeric', ''])
              with ordinality as o (name, kind, place)
     cross join unnest($1::text[]) with ordinality as l (name, place)
     cross join unnest($1::text[]) with ordinality as r (name, place)
     cross join lateral (select o.name, o.place, case when o.kind <> '' then o.kind
                                                      when l.name like '%[]' then l.name
                                                      else 'text' end as result) n
     where not exists (select from pg_operator p
                       where p.oprname = n.name and p.oprnamespace = 'pg_catalog'::regnamespace
                         and format_type(p.oprleft, null) = l.name
                         and format_type(p.oprright, null) = r.name)",
];

/// What the aggregates among them are made of.
const SPIED: &str = "
    create function public.spy() returns boolean language plpgsql as $$
    begin
        if current_user <> session_user then
            raise exception 'foreign code runs as %', current_user using errcode = 'ZZ001';
        end if;
        return true;
    end $$;
    create function public.spied_numeric(numeric[], numeric) returns numeric[]
        language plpgsql as 'begin perform public.spy(); return $1 || $2; end';
    create function public.spied_text(text[], text) returns text[]
        language plpgsql as 'begin perform public.spy(); return $1 || $2; end';
    create function public.spied_uuid(uuid[], uuid) returns uuid[]
        language plpgsql as 'begin perform public.spy(); return $1 || $2; end';
    create function public.spied_timestamp_with_time_zone(timestamptz[], timestamptz)
        returns timestamptz[]
        language plpgsql as 'begin perform public.spy(); return $1 || $2; end';";

const TYPES: [&str; 12] = [
    "text",
    "uuid",
    "numeric",
    "timestamp with time zone",
    "jsonb",
    "boolean",
    "bigint",
    "integer",
    "name",
    "interval",
    "oid",
    "timestamp with time zone[]",
];

/// A database with the situations in which functions go different ways.
struct Field {
    test: TestDatabase,
    customers: Vec<Customer>,
}

impl Field {
    async fn new() -> Self {
        let test = TestDatabase::new().await;
        test.periodd(&["db", "migrate", "--with-roles"]).exits(0);
        test.sql("insert into tier_limits values ('pro', 'scrapes', 1000), ('free', 'scrapes', 5)")
            .await;
        let plain = customer(&test, "plain").await;
        let late = customer(&test, "late").await;
        let parked = customer(&test, "parked").await;
        for Customer { org, .. } in [plain, late, parked] {
            test.sql(&format!(
                "select grant_overage_pack('{org}', 'scrapes', 5, 'a', now() - interval '1 second',
                                           now() - interval '3 days');
                 select grant_overage_pack('{org}', 'scrapes', 5, 'b');
                 update organizations set current_period_start = now() - interval '5 days'
                 where id = '{org}'"
            ))
            .await;
        }
        test.sql(&format!(
            "update organizations
             set current_period_end = now() - interval '1 hour',
                 subscription_ends_at = now() - interval '2 hours',
                 next_period_ends = array[now() + interval '20 days', now() + interval '50 days']
             where id = '{}';
             update organizations set parked_at = now(), parked_reason = 'x' where id = '{}';
             insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             select id, 'Scrapes', 7, now() - interval '3 hours' from organizations",
            late.org, parked.org
        ))
        .await;
        Self { test, customers: vec![plain, late, parked] }
    }

    /// A role that logs in, and is a member of what is named.
    async fn role(&self, member_of: &str) -> String {
        let role = format!("hostile_{}", Uuid::new_v4().simple());
        self.test.sql(&format!("create role {role} login")).await;
        if !member_of.is_empty() {
            self.test.sql(&format!("grant {member_of} to {role}")).await;
        }
        role
    }

    async fn connect(&self, role: &str) -> PgConnection {
        let url = format!("postgresql:///{}?host={}&user={role}", self.test.name, server());
        PgConnection::connect(&url).await.expect("the role may connect")
    }

    /// Every function that there is, called as it may be: with named arguments that make sense.
    /// Those that lend their owner's rights come last: what they call has been compiled by then,
    /// under the session's own names if it lets them in.
    async fn calls(&self, customer: Customer) -> Vec<String> {
        let functions = self
            .test
            .rows(
                "select p.proname, a.name, format_type(a.type, null)
                 from pg_proc p
                 left join lateral (
                     select n.name, t.type, n.place
                     from unnest(p.proargnames) with ordinality as n (name, place)
                     join unnest(p.proargtypes) with ordinality as t (type, place)
                          using (place)) a on true
                 where p.pronamespace = 'public'::regnamespace
                 order by p.prosecdef, p.oid, a.place",
            )
            .await;
        let mut calls: Vec<(String, Vec<String>)> = Vec::new();
        for line in functions {
            let (function, argument) = line.split_once(' ').expect("a name");
            if calls.last().is_none_or(|(name, _)| name != function) {
                calls.push((function.to_owned(), Vec::new()));
            }
            let Some((argument, kind)) = argument.split_once(' ').filter(|(name, _)| *name != "-")
            else {
                continue;
            };
            let value = match argument {
                "p_user_id" => customer.user.to_string(),
                "p_org_id" | "p_id" | "p_first" | "p_last" => customer.org.to_string(),
                "p_kind" => "pack.granted".to_owned(),
                "p_kinds" => "{pack.granted,pack.granted}".to_owned(),
                "p_payloads" => "{\"{}\",\"{}\"}".to_owned(),
                "p_parts" => "{a,b}".to_owned(),
                "p_before" => "none".to_owned(),
                "p_seqs" | "p_generations" | "p_thresholds" => "{1,1}".to_owned(),
                "p_feature" => "Scrapes".to_owned(),
                "p_tier" => "pro".to_owned(),
                "p_amount" | "p_quantity" | "p_used" | "p_allowance" | "p_included" | "p_drawn"
                | "p_usable" | "p_granted" | "p_at_least" | "p_seen" | "p_value" | "p_seq" => {
                    "1".to_owned()
                }
                "p_pack_or_reference" => "b".to_owned(),
                "p_is_granted" | "p_is_partial" | "p_is_internal" => "true".to_owned(),
                // New keys; and orgs and packs that are not there, so that nobody is lost before
                // the other calls.
                "p_idempotency_key" | "p_reference" | "p_key" | "p_from_org_id"
                | "p_into_org_id" | "p_pack_id" => Uuid::new_v4().to_string(),
                "p_timezone" => "Europe/Berlin".to_owned(),
                "p_at" | "p_now" | "p_used_at" | "p_since" | "p_purchased_at"
                | "p_period_start" | "p_set_at" => "now".to_owned(),
                "p_start" | "p_open_start" | "p_from" => "yesterday".to_owned(),
                "p_end" | "p_open_end" | "p_expires_at" | "p_until" => "tomorrow".to_owned(),
                "p_next_ends" | "p_payload" => "{}".to_owned(),
                "p_features" if function == "periodd_adds_up" => "{scrapes}".to_owned(),
                "p_used_each" | "p_included_each" | "p_drawn_each" | "p_uncovered_each" => {
                    "{0}".to_owned()
                }
                "p_anchor_time" => "14:32:10".to_owned(),
                "p_name" => "SCRAPES".to_owned(),
                "p_events" => {
                    let org = customer.org;
                    format!(
                        "[{{\"org_id\": \"{org}\", \"feature\": \"Scrapes\", \"amount\": 1}},
                              {{\"org_id\": \"{org}\", \"feature\": \"Scrapes\", \"amount\": 0}}]"
                    )
                }
                "p_org_ids" | "p_ids" | "p_pack_ids" => format!("{{{0},{0}}}", customer.org),
                "p_user_ids" => format!("{{{0},{0}}}", customer.user),
                "p_features" => "{Scrapes,scrapes}".to_owned(),
                "p_amounts" => "{1,0}".to_owned(),
                "p_used_ats" | "p_ats" | "p_starts" => "{now,now}".to_owned(),
                "p_keys" => format!("{{{},null}}", Uuid::new_v4()),
                "p_token" => "f".repeat(64),
                "p_email" => "nobody@example.com".to_owned(),
                "p_with_history" => "false".to_owned(),
                other => panic!("{function}: say here what {other} is given"),
            };
            let kind = match kind.strip_suffix("[]") {
                Some(element) => format!("pg_catalog.{}[]", short(element)),
                None => format!("pg_catalog.{}", short(kind)),
            };
            let value = format!("{argument} => '{value}'::{kind}");
            calls.last_mut().expect("a function").1.push(value);
        }
        assert!(calls.len() > 15, "{calls:?}");
        let call = |(name, values): &(String, Vec<String>)| {
            format!("select * from public.{name}({})", values.join(", "))
        };
        calls.iter().map(call).collect()
    }

    /// Arms a session, and calls everything. Returns the calls in which foreign code noticed that
    /// it had another's rights, and how many got through at all.
    async fn attacked_by(&self, role: &str) -> (Vec<String>, usize) {
        let mut connection = self.connect(role).await;
        run(&mut connection, SPY).await.expect("anybody may make temporary things");
        for (place, arms) in ARMS.into_iter().enumerate() {
            let query = sqlx::query_scalar(arms);
            let query = if arms.contains("$1") { query.bind(TYPES.to_vec()) } else { query };
            let made: Vec<String> = query.fetch_all(&mut connection).await.expect("a catalogue");
            let mut count = 0;
            for statement in &made {
                count += usize::from(run(&mut connection, statement).await.is_ok());
            }
            // What stands in the way of some (a name of a pseudo-type, say) is nothing of ours.
            assert!(count * 10 > made.len() * 8, "{place}: {count} of {} were made", made.len());
        }
        let path = "set search_path = pg_temp, pg_catalog, public";
        run(&mut connection, path).await.expect("a search path");
        let mut foreign = Vec::new();
        let mut through = 0;
        for customer in &self.customers {
            let who = format!("set app.user_id = '{}'", customer.user);
            run(&mut connection, &who).await.expect("an identity");
            let mut calls = self.calls(*customer).await;
            for relation in ["usage_alerts_view", "organizations", "usage_metrics", "overage_packs"]
            {
                calls.push(format!("select * from public.{relation}"));
            }
            for call in calls {
                match run(&mut connection, &call).await {
                    Err(code) if code == FOREIGN => foreign.push(call),
                    Err(_) => {}
                    Ok(()) => through += 1,
                }
            }
        }
        (foreign, through)
    }

    /// Everything that may be called, as each customer's user.
    async fn all_calls(&self) -> Vec<(Uuid, Vec<String>)> {
        let mut all = Vec::new();
        for customer in &self.customers {
            all.push((customer.user, self.calls(*customer).await));
        }
        all
    }

    /// Makes all those calls in a session of the role's own. Returns what became of each.
    async fn called_by(
        &self,
        role: &str,
        calls: &[(Uuid, Vec<String>)],
    ) -> Vec<(String, Result<(), String>)> {
        let mut connection = self.connect(role).await;
        let mut outcomes = Vec::new();
        for (user, calls) in calls {
            let who = format!("set app.user_id = '{user}'");
            run(&mut connection, &who).await.expect("an identity");
            for call in calls {
                outcomes.push((call.clone(), run(&mut connection, call).await));
            }
        }
        outcomes
    }

    /// Has the role make whatever fits the arguments better than what the catalogue has. Returns
    /// how many of these there are.
    async fn overloaded_by(&self, role: &str) -> usize {
        let mut connection = self.connect(role).await;
        run(&mut connection, SPIED).await.expect("it may create in the schema");
        let types = [&TYPES[..], &["numeric[]", "text[]"]].concat();
        let mut made = Vec::new();
        for overloads in OVERLOADS {
            let query = sqlx::query_scalar::<_, String>(overloads);
            let query = if overloads.contains("$1") { query.bind(types.clone()) } else { query };
            made.extend(query.fetch_all(&mut connection).await.expect("a catalogue"));
        }
        let mut count = 0;
        for statement in &made {
            count += usize::from(run(&mut connection, statement).await.is_ok());
        }
        assert!(count * 10 > made.len() * 9, "{count} of {} were made", made.len());
        count
    }
}

/// A type's name as the catalogue keeps it: nothing in it that a temporary type could be called.
fn short(kind: &str) -> &str {
    match kind {
        "timestamp with time zone" => "timestamptz",
        "time without time zone" => "time",
        other => other,
    }
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<(), String> {
    let run = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(connection).await;
    run.map(drop).map_err(|error| {
        let error = error.into_database_error().expect("the database's own refusal");
        error.code().expect("an SQLSTATE").into_owned()
    })
}

#[tokio::test]
async fn nothing_that_a_session_makes_runs_with_the_owners_rights() {
    let field = Field::new().await;
    for member_of in ["", "periodd_app", "periodd_member"] {
        let role = field.role(member_of).await;
        let (foreign, through) = field.attacked_by(&role).await;
        assert_eq!(foreign, Vec::<String>::new(), "as {role}, of {member_of:?}");
        // The functions do their work beside all that.
        let expected = if member_of.is_empty() { 3 } else { 20 };
        assert!(through >= expected, "as {role}, of {member_of:?}: {through} calls got through");
    }
}

#[tokio::test]
async fn a_path_that_leaves_the_temporary_schema_to_be_searched_first_is_noticed() {
    for (fault, caught) in [
        ("alter function periodd_caller() set search_path = pg_catalog", "periodd_member"),
        ("alter function get_current_usage_stats(uuid) set search_path = public", "periodd_app"),
        (
            "alter function increment_feature_usage(uuid, text, numeric, text)
                 set search_path = public",
            "periodd_app",
        ),
        (
            "alter function periodd_foreseen(uuid, text, timestamptz) set search_path = public",
            "periodd_member",
        ),
        ("alter function periodd_allowances set search_path = public", "periodd_member"),
    ] {
        let field = Field::new().await;
        field.test.sql(fault).await;
        let role = field.role(caught).await;
        let (foreign, _) = field.attacked_by(&role).await;
        assert!(!foreign.is_empty(), "nobody noticed: {fault}");
    }
}

#[tokio::test]
async fn who_may_create_in_the_schema_has_nothing_run_with_the_owners_rights() {
    for member_of in ["periodd_app", "periodd_member"] {
        let field = Field::new().await;
        field.test.sql("grant create on schema public to public").await;
        let role = field.role(member_of).await;
        let calls = field.all_calls().await;
        let before = field.called_by(&role, &calls).await;
        let count = field.overloaded_by(&role).await;
        assert!(count > 800, "{count} overloads");
        let after = field.called_by(&role, &calls).await;
        let moved: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
        assert!(moved.is_empty(), "as a member of {member_of}: {moved:#?}");
        let through = after.iter().filter(|(_, outcome)| outcome.is_ok()).count();
        assert!(through >= 15, "{through} calls got through");
    }
}
