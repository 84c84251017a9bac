//! What roles may do in the private cluster.

use super::{Place, ask, ask_at, root, url_as};

const RIGHTS: &str = "
    select concat_ws(' ',
        (select string_agg(concat(rolsuper, rolcreaterole, rolcreatedb, rolreplication,
                                  rolbypassrls), '') from pg_roles where rolname = 'periodd'),
        has_database_privilege('public', 'periodd', 'temporary'),
        has_schema_privilege('public', 'public', 'create'),
        (select count(*) from pg_auth_members m
         where m.member = 'periodd'::regrole and m.admin_option
           and m.roleid::regrole::text in ('periodd_app', 'periodd_member')),
        (select count(*) from pg_roles
         where rolname in ('periodd_app', 'periodd_member') and not rolcanlogin))";
const RIGHT: &str = "fffff f f 2 2";

#[test]
fn its_role_owns_tables_and_nothing_else_and_the_public_has_no_temporary_ones() {
    let place = Place::new();
    let cluster = place.open();
    assert_eq!(ask(&cluster, &[RIGHTS]), RIGHT);
    ask_at(&url_as(&cluster, "postgres"), &["create role web login"]).unwrap();
    for made in
        ["create temporary table t (a int)", "create domain uuid as text", "create table t ()"]
    {
        let refused = ask_at(&url_as(&cluster, "web"), &[made]).unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{made}: {refused}");
    }
    // The two roles are given to others by who may not make any.
    let migrate = ["db", "migrate", "--with-roles", "--grant", "app=web", "--grant", "member=web"];
    let said = root::periodd(&place, &migrate);
    assert!(said.0.success(), "{}", said.1);
    let member = "select concat(pg_has_role('web', 'periodd_app', 'member'),
                                pg_has_role('web', 'periodd_member', 'member'))";
    assert_eq!(ask(&cluster, &[member]), "tt");
    assert_eq!(
        ask_at(&url_as(&cluster, "web"), &["select count(*)::text from users"]).unwrap(),
        "0"
    );
}

#[test]
fn a_cluster_of_an_earlier_version_is_brought_to_the_same_at_the_next_start() {
    let place = Place::new();
    let cluster = place.open();
    for before in [
        "drop role periodd_app",
        "revoke periodd_member from periodd",
        "alter role periodd createrole createdb",
        "grant temporary on database periodd to public",
        "grant create on schema public to public",
    ] {
        ask_at(&url_as(&cluster, "postgres"), &[before]).unwrap();
    }
    assert_ne!(ask(&cluster, &[RIGHTS]), RIGHT);
    cluster.close().unwrap();
    let cluster = place.open();
    assert_eq!(ask(&cluster, &[RIGHTS]), RIGHT);
    // Where nothing differs, a start writes nothing.
    let written = "select concat(xmin, ' ', ctid) from pg_database where datname = 'periodd'";
    let before = ask(&cluster, &[written]);
    cluster.close().unwrap();
    assert_eq!(ask(&place.open(), &[written]), before);
}
