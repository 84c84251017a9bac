//! Roles that inherit nothing, as Supabase makes its own; and roles that a copy of a database comes
//! to another server without.

use std::process::Command;

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::api::{Customer, customer, refusal};
use crate::support::{TestDatabase, server, url_of};

/// A trusted role, one of end users, and the role that becomes either, as `PostgREST` does.
struct Roles {
    service: String,
    web: String,
    gate: String,
}

impl Roles {
    async fn made(test: &TestDatabase) -> Self {
        let unique = Uuid::new_v4().simple();
        let name = |what: &str| format!("{what}_{unique}");
        let roles = Self { service: name("service"), web: name("web"), gate: name("gate") };
        let Self { service, web, gate } = &roles;
        test.sql(&format!(
            "create role {service} nologin noinherit; create role {web} nologin noinherit;
             create role {gate} login noinherit; grant {service}, {web} to {gate}"
        ))
        .await;
        roles
    }

    fn grants(&self) -> [String; 2] {
        [format!("app={}", self.service), format!("member={}", self.web)]
    }
}

async fn reach(database: &str, role: &str) -> PgConnection {
    let url = format!("postgresql:///{database}?host={}&user={role}", server());
    PgConnection::connect(&url).await.expect("the role may connect")
}

async fn run(connection: &mut PgConnection, sql: &str) {
    let script = sqlx::AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(script)
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// The rights that `doctor` finds wrong.
fn wrong_rights(test: &TestDatabase) -> Vec<String> {
    let answer = test.periodd(&["--format", "json", "doctor"]).json();
    let checks = answer["checks"].as_array().expect("checks").iter();
    let findings = checks.flat_map(|check| check["findings"].as_array().expect("findings"));
    let of_rights = findings.filter(|finding| finding["check"] == "rights");
    of_rights.map(|finding| finding["what"].as_str().expect("a sentence").to_owned()).collect()
}

#[tokio::test]
async fn a_role_that_inherits_nothing_may_do_what_it_was_granted() {
    let test = TestDatabase::new().await;
    let roles = Roles::made(&test).await;
    let [app, member] = roles.grants();
    test.periodd(&["db", "migrate", "--grant", &app, "--grant", &member]).exits(0);
    test.sql("insert into tier_limits values ('pro', 'scrapes', 10)").await;
    let acme = customer(&test, "acme").await;
    let other = customer(&test, "other").await;
    let mut connection = reach(&test.name, &roles.gate).await;
    run(&mut connection, &format!("set role {}", roles.service)).await;
    for Customer { org, user } in [acme, other] {
        for call in [
            format!("increment_usage_if_allowed('{user}')"),
            format!("get_current_usage_stats('{user}')"),
            format!("record_usage('{org}', 'scrapes', 1, '{user}')"),
            format!("grant_overage_pack('{org}', 'scrapes', 1, 'a')"),
        ] {
            run(&mut connection, &format!("select * from {call}")).await;
        }
    }
    let seen = "select count(*) from organizations";
    let seen: i64 = sqlx::query_scalar(seen).fetch_one(&mut connection).await.unwrap();
    assert_eq!(seen, 2);
    run(&mut connection, &format!("set role {}", roles.web)).await;
    run(&mut connection, &format!("set request.jwt.claims = '{{\"sub\": \"{}\"}}'", acme.user))
        .await;
    let call = |user: Uuid| format!("select * from increment_usage_if_allowed('{user}')");
    run(&mut connection, &call(acme.user)).await;
    assert_eq!(refusal(&mut connection, &call(other.user)).await.0, "42501");
    let seen = "select string_agg(slug, ',') from organizations";
    let seen: Option<String> = sqlx::query_scalar(seen).fetch_one(&mut connection).await.unwrap();
    assert_eq!(seen.as_deref(), Some("acme"));
    let grant = format!("select grant_overage_pack('{}', 'scrapes', 1, 'b')", acme.org);
    assert_eq!(refusal(&mut connection, &grant).await.0, "42501");
    assert_eq!(wrong_rights(&test), Vec::<String>::new());
}

#[tokio::test]
async fn doctor_asks_what_each_member_really_may() {
    let test = TestDatabase::new().await;
    let roles = Roles::made(&test).await;
    let [app, member] = roles.grants();
    test.periodd(&["db", "migrate", "--grant", &app, "--grant", &member]).exits(0);
    assert_eq!(wrong_rights(&test), Vec::<String>::new());
    // A membership by hand gives such a role nothing.
    let Roles { service, web, .. } = &roles;
    for (role, of) in [(service, "periodd_app"), (web, "periodd_member")] {
        test.sql(&format!(
            "revoke {of} from {role};
             revoke all on all tables in schema public from {role};
             revoke all on all functions in schema public from {role};
             grant {of} to {role}"
        ))
        .await;
    }
    let wrong = wrong_rights(&test);
    assert!(
        wrong.iter().any(|what| what.starts_with(service) && what.contains("lacks")),
        "{wrong:?}"
    );
    assert!(wrong.iter().any(|what| what.starts_with(web) && what.contains("lacks")), "{wrong:?}");
    let notes = test.periodd(&["db", "migrate"]).exits(0).stderr;
    assert!(notes.contains("are back"), "{notes}");
    assert_eq!(wrong_rights(&test), Vec::<String>::new());
    // Whoever row-level security does not hold is named.
    let bypassing = format!("bypassing_{}", Uuid::new_v4().simple());
    test.sql(&format!(
        "create role {bypassing} bypassrls; grant select on organizations to {bypassing}"
    ))
    .await;
    let wrong = wrong_rights(&test);
    assert!(wrong.iter().any(|what| what.contains(&bypassing)), "{wrong:?}");
    test.sql(&format!("alter role {bypassing} nobypassrls")).await;
}

/// A program of PostgreSQL's, on the test server.
fn program(name: &str, arguments: &[&str]) -> std::process::Output {
    let binaries = std::env::var("PERIODD_TEST_BINARIES").unwrap_or_default();
    let mut command = Command::new(std::path::PathBuf::from(binaries).join(name));
    command.args(["-h", &server(), "-U", "postgres"]).args(arguments);
    command.output().expect("PostgreSQL's programs are in the path")
}

#[tokio::test]
async fn a_copy_on_another_server_gets_its_roles_back() {
    let test = TestDatabase::new().await;
    let roles = Roles::made(&test).await;
    let [app, member] = roles.grants();
    let prefix = format!("shop{}", &Uuid::new_v4().simple().to_string()[..12]);
    let own = ["--role-prefix", &prefix];
    let migrate = [&["db", "migrate"][..], &own, &["--grant", &app, "--grant", &member]].concat();
    let notes = test.periodd(&migrate).exits(0).stderr;
    assert!(notes.contains(&format!("{prefix}_app")), "{notes}");
    test.sql("insert into tier_limits values ('pro', 'scrapes', 10)").await;
    let acme = customer(&test, "acme").await;
    assert_eq!(wrong_rights(&test), Vec::<String>::new());
    let dump = tempfile::NamedTempFile::new().expect("a file");
    let dump_file = dump.path().to_str().expect("a path");
    let dumped = program("pg_dump", &["-Fc", "--no-owner", "-f", dump_file, &test.name]);
    assert!(dumped.status.success(), "{dumped:?}");
    // What the roles have in a database dies with them; the roles are nowhere then.
    let copy = TestDatabase::empty().await;
    for role in [format!("{prefix}_app"), format!("{prefix}_member"), roles.service.clone()] {
        test.sql(&format!("drop owned by {role}; drop role {role}")).await;
    }
    let restored = program("pg_restore", &["--no-owner", "-d", &copy.name, dump_file]);
    assert!(!restored.status.success(), "its roles are not there");
    let wrong = wrong_rights(&copy);
    assert!(wrong.iter().any(|what| what.contains(&roles.service)), "{wrong:?}");
    assert!(wrong.iter().any(|what| what.contains(&format!("{prefix}_app"))), "{wrong:?}");
    let notes = copy.periodd(&["db", "migrate"]).exits(0).stderr;
    assert!(notes.contains(&format!("the role {}", roles.service)), "{notes}");
    copy.sql(&format!(
        "create role {} nologin noinherit; grant {0} to {}",
        roles.service, roles.gate
    ))
    .await;
    copy.periodd(&["db", "migrate"]).exits(0);
    assert_eq!(wrong_rights(&copy), Vec::<String>::new());
    let mut connection = reach(&copy.name, &roles.gate).await;
    run(&mut connection, &format!("set role {}", roles.service)).await;
    run(&mut connection, &format!("select * from increment_usage_if_allowed('{}')", acme.user))
        .await;
    drop(connection);
    // Nobody is a member of the usual roles, and these mean nothing here.
    let url = url_of(&copy.name);
    let mut owner = PgConnection::connect(&url).await.expect("the owner");
    let policies = format!(
        "select count(*) from pg_policy where polname = 'of_the_app'
         and not '{prefix}_app'::regrole::oid = any(polroles)"
    );
    let others: i64 =
        sqlx::query_scalar(sqlx::AssertSqlSafe(policies)).fetch_one(&mut owner).await.unwrap();
    assert_eq!(others, 0);
}
