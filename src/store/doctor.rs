//! The deep questions of `doctor`. They change nothing, and go over all of a table where they have
//! to: minutes on a large database, beside its work.

use sqlx::PgConnection;

use super::database::Database;
use super::error::StoreError;
use super::roles::{self, Audience};
use crate::billing::Instant;

/// Examples that are named of each kind.
const NAMED: i64 = 5;

/// Orgs with one fault: how many, and some of them.
#[derive(Debug, Clone)]
pub struct Faulty {
    /// How many there are.
    pub orgs: i64,
    /// Some of them, by slug.
    pub named: Vec<String>,
}

/// The faults that an org's period can have.
#[derive(Debug, Clone)]
pub struct PeriodFaults {
    /// Without an open period.
    pub unopened: Faulty,
    /// Ends not after its start.
    pub inverted: Faulty,
    /// Ends at a last moment instead of the first one after: 23:59:59.999.
    pub inclusive: Faulty,
    /// Ended before the instant asked for, and is not closed.
    pub outdated: Faulty,
    /// Begins elsewhere than where the last closed one ended: a gap or an overlap.
    pub not_touching: Faulty,
}

/// Looks over every org's open period.
///
/// # Errors
/// As every read.
pub async fn periods(
    connection: &mut PgConnection,
    outdated_before: Instant,
) -> Result<PeriodFaults, StoreError> {
    let rows = sqlx::query!(
        r#"with found as (
               select o.id, o.slug, f.fault
               from organizations o,
                    lateral (values
                        ('unopened', o.current_period_start is null
                                     or o.current_period_end is null),
                        ('inverted', o.current_period_end <= o.current_period_start),
                        ('inclusive', extract(second from o.current_period_end) >= 59
                                      and extract(minute from o.current_period_end) in
                                          (14, 29, 44, 59)),
                        ('outdated', o.current_period_end <= $1 and o.parked_at is null),
                        ('not_touching', o.current_period_start <> (
                            select b.period_end from billing_periods b where b.org_id = o.id
                            order by b.period_start desc limit 1))) as f (fault, is_so)
               where f.is_so),
           numbered as (
               select fault, slug, row_number() over (partition by fault order by slug) as place
               from found)
           select fault as "fault!", count(*) as "orgs!",
                  array_agg(slug order by place) filter (where place <= $2) as "named!"
           from numbered group by 1"#,
        outdated_before,
        NAMED
    );
    let rows = rows.fetch_all(connection).await?;
    let of = |fault: &str| {
        let row = rows.iter().find(|row| row.fault == fault);
        row.map_or(Faulty { orgs: 0, named: Vec::new() }, |row| Faulty {
            orgs: row.orgs,
            named: row.named.clone(),
        })
    };
    Ok(PeriodFaults {
        unopened: of("unopened"),
        inverted: of("inverted"),
        inclusive: of("inclusive"),
        outdated: of("outdated"),
        not_touching: of("not_touching"),
    })
}

/// The time zones in use, with how many orgs each has.
///
/// # Errors
/// As every read.
pub async fn zones(connection: &mut PgConnection) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = sqlx::query!(
        r#"select time_zone, count(*) as "orgs!" from organizations group by 1 order by 1"#
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.time_zone, row.orgs)).collect())
}

/// Local times of instants as the database's own tz data has them: `2026-05-01 00:00:00`, and
/// `None` for a zone that it does not know.
///
/// # Errors
/// As every read.
pub async fn local_times(
    connection: &mut PgConnection,
    asked: &[(String, Instant)],
) -> Result<Vec<Option<String>>, StoreError> {
    let (zones, instants): (Vec<String>, Vec<Instant>) = asked.iter().cloned().unzip();
    let rows = sqlx::query_scalar!(
        r#"select case when exists (select from pg_timezone_names n where n.name = a.zone)
                       then timezone(a.zone, a.at)::text end as local
           from unnest($1::text[], $2::timestamptz[]) with ordinality as a (zone, at, place)
           order by a.place"#,
        &zones,
        &instants
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Something in the schema that should not be so: a sentence.
///
/// # Errors
/// As every read.
pub async fn schema(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    let faults = sqlx::query_scalar!(
        r#"with ours as (
               select c.oid, c.relname, c.relowner, c.relrowsecurity, c.relforcerowsecurity
               from pg_class c
               where c.relnamespace = (select p.relnamespace from pg_class p
                                       where p.oid = 'organizations'::regclass)
                 and c.relkind in ('r', 'p')
                 and (c.relname like 'periodd\_%' or c.relname in (
                     'billing_adjustments', 'billing_period_usage', 'billing_periods',
                     'feature_usage', 'features', 'limit_overrides', 'org_contacts',
                     'organizations', 'overage_entries', 'overage_packs', 'pack_offers',
                     'subscription_tiers', 'tier_limits', 'usage_counters', 'usage_metrics',
                     'users')))
           select sentence as "sentence!" from (
               select 'the table ' || o.relname || ' has the trigger ' || t.tgname
                          || ': tables of an org''s data have none' as sentence
               from ours o join pg_trigger t on t.tgrelid = o.oid and not t.tgisinternal
               where o.relname not like 'periodd\_%'
               union all
               select 'the constraint ' || k.conname || ' of ' || o.relname
                          || ' is not validated: rows may break it'
               from ours o join pg_constraint k on k.conrelid = o.oid and not k.convalidated
               union all
               select 'the index ' || i.indexrelid::regclass
                          || ' is not valid: it was not built to its end'
               from ours o join pg_index i on i.indrelid = o.oid and not i.indisvalid
               union all
               select 'the column ' || o.relname || '.' || a.attname
                          || ' rounds: quantities are numeric without precision'
               from ours o join pg_attribute a on a.attrelid = o.oid and a.attnum > 0
                    and not a.attisdropped
               where a.atttypid = 'numeric'::regtype and a.atttypmod <> -1
               union all
               select 'the table ' || o.relname
                          || ' forces row-level security on its owner: rows are hidden from periodd'
               from ours o where o.relforcerowsecurity
               union all
               select 'the table ' || o.relname
                          || ' has no row-level security: who may read it sees every org'
               from ours o where not o.relrowsecurity
               union all
               select 'the table ' || o.relname || ' belongs to ' || pg_get_userbyid(o.relowner)
                          || ', and periodd connects as ' || current_user
               from ours o where not pg_has_role(current_user, o.relowner, 'member')
           ) as faults order by 1"#
    );
    Ok(faults.fetch_all(connection).await?)
}

/// Metrics that no counter holds although they are stamped, for they were used before the org's
/// first period: how many orgs have them, up to a bound.
///
/// # Errors
/// As every read.
pub async fn before_the_first_period(connection: &mut PgConnection) -> Result<Faulty, StoreError> {
    let rows = sqlx::query!(
        r#"select o.slug, count(*) over () as "orgs!"
           from organizations o,
                lateral (select coalesce(
                    (select min(b.period_start) from billing_periods b where b.org_id = o.id),
                    o.current_period_start) as first) as f
           where exists (select from usage_metrics m
                         where m.organization_id = o.id and m.created_at < f.first)
           order by o.slug limit $1"#,
        NAMED
    );
    let rows = rows.fetch_all(connection).await?;
    let orgs = rows.first().map_or(0, |row| row.orgs);
    Ok(Faulty { orgs, named: rows.into_iter().map(|row| row.slug).collect() })
}

/// The features that the tables know.
///
/// # Errors
/// As every read.
pub async fn features(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    super::usage_file::features(connection).await
}

/// What a role may do with a table, a view or a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// `periodd_app` or `periodd_member`.
    pub role: String,
    /// `select`, `insert` and so on.
    pub privilege: String,
    /// The table, the view or the function.
    pub object: String,
}

/// What the two roles may do, beside what [`roles::create`] gives them.
#[derive(Debug, Clone)]
pub struct Rights {
    /// Which of the two are there.
    pub roles: Vec<String>,
    /// Have they been given anything here? Roles are the whole server's, and other databases of it
    /// may be what they are for.
    pub are_given: bool,
    /// What was given once, and is not there.
    pub lacking: Vec<Right>,
    /// What nobody gave them here: on tables, for these hold what is billed.
    pub excessive: Vec<Right>,
    /// Tables of which `periodd_app` sees no row.
    pub unseen_by_the_app: Vec<String>,
}

impl Rights {
    /// Those of the two roles that are not there.
    #[must_use]
    pub fn missing_roles(&self) -> Vec<&'static str> {
        let both = [Audience::App, Audience::Member].map(Audience::role);
        both.into_iter().filter(|role| !self.roles.iter().any(|there| there == role)).collect()
    }
}

/// Compares what the two roles may do with what they should.
///
/// # Errors
/// As every read.
pub async fn rights(connection: &mut PgConnection) -> Result<Rights, StoreError> {
    let both = [Audience::App, Audience::Member].map(|audience| audience.role().to_owned());
    let there = sqlx::query_scalar!(
        r#"select rolname::text as "rolname!" from pg_roles where rolname = any($1) order by 1"#,
        &both[..]
    );
    let there = there.fetch_all(&mut *connection).await?;
    let given = roles::given();
    let right = |role: String, privilege, object| Right { role, privilege, object };
    let (of_roles, privileges): (Vec<_>, Vec<_>) = given
        .iter()
        .map(|given| (given.audience.role().to_owned(), given.privilege.to_owned()))
        .unzip();
    let objects: Vec<String> = given.iter().map(|given| given.object.to_owned()).collect();
    let lacking = sqlx::query!(
        r#"select g.role as "role!", g.privilege as "privilege!", g.object as "object!"
           from unnest($1::text[], $2::text[], $3::text[]) with ordinality
                    as g (role, privilege, object, place)
           where g.role = any($4)
             and not coalesce(case when g.privilege = 'execute'
                 then has_function_privilege(g.role, to_regproc(g.object), g.privilege)
                 else has_table_privilege(g.role, to_regclass(g.object), g.privilege) end, false)
           order by g.place"#,
        &of_roles,
        &privileges,
        &objects,
        &there
    );
    let lacking = lacking.fetch_all(&mut *connection).await?.into_iter();
    let excessive = sqlx::query!(
        r#"select r.role as "role!", p.privilege as "privilege!", c.relname::text as "object!"
           from pg_class c, unnest($4::text[]) as r (role),
                unnest(array['select', 'insert', 'update', 'delete', 'truncate'])
                    as p (privilege)
           where c.relnamespace = (select o.relnamespace from pg_class o
                                   where o.oid = 'organizations'::regclass)
             and c.relkind in ('r', 'p')
             and (c.relname like 'periodd\_%' or c.relname = any($3))
             and has_table_privilege(r.role, c.oid, p.privilege)
             and not exists (
                 select from unnest($1::text[], $2::text[], $3::text[])
                     as g (role, privilege, object)
                 where g.role = r.role and g.privilege = p.privilege and g.object = c.relname)
           order by 1, 3, 2"#,
        &of_roles,
        &privileges,
        &objects,
        &there
    );
    let excessive = excessive.fetch_all(&mut *connection).await?.into_iter();
    let lacking: Vec<Right> =
        lacking.map(|row| right(row.role, row.privilege, row.object)).collect();
    // Functions may be everybody's; tables are held by who was given them here.
    let on_tables = |role: &str, privilege: &str| {
        privilege != "execute" && there.iter().any(|there| there == role)
    };
    let expected =
        given.iter().filter(|given| on_tables(given.audience.role(), given.privilege)).count();
    let missing = lacking.iter().filter(|right| on_tables(&right.role, &right.privilege)).count();
    let unseen = sqlx::query_scalar!(
        r#"select c.relname::text as "table!" from pg_class c
           where c.relnamespace = (select o.relnamespace from pg_class o
                                   where o.oid = 'organizations'::regclass)
             and c.relkind in ('r', 'p') and c.relname = any($1) and c.relrowsecurity
             and c.relname not like 'periodd\_%'
             and exists (select from pg_roles r where r.rolname = 'periodd_app')
             and exists (select from pg_policy p where p.polrelid = c.oid)
             and not exists (select from pg_policy p
                             where p.polrelid = c.oid and p.polname = 'of_the_app')
           order by 1"#,
        &objects
    );
    let unseen_by_the_app = unseen.fetch_all(&mut *connection).await?;
    Ok(Rights {
        are_given: missing < expected,
        lacking,
        excessive: excessive.map(|row| right(row.role, row.privilege, row.object)).collect(),
        unseen_by_the_app,
        roles: there,
    })
}

/// How the database is reached.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Is there a pooler in between that hands servers on from transaction to transaction?
    pub is_pooled: bool,
    /// Is the connection encrypted, as far as the server knows?
    pub is_encrypted: bool,
    /// Is it the machine itself, by a socket or the loopback interface?
    pub is_local: bool,
}

/// Finds out how the database is reached. One connection works with one server process for as
/// long as it lives, unless a pooler hands them on: another connection then finds the same one.
///
/// # Errors
/// As every read.
pub async fn reach(database: &Database) -> Result<Reach, StoreError> {
    let mut one = database.connection().await?;
    let mut other = database.connection().await?;
    let before = server(&mut one).await?;
    let mut held = super::begin(&mut other).await?;
    let taken = server(&mut held).await?;
    let after = server(&mut one).await?;
    drop(held);
    let row = sqlx::query!(
        r#"select coalesce((select s.ssl from pg_stat_ssl s where s.pid = pg_backend_pid()), false)
                      as "is_encrypted!",
                  coalesce(inet_client_addr() <<= '127.0.0.0/8' or inet_client_addr() = '::1',
                           true) as "is_local!""#
    );
    let row = row.fetch_one(&mut *one).await?;
    Ok(Reach {
        is_pooled: taken == before || before != after,
        is_encrypted: row.is_encrypted,
        is_local: row.is_local,
    })
}

async fn server(connection: &mut PgConnection) -> Result<i32, StoreError> {
    let pid = sqlx::query_scalar!(r#"select pg_backend_pid() as "pid!""#);
    Ok(pid.fetch_one(connection).await?)
}
