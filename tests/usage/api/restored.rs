//! A backup that is restored into a cluster that never heard of this database: rows come back with
//! it, roles do not, since they belong to a cluster.
//!
//! `PERIODD_RESTORE_SERVER` names the binaries of another major version for that cluster.

use std::path::Path;
use std::process::Command;

use uuid::Uuid;

use crate::api::{Customer, customer};
use crate::support::TestDatabase;

/// Every policy with those of periodd's roles that it is for, and every right of these. What an
/// application's roles get depends on the major version; what they may do is tried.
const RIGHTS: &str = "
    select * from (
        select concat_ws(' ', 'policy', c.relname, p.polname,
                         (select string_agg(rolname, ',' order by rolname) from pg_roles
                          where oid = any(p.polroles) and rolname like 'periodd%'),
                         pg_get_expr(p.polqual, p.polrelid)) as line
        from pg_policy p join pg_class c on c.oid = p.polrelid
        union all
        select concat_ws(' ', 'relation', c.relname, r.rolname, a.privilege_type)
        from pg_class c, aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee
        where c.relnamespace = 'public'::regnamespace and r.rolname like 'periodd%'
        union all
        select concat_ws(' ', 'function', f.oid::regprocedure, r.rolname)
        from pg_proc f, aclexplode(f.proacl) a join pg_roles r on r.oid = a.grantee
        where f.pronamespace = 'public'::regnamespace and r.rolname like 'periodd%'
    ) rights order by line collate \"C\"";

/// In a cluster of its own: restores, and says what there is before and after the migration.
const SCRIPT: &str = r#"
    at_server() {
        program=$1; shift
        "$CLIENTS/$program" -h "$PERIODD_TEST_SERVER" -U postgres "$@"
    }
    sql() { at_server psql -XqAt -v ON_ERROR_STOP=1 "$@"; }
    sql -d postgres -c 'create database copy'
    if at_server pg_restore --no-owner -d copy "$DIR/dump" 2>"$DIR/missed"; then exit 9; fi
    echo "[database]
url = \"postgresql:///copy?host=$PERIODD_TEST_SERVER&user=postgres\"" >"$DIR/copy.toml"
    periodd() { "$PERIODD" --config "$DIR/copy.toml" "$@"; }
    found() { periodd --format json doctor >"$DIR/$1" || [ $? -eq 3 ]; }
    found before
    # The application's roles are its own to make; periodd's are made again, and everything granted.
    sql -d copy -c "create role $SERVICE nologin noinherit; create role $WEB nologin noinherit"
    periodd db migrate --with-roles 2>"$DIR/notes"
    found after
    sql -d copy -c "$RIGHTS" >"$DIR/rights"
    increment="select new_usage from increment_usage_if_allowed('$USER_ID')"
    sql -d copy -c "set role $SERVICE; $increment" >"$DIR/counted"
    sql -d copy -c "set role $WEB; set request.jwt.claims = '{\"sub\": \"$USER_ID\"}'" \
        -c 'select slug from organizations' >"$DIR/seen"
"#;

/// What `doctor` says of rights.
fn of_rights(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("an answer");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let checks = answer["checks"].as_array().expect("checks").iter();
    let findings = checks.flat_map(|check| check["findings"].as_array().expect("findings"));
    let of_rights = findings.filter(|finding| finding["check"] == "rights");
    of_rights.map(|finding| finding["what"].as_str().expect("a sentence").to_owned()).collect()
}

#[tokio::test]
async fn a_backup_restored_into_a_new_cluster_has_its_rights_after_db_migrate() {
    let test = TestDatabase::new().await;
    let unique = &Uuid::new_v4().simple().to_string()[..12];
    let [service, web] = ["service", "web"].map(|role| format!("restored_{role}_{unique}"));
    test.sql(&format!(
        "create role {service} nologin noinherit; create role {web} nologin noinherit;
         insert into tier_limits values ('pro', 'scrapes', 10)"
    ))
    .await;
    let [app, member] = [format!("app={service}"), format!("member={web}")];
    let grants = ["--grant", &app, "--grant", &member];
    test.periodd(&[&["db", "migrate", "--with-roles"][..], &grants].concat()).exits(0);
    let acme: Customer = customer(&test, "acme").await;
    customer(&test, "other").await;
    test.sql(&format!("select increment_usage_if_allowed('{}')", acme.user)).await;
    let expected = test.rows(RIGHTS).await;
    assert!(expected.len() > 60, "{expected:#?}");

    let folder = tempfile::TempDir::new().expect("a directory");
    let clients = std::env::var("PERIODD_TEST_BINARIES").unwrap_or_default();
    let dumped = Command::new(Path::new(&clients).join("pg_dump"))
        .args(["-Fc", "--no-owner", "-U", "postgres", "-h", &crate::support::server(), "-f"])
        .arg(folder.path().join("dump"))
        .arg(&test.name)
        .output()
        .expect("PostgreSQL's programs are beside the server");
    assert!(dumped.status.success(), "{dumped:?}");
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut restore = Command::new(top.join("scripts/with-postgresql"));
    restore.args(["sh", "-euc", SCRIPT]);
    if let Some(binaries) = std::env::var_os("PERIODD_RESTORE_SERVER") {
        restore.env("PERIODD__DATABASE__SERVER_BINARIES", binaries);
    }
    restore
        .env("PERIODD", env!("CARGO_BIN_EXE_periodd"))
        .env("STATE_DIRECTORY", folder.path())
        .env("DIR", folder.path())
        .env("CLIENTS", clients)
        .env("RIGHTS", RIGHTS)
        .env("SERVICE", &service)
        .env("WEB", &web)
        .env("USER_ID", acme.user.to_string());
    let restored = restore.output().expect("a shell");
    let file = |name: &str| folder.path().join(name);
    let text = |name: &str| std::fs::read_to_string(file(name)).unwrap_or_default();
    assert!(restored.status.success(), "{restored:?}\n{}", text("notes"));

    assert!(text("missed").contains("periodd_app"), "{}", text("missed"));
    let lost = of_rights(&file("before"));
    assert!(lost.iter().any(|what| what.contains("periodd_app")), "{lost:?}");
    assert!(lost.iter().any(|what| what.contains(&service)), "{lost:?}");
    assert_eq!(of_rights(&file("after")), Vec::<String>::new(), "{}", text("notes"));
    assert_eq!(text("rights").lines().collect::<Vec<_>>(), expected);
    assert_eq!(text("counted").trim(), "2");
    assert_eq!(text("seen").trim(), "acme");
}
