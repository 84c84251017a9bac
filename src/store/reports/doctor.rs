//! The deep questions of `doctor`. They change nothing, and go over all of a table where they have
//! to: minutes on a large database, beside its work.

use futures_util::TryStreamExt;
use sqlx::PgConnection;

use crate::billing::Instant;
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;
use crate::store::db::ours;
use crate::store::db::role_names::{Audience, Grant, Roles, USUAL_PREFIX, remembered};
use crate::store::db::roles;
use crate::store::db::tables::{self, as_typed};

/// Examples that are named of each kind.
const NAMED: i64 = 5;

/// Orgs with one fault: how many, and some of them.
#[derive(Debug, Clone)]
pub struct Faulty {
    pub orgs: i64,
    /// Some of them, by slug.
    pub named: Vec<String>,
}

/// The faults that an org's period can have.
#[derive(Debug, Clone)]
pub struct PeriodFaults {
    pub unopened: Faulty,
    /// Ends not after its start.
    pub inverted: Faulty,
    /// Ends at a last moment instead of the first one after: 23:59:59.999.
    pub inclusive: Faulty,
    /// Ended before the instant asked for, and is not closed.
    pub outdated: Faulty,
    /// Begins after any instant that is now.
    pub future: Faulty,
    /// Has closed periods that end, or were closed, after any instant that is now.
    pub closed_ahead: Faulty,
    /// Has packs whose rest was written off after any instant that is now.
    pub expired_ahead: Faulty,
    /// Begins elsewhere than where the last closed one ended: a gap or an overlap.
    pub not_touching: Faulty,
    /// Begins amid a period that was open before it, whose counters are neither open nor closed.
    pub overlapping: Faulty,
    /// Has metrics that no stored period reaches.
    pub dated_ahead: Faulty,
}

/// Looks over every org's open period, and for what a clock that ran ahead has done: what is later
/// than `latest` has not come by any clock.
pub async fn periods(
    connection: &mut PgConnection,
    outdated_before: Instant,
    latest: Instant,
) -> Result<PeriodFaults, StoreError> {
    let rows = sqlx::query!(
        r#"with found as (
               select o.id, o.slug, f.fault
               from organizations o,
                    lateral (values
                        ('unopened', o.current_period_start is null
                                     or o.current_period_end is null),
                        ('inverted', o.current_period_end <= o.current_period_start),
                        ('inclusive', periodd_is_inclusive(o.current_period_start,
                                                           o.current_period_end, o.anchor_time)),
                        ('outdated', o.current_period_end <= $1 and o.parked_at is null),
                        ('future', o.current_period_start > $3),
                        ('closed_ahead', exists (
                            select from billing_periods b
                            where b.org_id = o.id and (b.period_end > $3 or b.closed_at > $3))),
                        ('expired_ahead', exists (
                            select from overage_entries e
                            where e.org_id = o.id and e.kind = 'expired' and e.at > $3)),
                        ('not_touching', o.current_period_start <> (
                            select b.period_end from billing_periods b where b.org_id = o.id
                            order by b.period_start desc limit 1)),
                        ('overlapping', exists (
                            select from usage_counters c
                            where c.org_id = o.id and c.period_start < o.current_period_start
                              and c.period_end > o.current_period_start)),
                        ('dated_ahead', exists (
                            select from usage_metrics m
                            where m.organization_id = o.id and m.counted_at is null
                              and m.created_at >= coalesce(
                                      o.next_period_ends[cardinality(o.next_period_ends)],
                                      o.current_period_end)))) as f (fault, is_so)
               where f.is_so),
           numbered as (
               select fault, slug, row_number() over (partition by fault order by slug) as place
               from found)
           select fault as "fault!", count(*) as "orgs!",
                  array_agg(slug order by place) filter (where place <= $2) as "named!"
           from numbered group by 1"#,
        outdated_before,
        NAMED,
        latest
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
        future: of("future"),
        closed_ahead: of("closed_ahead"),
        expired_ahead: of("expired_ahead"),
        not_touching: of("not_touching"),
        overlapping: of("overlapping"),
        dated_ahead: of("dated_ahead"),
    })
}

/// The time zones in use, with the orgs of each.
pub async fn zones(connection: &mut PgConnection) -> Result<Vec<(String, Faulty)>, StoreError> {
    let rows = sqlx::query!(
        r#"select time_zone, count(*) as "orgs!",
                  (array_agg(slug order by slug))[1:5] as "named!: Vec<String>"
           from organizations group by 1 order by 1"#
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    let zone = rows.map(|row| (row.time_zone, Faulty { orgs: row.orgs, named: row.named }));
    Ok(zone.collect())
}

/// Somebody whom an org's emails could go to.
#[derive(Debug, Clone)]
pub struct AddressRow {
    /// The org, by its slug.
    pub org: String,
    pub email: String,
}

/// Every address of contacts, and of the users of orgs that have none.
pub async fn addresses(
    connection: &mut PgConnection,
    mut each: impl FnMut(AddressRow),
) -> Result<(), StoreError> {
    let mut rows = sqlx::query_as!(
        AddressRow,
        r#"select o.slug as "org!", p.email as "email!"
           from (select c.org_id, c.email from org_contacts c
                 union all
                 select u.organization_id, u.email from users u
                 where not exists (select from org_contacts c
                                   where c.org_id = u.organization_id)) p
           join organizations o on o.id = p.org_id"#
    )
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        each(row);
    }
    Ok(())
}

/// Local times of instants as the database's own tz data has them: `2026-05-01 00:00:00`, and
/// `None` for a zone that it does not know.
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

/// Something in the schema that should not be so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaFault {
    /// A trigger on a table of an org's data.
    #[error("the table {table} has the trigger {name}: tables of an org's data have none")]
    Trigger { table: String, name: String },
    /// A constraint that older rows may break.
    #[error("the constraint {name} of {table} is not validated: rows may break it")]
    NotValidated { table: String, name: String },
    /// An index that was not built to its end.
    #[error("the index {name} is not valid: it was not built to its end")]
    InvalidIndex { name: String },
    /// A column that keeps too few digits.
    #[error("the column {table}.{name} rounds: quantities are numeric without precision")]
    Rounds { table: String, name: String },
    /// A table that hides rows from its owner.
    #[error(
        "the table {table} forces row-level security on its owner: rows are hidden from periodd"
    )]
    ForcedSecurity { table: String },
    /// A table that everybody who may read it sees whole.
    #[error("the table {table} has no row-level security: who may read it sees every org")]
    NoSecurity { table: String },
    /// A table of somebody else.
    #[error("the table {table} belongs to {owner}, and periodd connects as {user}")]
    Foreign { table: String, owner: String, user: String },
}

impl SchemaFault {
    /// The statement that repairs it; `None` where none of ours does. periodd changes nobody's
    /// schema by itself.
    pub fn repair(&self) -> Option<String> {
        Some(match self {
            Self::Trigger { table, name } => {
                format!("drop trigger {} on {}", as_typed(name), as_typed(table))
            }
            Self::NotValidated { table, name } => {
                format!("alter table {} validate constraint {}", as_typed(table), as_typed(name))
            }
            // As the catalogue quotes it.
            Self::InvalidIndex { name } => format!("reindex index concurrently {name}"),
            Self::Rounds { table, name } => {
                format!(
                    "alter table {} alter column {} type numeric",
                    as_typed(table),
                    as_typed(name)
                )
            }
            Self::ForcedSecurity { table } => {
                format!("alter table {} no force row level security", as_typed(table))
            }
            Self::NoSecurity { table } => {
                format!("alter table {} enable row level security", as_typed(table))
            }
            Self::Foreign { .. } => return None,
        })
    }

    /// What a person does where no statement helps.
    pub const fn advice(&self) -> &'static str {
        "connect as the owner of the tables: url in [database]"
    }
}

/// The statement that has an org's open period start where its last closed one ended.
pub fn start_at_last_end(slug: &str) -> String {
    format!(
        "update organizations o set revision = o.revision + 1, current_period_start = \
         (select max(b.period_end) from billing_periods b where b.org_id = o.id) \
         where o.slug = {}",
        tables::literal(slug)
    )
}

/// The statement that has an org's open period start where the one did that its counters are of.
pub fn start_at_overlapped(slug: &str) -> String {
    format!(
        "update organizations o set revision = o.revision + 1, current_period_start = \
         (select min(c.period_start) from usage_counters c where c.org_id = o.id \
         and c.period_start < o.current_period_start and c.period_end > o.current_period_start) \
         where o.slug = {}",
        tables::literal(slug)
    )
}

/// Looks for faults of the schema, by table.
pub async fn schema(connection: &mut PgConnection) -> Result<Vec<SchemaFault>, StoreError> {
    let faults = sqlx::query_as!(
        Fault,
        r#"with ours as (
               select c.oid, c.relname, c.relowner, c.relrowsecurity, c.relforcerowsecurity
               from pg_class c
               where c.relnamespace = (select p.relnamespace from pg_class p
                                       where p.oid = 'organizations'::regclass)
                 and c.relkind in ('r', 'p')
                 and (c.relname like 'periodd\_%' or c.relname = any($1)))
           select kind as "kind!: Kind", relname as "table!", name as "name!", other as "other!"
           from (
               select 'trigger' as kind, o.relname::text, t.tgname::text as name, '' as other
               from ours o join pg_trigger t on t.tgrelid = o.oid and not t.tgisinternal
               where o.relname not like 'periodd\_%'
               union all
               select 'not_validated', o.relname::text, k.conname::text, ''
               from ours o join pg_constraint k on k.conrelid = o.oid and not k.convalidated
               where k.conname not like '%\_range'
               union all
               select 'invalid_index', o.relname::text, i.indexrelid::regclass::text, ''
               from ours o join pg_index i on i.indrelid = o.oid and not i.indisvalid
               union all
               select 'rounds', o.relname::text, a.attname::text, ''
               from ours o join pg_attribute a on a.attrelid = o.oid and a.attnum > 0
                    and not a.attisdropped
               where a.atttypid = 'numeric'::regtype and a.atttypmod <> -1
               union all
               select 'forced_security', o.relname::text, '', ''
               from ours o where o.relforcerowsecurity
               union all
               select 'no_security', o.relname::text, '', ''
               from ours o where not o.relrowsecurity
               union all
               select 'foreign', o.relname::text, pg_get_userbyid(o.relowner)::text,
                      current_user::text
               from ours o where not pg_has_role(current_user, o.relowner, 'member')
           ) as faults order by 1, 2, 3"#,
        &ours::owned(&ours::tables())
    );
    let faults = faults.fetch_all(connection).await?.into_iter();
    let fault = |Fault { kind, table, name, other }| match kind {
        Kind::Trigger => SchemaFault::Trigger { table, name },
        Kind::NotValidated => SchemaFault::NotValidated { table, name },
        Kind::InvalidIndex => SchemaFault::InvalidIndex { name },
        Kind::Rounds => SchemaFault::Rounds { table, name },
        Kind::ForcedSecurity => SchemaFault::ForcedSecurity { table },
        Kind::NoSecurity => SchemaFault::NoSecurity { table },
        Kind::Foreign => SchemaFault::Foreign { table, owner: name, user: other },
    };
    Ok(faults.map(fault).collect())
}

/// A fault as the statement finds it.
struct Fault {
    kind: Kind,
    table: String,
    name: String,
    other: String,
}

#[derive(sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum Kind {
    Trigger,
    NotValidated,
    InvalidIndex,
    Rounds,
    ForcedSecurity,
    NoSecurity,
    Foreign,
}

/// Metrics that no counter holds although they are stamped, for they were used before the org's
/// first period: how many orgs have them, up to a bound.
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
pub async fn features(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    crate::store::usage::usage_file::features(connection).await
}

/// What a role may do with a table, a view or a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    pub role: String,
    /// `select`, `insert` and so on.
    pub privilege: String,
    /// The table, the view or the function.
    pub object: String,
}

/// What the two roles and their members may do, beside what [`roles::create`] gives them.
#[derive(Debug, Clone)]
pub struct Rights {
    /// What the roles are called here, and whom they were given to.
    pub remembered: Option<Roles>,
    /// Which of the two are there.
    pub roles: Vec<String>,
    /// Have they been given anything here? Roles are the whole server's, and other databases of it
    /// may be what they are for.
    pub are_given: bool,
    /// What was given once, and is not there.
    pub lacking: Vec<Right>,
    /// What nobody gave them here: on tables, for these hold what is billed.
    pub excessive: Vec<Right>,
    /// What row-level security does not hold, and nobody but the owner needs: of every role, on our
    /// tables.
    pub unheld: Vec<Right>,
    /// Tables of which the role of trusted servers sees no row.
    pub unseen_by_the_app: Vec<String>,
    /// Whoever has one of the two roles.
    pub members: Vec<MemberRights>,
    /// Roles that row-level security does not hold, that may read our tables, and that are neither
    /// superusers nor trusted servers.
    pub bypassing: Vec<String>,
}

/// What a member of one of the two roles may really do.
#[derive(Debug, Clone)]
pub struct MemberRights {
    pub grant: Grant,
    /// Is there such a role on this server?
    pub exists: bool,
    /// What it lacks of what its role has.
    pub lacking: Vec<Right>,
    /// Does it see the rows that it should see?
    pub sees_rows: bool,
}

impl MemberRights {
    /// Can it do what it was made a member for?
    pub fn is_whole(&self) -> bool {
        self.exists && self.lacking.is_empty() && self.sees_rows
    }
}

impl Rights {
    /// The names that the roles have here.
    pub fn names(&self) -> Roles {
        self.remembered.clone().unwrap_or_default()
    }

    /// Those of the two roles that are not there.
    pub fn missing_roles(&self) -> Vec<String> {
        let both = Audience::ALL.map(|audience| self.names().name(audience));
        both.into_iter().filter(|role| !self.roles.contains(role)).collect()
    }

    /// Is anything not there that was given, and that could be given again?
    pub fn are_lost(&self) -> bool {
        let lost = |member: &MemberRights| member.exists && !member.is_whole();
        self.remembered.is_some()
            && (!self.missing_roles().is_empty()
                || !self.lacking.is_empty()
                || !self.unseen_by_the_app.is_empty()
                || self.members.iter().any(lost))
    }
}

/// What these roles, by their audience, lack of what they should be able to do.
async fn lacking(
    connection: &mut PgConnection,
    of: &[(String, Audience)],
) -> Result<Vec<Right>, StoreError> {
    let given = roles::given();
    let mut asked: (Vec<String>, Vec<String>, Vec<String>) = Default::default();
    for (role, audience) in of {
        for right in given.iter().filter(|given| given.audience == *audience) {
            asked.0.push(role.clone());
            asked.1.push(right.privilege.to_owned());
            asked.2.push(right.object.to_owned());
        }
    }
    let rows = sqlx::query!(
        r#"select g.role as "role!", g.privilege as "privilege!", g.object as "object!"
           from unnest($1::text[], $2::text[], $3::text[]) with ordinality
                    as g (role, privilege, object, place)
           where not coalesce(case when g.privilege = 'execute'
                 then has_function_privilege(g.role, to_regproc(g.object), g.privilege)
                 else has_table_privilege(g.role, to_regclass(g.object), g.privilege) end, false)
           order by g.place"#,
        &asked.0,
        &asked.1,
        &asked.2
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    let right = |role, privilege, object| Right { role, privilege, object };
    Ok(rows.map(|row| right(row.role, row.privilege, row.object)).collect())
}

/// The members of the two roles: those that were remembered, and those that were made otherwise;
/// whoever owns the tables needs no role.
async fn members(
    connection: &mut PgConnection,
    names: &Roles,
) -> Result<Vec<MemberRights>, StoreError> {
    let both = Audience::ALL.map(|audience| names.name(audience));
    let found = sqlx::query!(
        r#"select u.rolname::text as "member!", r.rolname::text as "role!"
           from pg_auth_members m
           join pg_roles r on r.oid = m.roleid
           join pg_roles u on u.oid = m.member
           where r.rolname = any($1) and not u.rolsuper
             and not pg_has_role(u.oid, (select c.relowner from pg_class c
                                         where c.oid = 'organizations'::regclass), 'member')
           order by 1, 2"#,
        &both[..]
    );
    let mut grants = names.members.clone();
    // Of roles that all databases of the server share, others may be members for another one.
    let is_shared = names.prefix == USUAL_PREFIX;
    for row in found.fetch_all(&mut *connection).await? {
        let audience = Audience::ALL.into_iter().find(|audience| names.name(*audience) == row.role);
        let grant = audience.map(|audience| Grant { audience, role: row.member });
        grants.extend(grant.filter(|grant| !is_shared && !names.members.contains(grant)));
    }
    let asked: Vec<String> = grants.iter().map(|grant| grant.role.clone()).collect();
    let facts = sqlx::query!(
        r#"select r.rolname::text as "role!",
                  r.rolsuper or r.rolbypassrls or exists (
                      select from pg_policy p, unnest(p.polroles) as holder (oid)
                      where p.polrelid = 'organizations'::regclass and p.polname = 'of_the_app'
                        and pg_has_role(r.oid, holder.oid, 'usage')) as "sees_everything!"
           from pg_roles r where r.rolname = any($1)"#,
        &asked
    );
    let facts = facts.fetch_all(&mut *connection).await?;
    let there: Vec<(String, Audience)> = grants
        .iter()
        .filter(|grant| facts.iter().any(|fact| fact.role == grant.role))
        .map(|grant| (grant.role.clone(), grant.audience))
        .collect();
    let lacking = lacking(connection, &there).await?;
    let of = |grant: Grant| {
        let fact = facts.iter().find(|fact| fact.role == grant.role);
        let lacking = lacking.iter().filter(|right| right.role == grant.role).cloned().collect();
        let sees = grant.audience == Audience::Member || fact.is_some_and(|f| f.sees_everything);
        MemberRights { exists: fact.is_some(), lacking, sees_rows: sees, grant }
    };
    Ok(grants.into_iter().map(of).collect())
}

/// Roles that row-level security does not hold, beside superusers, the owner and the members of the
/// role of trusted servers, that may read our tables.
async fn bypassing(connection: &mut PgConnection, app: &str) -> Result<Vec<String>, StoreError> {
    let bypassing = sqlx::query_scalar!(
        r#"select r.rolname::text as "role!" from pg_roles r
           where r.rolbypassrls and not r.rolsuper
             and has_table_privilege(r.oid, 'organizations', 'select')
             and not pg_has_role(r.oid, (select c.relowner from pg_class c
                                         where c.oid = 'organizations'::regclass), 'member')
             and not exists (select from pg_roles a
                             where a.rolname = $1 and pg_has_role(r.oid, a.oid, 'member'))
           order by 1"#,
        app
    );
    Ok(bypassing.fetch_all(connection).await?)
}

/// Compares what the two roles, their members and everybody else may do with what they should.
pub async fn rights(connection: &mut PgConnection) -> Result<Rights, StoreError> {
    let remembered = remembered(&mut *connection).await?;
    let names = remembered.clone().unwrap_or_default();
    let both = Audience::ALL.map(|audience| names.name(audience));
    let there = sqlx::query_scalar!(
        r#"select rolname::text as "rolname!" from pg_roles where rolname = any($1) order by 1"#,
        &both[..]
    );
    let there = there.fetch_all(&mut *connection).await?;
    let given = roles::given();
    let right = |role: String, privilege, object| Right { role, privilege, object };
    let (of_roles, privileges): (Vec<_>, Vec<_>) =
        given.iter().map(|given| (names.name(given.audience), given.privilege.to_owned())).unzip();
    let objects: Vec<String> = given.iter().map(|given| given.object.to_owned()).collect();
    let audiences = Audience::ALL.map(|audience| (names.name(audience), audience));
    let those: Vec<_> =
        audiences.into_iter().filter(|(role, _)| there.iter().any(|one| one == role)).collect();
    let lacking = lacking(&mut *connection, &those).await?;
    let excessive = sqlx::query!(
        r#"select r.role as "role!", p.privilege as "privilege!", c.relname::text as "object!"
           from pg_class c, unnest($4::text[]) as r (role),
                unnest(array['select', 'insert', 'update', 'delete'])
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
    // Functions may be everybody's; tables are held by who was given them here.
    let on_tables = |role: &str, privilege: &str| {
        privilege != "execute" && there.iter().any(|there| there == role)
    };
    let expected = given
        .iter()
        .filter(|given| on_tables(&names.name(given.audience), given.privilege))
        .count();
    let missing = lacking.iter().filter(|right| on_tables(&right.role, &right.privilege)).count();
    let unseen = sqlx::query_scalar!(
        r#"select c.relname::text as "table!" from pg_class c
           where c.relnamespace = (select o.relnamespace from pg_class o
                                   where o.oid = 'organizations'::regclass)
             and c.relkind in ('r', 'p') and c.relname = any($1) and c.relrowsecurity
             and c.relname not like 'periodd\_%'
             and exists (select 1 from pg_roles r where r.rolname = $2)
             and exists (select from pg_policy p where p.polrelid = c.oid)
             and not exists (select from pg_policy p
                             where p.polrelid = c.oid and p.polname = 'of_the_app')
           order by 1"#,
        &objects,
        names.name(Audience::App)
    );
    let unheld = sqlx::query!(
        r#"select case when a.grantee = 0 then 'public'
                       else quote_ident(pg_get_userbyid(a.grantee)) end as "role!",
                  periodd_folded(a.privilege_type) as "privilege!", c.relname::text as "object!"
           from pg_class c
           cross join lateral aclexplode(c.relacl) a
           where c.relnamespace = (select o.relnamespace from pg_class o
                                   where o.oid = 'organizations'::regclass)
             and c.relkind in ('r', 'p', 'v')
             and (c.relname like 'periodd\_%' or c.relname = any($1))
             and a.privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER')
             and a.grantee <> c.relowner
           order by 1, 3, 2"#,
        &objects
    );
    let unheld = unheld.fetch_all(&mut *connection).await?.into_iter();
    let unseen_by_the_app = unseen.fetch_all(&mut *connection).await?;
    let bypassing = bypassing(&mut *connection, &names.name(Audience::App)).await?;
    let members = members(connection, &names).await?;
    Ok(Rights {
        are_given: remembered.is_some() || missing < expected,
        members,
        bypassing,
        remembered,
        lacking,
        excessive: excessive.map(|row| right(row.role, row.privilege, row.object)).collect(),
        unheld: unheld.map(|row| right(row.role, row.privilege, row.object)).collect(),
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

/// Finds out how the database is reached. One connection works with one server process for as long
/// as it lives, unless a pooler hands them on: another connection then finds the same one.
pub async fn reach(database: &Database) -> Result<Reach, StoreError> {
    let mut one = database.connection().await?;
    let mut other = database.connection().await?;
    let before = server(&mut one).await?;
    let mut held = crate::store::begin(&mut other).await?;
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

/// Tokens of the HTTP server that are valid now.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Is there any?
    pub any_holds: bool,
    /// How many of them do not expire.
    pub endless: i64,
    /// The first of those, by name.
    pub named: Vec<String>,
}

/// Which tokens clients can show.
pub async fn tokens(connection: &mut PgConnection) -> Result<Tokens, StoreError> {
    let tokens = sqlx::query_as!(
        Tokens,
        r#"select exists (select 1 from periodd_tokens
                          where revoked_at is null and (expires_at > now()) is not false)
                      as "any_holds!",
                  (select count(*) from periodd_tokens
                   where revoked_at is null and expires_at is null) as "endless!",
                  array(select name from periodd_tokens
                        where revoked_at is null and expires_at is null
                        order by name limit $1) as "named!""#,
        NAMED
    );
    Ok(tokens.fetch_one(connection).await?)
}
