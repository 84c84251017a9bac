//! Who may see and move what: a trusted server everything, an end user what concerns them.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::api::{Customer, customer, refusal};
use crate::support::{TestDatabase, server};

/// A database with two tenants that have a row in every table, and a role of each kind. Roles are
/// the server's: each test has its own.
struct House {
    test: TestDatabase,
    acme: Customer,
    other: Customer,
    app: String,
    member: String,
}

impl House {
    async fn new() -> Self {
        let test = TestDatabase::new().await;
        let unique = Uuid::new_v4().simple();
        let (app, member) = (format!("server_{unique}"), format!("Web_{unique}"));
        test.sql(&format!("create role {app} login; create role \"{member}\" login")).await;
        let (to_app, to_member) = (format!("app={app}"), format!("member={member}"));
        test.periodd(&["db", "migrate", "--with-roles", "--grant", &to_app, "--grant", &to_member])
            .exits(0);
        test.sql("insert into tier_limits values ('pro', 'scrapes', 10), ('pro', 'sms_sent', 1)")
            .await;
        let acme = customer(&test, "acme").await;
        let other = customer(&test, "other").await;
        for Customer { org, user } in [acme, other] {
            test.sql(&format!(
                "insert into org_contacts values ('{org}', 'b@example.com', null);
                 insert into limit_overrides values ('{org}', 'scrapes', 12);
                 insert into user_limits values ('{org}', '{user}', 'scrapes', 5);
                 select grant_overage_pack('{org}', 'scrapes', 5, 'r');
                 select record_usage('{org}', 'scrapes', 11, '{user}');
                 insert into billing_periods
                         (org_id, period_start, period_end, features, used_each, included_each,
                          drawn_each, uncovered_each)
                     select id, current_period_start - interval '1 month', current_period_start,
                            '{{scrapes}}', '{{0}}', '{{null}}', '{{0}}', '{{0}}'
                     from organizations where id = '{org}';
                 insert into billing_adjustments (org_id, feature, period_start, seq, kind)
                     select org_id, 'scrapes', period_start, 1, 'late' from billing_periods
                     where org_id = '{org}';"
            ))
            .await;
        }
        Self { test, acme, other, app, member }
    }

    async fn connect(&self, role: &str) -> PgConnection {
        let url = format!("postgresql:///{}?host={}&user={role}", self.test.name, server());
        PgConnection::connect(&url).await.expect("the role may connect")
    }

    /// Every table and view, with what a member has of it: nothing, the org's, or everybody's.
    async fn relations(&self) -> Vec<String> {
        self.test
            .rows(
                "select relname from pg_class
                 where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v')
                 order by 1",
            )
            .await
    }
}

/// A batch of one event.
fn batch(org: Uuid) -> serde_json::Value {
    serde_json::json!([{ "org_id": org, "feature": "scrapes", "amount": 1 }])
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<u64, String> {
    let run = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(connection).await;
    run.map(|done| done.rows_affected()).map_err(|error| {
        let error = error.into_database_error().expect("the database's own refusal");
        error.code().expect("an SQLSTATE").into_owned()
    })
}

async fn count(connection: &mut PgConnection, query: &str) -> Option<i64> {
    let count = sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned()));
    count.fetch_one(connection).await.ok()
}

/// What a connection says of whom it carries, and whether that is the user of `other`.
fn identities(house: &House) -> Vec<(String, bool)> {
    let (acme, other) = (house.acme, house.other);
    let claims = |sub: &str| format!("set request.jwt.claims = '{{\"sub\": \"{sub}\"}}'");
    vec![
        (String::new(), false),
        ("set app.user_id = ''".to_owned(), false),
        (format!("set app.user_id = '{}'", other.user), true),
        (claims(&other.user.to_string()), true),
        (format!("set request.jwt.claim.sub = '{}'", other.user), true),
        // An org's id is no user's, nor is what is no id at all.
        (format!("set app.user_id = '{}'", acme.org), false),
        (format!("set app.user_id = '{}'", Uuid::new_v4()), false),
        ("set app.user_id = ''' or true --'".to_owned(), false),
        (format!("set app.user_id = '{},{}'", other.user, acme.user), false),
        (format!("set request.jwt.claims = '{{\"sub\": [\"{}\"]}}'", acme.user), false),
        (format!("set request.jwt.claims = '{{\"user\": \"{}\"}}'", acme.user), false),
        // The first that says something is believed, and not the next that says something better.
        (format!("set app.user_id = '{}'; {}", other.user, claims(&acme.user.to_string())), true),
        (format!("set app.user_id = 'me'; {}", claims(&acme.user.to_string())), false),
    ]
}

/// Calls that would have somebody go, or a pack.
fn departures(acme: Customer, other: Customer) -> Vec<String> {
    vec![
        format!("remove_org('{}', true)", acme.org),
        format!("remove_org('{}', true)", other.org),
        format!("erase_user('{}')", acme.user),
        format!("erase_user('{}')", other.user),
        "erase_user(p_email => 'b@example.com')".to_owned(),
        format!("merge_orgs('{}', '{}')", acme.org, other.org),
        format!("move_overage_pack('{}', 'r', '{}')", acme.org, other.org),
        format!("periodd_carry_pack('{0}', '{0}', 1, '{1}', now())", acme.org, other.org),
    ]
}

/// Nothing of acme's can be seen or moved by this role, whoever it says it is.
#[expect(clippy::too_many_lines, reason = "lists of calls")]
async fn holds_out(house: &House, role: &str) {
    let before = house.test.contents().await;
    let (acme, other) = (house.acme, house.other);
    for (identity, is_other) in identities(house) {
        let mut connection = house.connect(role).await;
        run(&mut connection, &identity).await.expect("anybody may say who they are");
        for relation in house.relations().await {
            for secret in [acme.org.to_string(), acme.user.to_string(), "acme".to_owned()] {
                let seen = format!(
                    "select count(*) from {relation} t where to_json(t)::text like '%{secret}%'"
                );
                let seen = count(&mut connection, &seen).await;
                assert_eq!(seen.unwrap_or_default(), 0, "{relation} as {identity:?}");
            }
            let column = house
                .test
                .rows(&format!(
                    "select quote_ident(attname) from pg_attribute
                     where attrelid = '{relation}'::regclass and attnum = 1"
                ))
                .await;
            for change in [
                format!("update {relation} set {column} = {column}", column = column[0]),
                format!("delete from {relation}"),
                format!("insert into {relation} select * from {relation}"),
                format!("truncate {relation}"),
            ] {
                let moved = run(&mut connection, &change).await;
                assert!(!matches!(moved, Ok(1..)), "{change} as {identity:?}: {moved:?}");
                if let Err(code) = moved {
                    assert!(
                        ["42501", "428C9", "55000", "42809", "0A000"].contains(&&*code),
                        "{change}: {code}"
                    );
                }
            }
        }
        for call in [
            format!("increment_usage_if_allowed('{}')", acme.user),
            format!("increment_feature_usage('{}', 'scrapes')", acme.user),
            format!("get_current_usage_stats('{}')", acme.user),
            format!("increment_org_usage('{}', 'scrapes')", acme.org),
            format!("restart_billing_cycle('{}')", acme.org),
            format!("increment_org_usage('{}', 'scrapes')", other.org),
            "increment_usage_if_allowed(null)".to_owned(),
            format!("record_usage('{}', 'scrapes', 1)", acme.org),
            format!("record_usage('{}', 'scrapes', 1)", other.org),
            format!("record_usage_batch('{}')", batch(acme.org)),
            format!("record_usage_batch('{}')", batch(other.org)),
            format!(
                "periodd_record_batch('{{{}}}', '{{scrapes}}', '{{1}}', null, null, null,
                                      false, true)",
                acme.org
            ),
            format!("set_usage_level('{}', 'scrapes', 1)", acme.org),
            format!("grant_overage_pack('{}', 'scrapes', 1, 'mine')", acme.org),
            format!("grant_overage_pack('{}', 'scrapes', 1, 'mine')", other.org),
            format!("refund_overage_pack('{}', 'theirs')", acme.org),
            format!("refund_overage_pack('{}', 'theirs')", other.org),
        ]
        .into_iter()
        .chain(departures(acme, other))
        {
            let done = run(&mut connection, &format!("select * from {call}")).await;
            let code = done.expect_err("a refusal");
            assert!(["42501", "PB002"].contains(&&*code), "{call} as {identity:?}: {code}");
        }
        for (call, told) in [
            (format!("periodd_allowances('{}', now(), 'scrapes')", acme.org), "included > 0"),
            (format!("periodd_allowances('{}', now())", acme.org), "feature <> ''"),
            (format!("periodd_limit('{}', 'scrapes', now())", acme.org), "included > 0"),
            (format!("periodd_limit_used('{}', 'scrapes', now())", acme.org), "included > 0"),
            (format!("periodd_included('{}', 'scrapes', 'none')", acme.org), "included > 0"),
            (
                format!(
                    "periodd_seen('{0}', 'scrapes', (select current_period_start
                         from organizations where id = '{0}'))",
                    acme.org
                ),
                "included_seen > 0",
            ),
            (
                format!(
                    "periodd_kept_in('{}', 'scrapes', (select max(period_start)
                         from usage_counters), 0)",
                    acme.org
                ),
                "f > 0",
            ),
            (format!("periodd_enter_packs('{{{}}}')", acme.org), "f > 0"),
            (format!("periodd_hold_packs('{}', 'scrapes')", acme.org), "f > 0"),
            (
                format!(
                    "periodd_enter_events('{{{0}}}', '{{pack.granted}}', '{{{0}}}',
                                          array['{{}}'::jsonb], array[now()])",
                    acme.org
                ),
                "f > 0",
            ),
            (format!("periodd_enter_event('a.b', '{}', '{{}}', now())", acme.org), "f > 0"),
            (format!("periodd_enter_entries('{{{0}}}', '{{{0}}}', '{{1}}')", acme.org), "f > 0"),
            (format!("periodd_enter_closes('{{{0}}}', array[now()])", acme.org), "f > 0"),
            (format!("periodd_enter_tier_change('{}', 'none', now())", acme.org), "f > 0"),
            (
                format!(
                    "periodd_enter_alerts('{{{}}}', array[now()], '{{scrapes}}', '{{1}}',
                                          '{{80}}')",
                    acme.org
                ),
                "f > 0",
            ),
            (format!("periodd_foreseen('{}', 'scrapes', now())", acme.org), "included > 0"),
            (format!("periodd_standing('{}', 'scrapes', now())", acme.org), "included > 0"),
            (format!("periodd_held('{}', 'scrapes', now(), now())", acme.org), "usable > 0"),
            (format!("periodd_carried('{}', 'scrapes', now())", acme.org), "f > 0"),
            (
                format!(
                    "periodd_closed_price('{}', (select max(period_start)
                         from billing_periods), 'scrapes')",
                    acme.org
                ),
                "currency <> ''",
            ),
            (
                format!(
                    "periodd_adjusted_price('{}', (select max(period_start)
                         from billing_periods), 'scrapes', 1)",
                    acme.org
                ),
                "currency <> ''",
            ),
            (format!("periodd_opened('{}', now())", acme.org), "f"),
            (format!("periodd_first_month('{}', now())", acme.org), "period_start is not null"),
            (format!("periodd_unsubscribe('{0}{0}')", acme.org.simple()), "f"),
            (format!("periodd_keyed('{}', 'theirs')", acme.org), "quantity > 0"),
            (format!("periodd_hold('{}', now())", acme.org), "f"),
            (format!("periodd_let_go('{}', now())", acme.org), "f::text <> ''"),
            (format!("periodd_lock_org('{}')", acme.org), "f::text <> ''"),
            (format!("periodd_forget_held('{}')", acme.org), "f::text <> ''"),
            (format!("periodd_shift_minutes('{}', 1, now())", acme.org), "f::text <> ''"),
            (format!("periodd_removal('{}', false, now())", acme.org), "quantity > 0"),
            (format!("periodd_erasure('{}', null, null)", acme.user), "quantity > 0"),
            (format!("periodd_traces('{}', null, null)", acme.user), "org_id is not null"),
            (format!("periodd_merge('{}', '{}', now())", acme.org, other.org), "quantity > 0"),
            (format!("periodd_pack_move('{0}', '{0}', now())", acme.org), "quantity > 1"),
            (format!("periodd_is_deleted('{}', '{}')", acme.org, acme.user), "f"),
            (format!("periodd_named('', '{}')", acme.org), "id is not null"),
            (
                format!("periodd_closed_since('{0}', '{0}', '-infinity')", acme.org),
                "period_end is not null",
            ),
        ] {
            let told = format!("select count(*) from {call} f where f.{told}");
            assert_eq!(count(&mut connection, &told).await.unwrap_or_default(), 0, "{call}");
        }
        let own = format!("select count(*) from get_current_usage_stats('{}')", other.user);
        assert_eq!(count(&mut connection, &own).await.is_some(), is_other, "{identity:?}");
    }
    assert_eq!(house.test.contents().await, before);
}

#[tokio::test]
async fn a_member_sees_and_moves_nothing_of_others() {
    let house = House::new().await;
    holds_out(&house, &house.member).await;
}

/// Functions that look at nothing but their arguments, at who the caller is, and at what is the
/// same for everybody.
const HARMLESS: [&str; 24] = [
    "get_current_usage_period",
    "periodd_adds_up",
    "periodd_at_least",
    "periodd_caller",
    "periodd_caller_org",
    "periodd_check_quantity",
    "periodd_check_time",
    "periodd_ended_tier",
    "periodd_event_id",
    "periodd_events",
    "periodd_folded",
    "periodd_is_inclusive",
    "periodd_is_key",
    "periodd_is_paused",
    "periodd_kept",
    "periodd_left",
    "periodd_new_id",
    "periodd_percent",
    "periodd_period_at",
    "periodd_refuse_key",
    "periodd_refuse_period",
    "periodd_rfc3339",
    // By what `periodd_keyed` shows of it.
    "periodd_refuse_reuse",
    "periodd_speaks_for",
];

#[tokio::test]
async fn no_function_is_left_out() {
    let test = TestDatabase::new().await;
    let functions = test
        .rows(
            "select distinct proname from pg_proc
             where pronamespace = 'public'::regnamespace order by 1",
        )
        .await;
    assert!(functions.len() > HARMLESS.len(), "{functions:?}");
    // What `holds_out` calls stands in this file, in quotes.
    let tried = |name: &str| include_str!("roles.rs").contains(&format!("\"{name}('"));
    let missing =
        functions.iter().filter(|name| !HARMLESS.contains(&name.as_str()) && !tried(name));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&String>::new(), "nobody tried these");
}

#[tokio::test]
async fn a_trusted_server_refunds_with_a_key() {
    let house = House::new().await;
    let mut connection = house.connect(&house.app).await;
    let refund = format!("select refund_overage_pack('{}', 'r', 2, 're-1')", house.acme.org);
    for _ in 0..2 {
        run(&mut connection, &refund).await.expect("a refund");
    }
    let left = format!("select remaining from overage_packs where org_id = '{}'", house.acme.org);
    assert_eq!(house.test.rows(&left).await, ["3"]);
}

/// Applications have other ways to these functions than `db migrate --grant`: a function of their
/// own that lends its owner's rights, and a role with rights of its own.
#[tokio::test]
async fn packs_are_granted_and_told_through_a_wrapper_and_by_a_role_of_its_own() {
    let house = House::new().await;
    let (test, org) = (&house.test, house.acme.org);
    let unique = Uuid::new_v4().simple();
    let (caller, own) = (format!("caller_{unique}"), format!("own_{unique}"));
    test.sql(&format!(
        "create role {caller} login;
         create role {own} login bypassrls;
         grant select, insert, update on all tables in schema public to {own};
         revoke all on periodd_listeners, periodd_events from {own};
         grant execute on all functions in schema public to {own};
         create function sell(p_reference text) returns uuid language sql security definer
             return grant_overage_pack('{org}', 'scrapes', 1, p_reference)"
    ))
    .await;
    let through = async |role: &str, call: &str| {
        let mut connection = house.connect(role).await;
        run(&mut connection, &format!("select {call}")).await
    };
    let grant =
        |reference: &str| format!("grant_overage_pack('{org}', 'scrapes', 1, '{reference}')");
    let refund = |reference: &str| format!("refund_overage_pack('{org}', '{reference}')");
    through(&caller, "sell('unheard-1')").await.expect("nobody listens");
    through(&own, &grant("unheard-2")).await.expect("nobody listens");
    test.sql("insert into periodd_listeners (channel, name) values ('table', 'events')").await;
    through(&caller, "sell('told-1')").await.expect("a pack through the wrapper");
    through(&own, &grant("told-2")).await.expect("a pack by the role");
    through(&own, &refund("told-2")).await.expect("a refund by the role");
    // What others have entered is theirs to tell.
    let old = "select org_id, pack_id, seq from overage_entries";
    let again = format!(
        "periodd_enter_entries(array_agg(org_id), array_agg(pack_id), array_agg(seq))
         from ({old}) e"
    );
    through(&own, &again).await.expect("nothing of its own");
    let told = "select kind, payload ->> 'reference' as reference from periodd_events
                order by position";
    let expected = ["pack.granted told-1", "pack.granted told-2", "pack.refunded told-2"];
    assert_eq!(test.rows(told).await, expected);
}

/// As where default privileges give everything to everybody, and policies are all there is.
#[tokio::test]
async fn nor_does_whoever_was_granted_everything() {
    let house = House::new().await;
    let role = format!("all_{}", Uuid::new_v4().simple());
    house
        .test
        .sql(&format!(
            "create role {role} login;
             grant all on all tables in schema public to {role};
             revoke truncate on all tables in schema public from {role};
             grant all on all functions in schema public to {role}"
        ))
        .await;
    holds_out(&house, &role).await;
}

#[tokio::test]
async fn a_member_sees_what_is_theirs_and_uses_it_through_functions() {
    let house = House::new().await;
    let mut connection = house.connect(&house.member).await;
    run(&mut connection, &format!("set app.user_id = '{}'", house.other.user)).await.unwrap();
    for (relation, rows) in [
        ("organizations", 1),
        ("organisations", 1),
        ("users", 1),
        ("org_contacts", 1),
        ("limit_overrides", 1),
        ("user_limits", 1),
        ("usage_metrics", 1),
        ("usage_events", 1),
        ("usage_counters", 1),
        ("feature_usage", 1),
        ("overage_packs", 1),
        ("overage_entries", 1),
        ("billing_periods", 1),
        ("billing_period_usage", 1),
        ("billing_adjustments", 1),
        ("subscription_tiers", 4),
        ("tier_limits", 2),
        ("features", 5),
        ("pack_offers", 0),
        // 11 of 17 is far from the limit; it is near it below.
        ("usage_alerts_view", 0),
        ("get_current_usage_period('Asia/Tokyo')", 1),
    ] {
        let seen = count(&mut connection, &format!("select count(*) from {relation}")).await;
        assert_eq!(seen, Some(rows), "{relation}");
    }
    let call = format!(
        "select count(*) from increment_usage_if_allowed('{}') i where i.allowed",
        house.other.user
    );
    for expected in [1, 1, 1, 1, 1, 1, 0] {
        assert_eq!(count(&mut connection, &call).await, Some(expected));
    }
    assert_eq!(count(&mut connection, "select count(*) from usage_alerts_view").await, Some(1));
    // As a server that becomes the role for one transaction, on a connection of its own role.
    let mut through = house.test.connect().await;
    let become_member = format!("set role \"{}\"", house.member);
    run(&mut through, &become_member).await.unwrap();
    let call = format!("select * from increment_usage_if_allowed('{}')", house.other.user);
    let (code, sentence) = refusal(&mut through, &call).await;
    assert_eq!(code, "42501");
    assert!(sentence.contains("the caller may only act for itself"), "{sentence}");
    run(&mut through, &format!("set app.user_id = '{}'", house.other.user)).await.unwrap();
    run(&mut through, &call).await.unwrap();
}

#[tokio::test]
async fn a_trusted_server_names_any_user_and_sees_everybody() {
    let house = House::new().await;
    let mut connection = house.connect(&house.app).await;
    for Customer { org, user } in [house.acme, house.other] {
        for call in [
            format!("increment_usage_if_allowed('{user}')"),
            format!("increment_feature_usage('{user}', 'sms_sent', 1, 'key')"),
            format!("get_current_usage_stats('{user}')"),
            format!("record_usage('{org}', 'scrapes', 1, '{user}')"),
            format!("record_usage_batch('{}')", batch(org)),
            format!("grant_overage_pack('{org}', 'scrapes', 1, 'second')"),
            "get_current_usage_period()".to_owned(),
        ] {
            run(&mut connection, &format!("select * from {call}")).await.expect(&call);
        }
    }
    for (statement, rows) in [
        ("update organisations set subscription_tier = 'free' where slug = 'acme'", 1),
        (
            "insert into usage_events (organization_id, metric_type, metric_value)
              select id, 'scrapes', 1 from organizations",
            2,
        ),
        (
            "insert into overage_packs (org_id, feature, quantity)
              select id, 'scrapes', 1 from organizations",
            2,
        ),
        ("insert into organizations (slug, name, time_zone) values ('new', 'New', 'UTC')", 1),
        ("update tier_limits set included = 11 where feature = 'scrapes'", 1),
        ("delete from org_contacts", 2),
    ] {
        assert_eq!(run(&mut connection, statement).await, Ok(rows), "{statement}");
    }
    assert_eq!(count(&mut connection, "select count(*) from users").await, Some(2));
    for forbidden in [
        "delete from usage_metrics",
        "update usage_metrics set metric_value = 0",
        "select * from periodd_facts",
        "delete from billing_periods",
    ] {
        assert_eq!(run(&mut connection, forbidden).await, Err("42501".to_owned()), "{forbidden}");
    }
}

#[tokio::test]
async fn a_daemon_that_is_not_the_owner_is_told_so() {
    let house = House::new().await;
    let config = format!(
        "[database]\nurl = \"postgresql:///{}?host={}&user={}\"\n",
        house.test.name,
        server(),
        house.app
    );
    house.test.sql(&format!("grant select on periodd_migrations to {}", house.app)).await;
    let answer = house.test.periodd_configured(&config, &["rollover"]).exits(78);
    let sentence = format!(
        "periodd: the role {0} does not own periodd's tables, so row-level security hides rows \
         from it: connect as postgres, or `grant postgres to {0}`\n",
        house.app
    );
    assert_eq!(answer.stderr, sentence);
}

#[tokio::test]
async fn a_row_that_security_would_hide_is_an_error_to_periodd_and_not_left_out() {
    let house = House::new().await;
    let url = format!("postgresql:///{}?host={}&user={}", house.test.name, server(), house.app);
    let database = periodd::store::Database::connect(&url, 1).await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let read = sqlx::query("select from organizations").fetch_all(&mut *connection).await;
    let error = read.unwrap_err().into_database_error().unwrap();
    assert!(error.message().contains("row-level security"), "{error}");
}

#[tokio::test]
async fn roles_may_be_made_again_and_must_exist_to_be_given() {
    let house = House::new().await;
    let again = format!("app={}", house.app);
    house.test.periodd(&["db", "migrate", "--with-roles", "--grant", &again]).exits(0);
    let answer = house.test.periodd(&["db", "migrate", "--grant", "member=nobody-there"]).exits(2);
    assert!(answer.stderr.contains("unknown role `nobody-there`"), "{}", answer.stderr);
    house.test.periodd(&["db", "migrate", "--grant", "boss=postgres"]).exits(2);
    house.test.periodd(&["db", "migrate", "--grant", "app"]).exits(2);
}

#[tokio::test]
async fn roles_are_refused_where_others_may_create_objects_in_the_schema() {
    for (grantee, named) in [("public", "public"), ("pg_monitor", "pg_monitor")] {
        let test = TestDatabase::empty().await;
        test.sql(&format!("grant create on schema public to {grantee}")).await;
        let command = ["db", "migrate", "--with-roles"];
        let answer = test.periodd(&command).exits(78);
        let repair = format!("revoke create on schema public from {named};");
        assert!(answer.stderr.contains(&repair), "{}", answer.stderr);
        let tables = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
        assert_eq!(test.rows(tables).await, ["0"], "nothing was changed");
        // The statement works as it is, and then so does the command.
        test.sql(&repair).await;
        test.periodd(&command).exits(0);
    }
    // Whoever is as good as the owner may.
    let test = TestDatabase::empty().await;
    let role = format!("maker_{}", Uuid::new_v4().simple());
    test.sql(&format!(
        "create role {role}; grant postgres to {role}; grant create on schema public to {role}"
    ))
    .await;
    test.periodd(&["db", "migrate", "--with-roles"]).exits(0);
}

/// Tables of ours on which somebody but the owner has what row-level security does not hold.
const UNHELD: &str = "select c.relname from pg_class c, aclexplode(c.relacl) a
                      where c.relnamespace = 'public'::regnamespace and a.grantee <> c.relowner
                        and a.privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER')
                      group by 1 order by 1";

#[tokio::test]
async fn nobody_but_the_owner_may_do_what_row_level_security_does_not_hold() {
    // As Supabase's default privileges have it, from before the first migration on.
    let test = TestDatabase::empty().await;
    let role = format!("anon_{}", Uuid::new_v4().simple());
    test.sql(&format!(
        "create role {role} login;
         alter default privileges in schema public grant all on tables to {role}, public;
         alter default privileges in schema public grant all on functions to {role}"
    ))
    .await;
    test.periodd(&["db", "migrate"]).exits(0);
    assert_eq!(test.rows(UNHELD).await, Vec::<String>::new());
    let url = format!("postgresql:///{}?host={}&user={role}", test.name, server());
    let mut connection = PgConnection::connect(&url).await.expect("the role may connect");
    let truncate = "truncate usage_metrics, periodd_runs, billing_periods cascade";
    assert_eq!(run(&mut connection, truncate).await, Err("42501".to_owned()));
    // What it was granted besides stays, and applications' own tables are theirs.
    test.sql("create table shop_items ()").await;
    assert_eq!(test.rows(UNHELD).await, ["shop_items"]);
    let select = "select has_table_privilege(rolname, 'usage_metrics', 'select') from pg_roles";
    let select = format!("{select} where rolname = '{role}'");
    assert_eq!(test.rows(&select).await, ["true"]);
    // A table that comes with a later version is taken back as well.
    test.sql(
        "create table periodd_later ();
         update periodd_api set checksum = 'older' where name = 'periodd percent'",
    )
    .await;
    test.periodd(&["db", "migrate"]).exits(0);
    assert_eq!(test.rows(UNHELD).await, ["shop_items"]);
}

/// Rights as an earlier version's `--with-roles` gave them: not on what is new.
#[tokio::test]
async fn an_update_of_the_functions_keeps_working_what_was_granted_before() {
    let house = House::new().await;
    let test = &house.test;
    test.sql(
        "do $$ declare v_text text; begin
             for v_text in
                 select format('revoke execute on function %s from periodd_app, periodd_member',
                               oid::regprocedure)
                 from pg_proc
                 where pronamespace = 'public'::regnamespace
                   and proname in ('periodd_folded', 'periodd_standing', 'periodd_held',
                                   'periodd_at_least', 'periodd_kept', 'periodd_kept_in',
                                   'periodd_seen',
                                   'periodd_foreseen', 'periodd_allowances', 'periodd_included',
                                   'periodd_limit', 'periodd_left', 'periodd_ended_tier')
             loop execute v_text; end loop;
         end $$;
         update periodd_api set checksum = 'older' where name = 'periodd percent'",
    )
    .await;
    let mut connection = house.connect(&house.app).await;
    let record = format!("select record_usage('{}', 'scrapes', 1)", house.acme.org);
    assert_eq!(run(&mut connection, &record).await, Err("42501".to_owned()));
    test.periodd(&["db", "migrate"]).exits(0);
    for role in [&house.app, &house.member] {
        let mut connection = house.connect(role).await;
        let who = format!("set app.user_id = '{}'", house.acme.user);
        run(&mut connection, &who).await.unwrap();
        run(&mut connection, "select * from usage_alerts_view").await.expect("the view");
        run(&mut connection, "select * from get_current_usage_period()").await.expect("a month");
    }
    run(&mut connection, &record).await.expect("usage is recorded");
}
