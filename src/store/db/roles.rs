//! Roles: who may see and move what, beside the owner.
//!
//! Two roles that nobody logs in with and that others are members of. The schema's own policies
//! hold everybody to what concerns the end user that the connection carries; what is given here
//! opens the rest to a trusted server. All of it may be repeated, and a later migration's tables
//! are found by asking the catalogue.

use sqlx::{Connection, PgConnection};

use super::api;
use super::database::Database;
use super::error::StoreError;
use super::role_names::{Audience, Grant, Roles, remember, remembered};
use super::tables::{self, Identifier};

/// Makes the two roles if they are not there. Roles that are need nothing: who works here may be
/// allowed to give them, and not to make any.
pub(crate) fn make(prefix: &str) -> String {
    let about = |audience| match audience {
        Audience::App => "Trusted servers that work with periodd''s tables and may name any user.",
        Audience::Member => "Connections that carry an end user, and see what concerns that user.",
    };
    let one = |audience: Audience| {
        let name = audience.role(prefix);
        let (role, text) = (Identifier::new(&name), tables::literal(&name));
        format!(
            "if not exists (select from pg_roles where rolname = {text}) then
                 create role {role} nologin;
                 comment on role {role} is '{}';
             end if;",
            about(audience)
        )
    };
    format!(
        "do $$ begin
             {}
         exception when duplicate_object or unique_violation then null;
         end $$;",
        Audience::ALL.map(one).concat()
    )
}

/// Tables of ours whose rows policies hide, and whether trusted servers have a policy there.
const HIDDEN: &str = "select c.relname::text,
           exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'of_the_app')
    from pg_class c
    where c.relnamespace = quote_ident(current_schema())::regnamespace
      and c.relkind in ('r', 'p') and c.relrowsecurity
      and (c.relname not like 'periodd\\_%'
           or c.relname in ('periodd_usage_keys', 'periodd_moved_packs', 'periodd_refund_keys'))
      and exists (select from pg_policy p where p.polrelid = c.oid)
    order by 1";

/// Lets these roles reach the schema. Policies let trusted servers see everything that they were
/// granted; the others are held to the schema's own ones, as everybody is. A policy holds for
/// roles that inherit from the ones that it names: others are named themselves.
async fn policies(
    connection: &mut PgConnection,
    everybody: &[Identifier],
    trusted: &[Identifier],
) -> Result<(), sqlx::Error> {
    let list = |roles: &[Identifier]| {
        roles.iter().map(Identifier::to_string).collect::<Vec<_>>().join(", ")
    };
    let (schema,): (String,) =
        sqlx::query_as("select current_schema()::text").fetch_one(&mut *connection).await?;
    let usage = format!("grant usage on schema {} to {}", tables::quoted(&schema), list(everybody));
    tables::execute(connection, &usage).await?;
    let hidden: Vec<(String, bool)> = sqlx::query_as(HIDDEN).fetch_all(&mut *connection).await?;
    for (table, has_policy) in hidden {
        let (table, trusted) = (tables::quoted(&table), list(trusted));
        let policy = if has_policy {
            format!("alter policy of_the_app on {table} to {trusted}")
        } else {
            format!(
                "create policy of_the_app on {table} for all to {trusted}
                 using (true) with check (true)"
            )
        };
        tables::execute(connection, &policy).await?;
    }
    Ok(())
}

/// Trusted servers and end users.
const BOTH: &[Audience] = &[Audience::App, Audience::Member];
const APP: &[Audience] = &[Audience::App];

/// What they may do: who, the privileges, and on which tables, views or functions.
const RIGHTS: [(&[Audience], &[&str], &[&str]); 8] = [
    (
        BOTH,
        &["select"],
        &[
            "organizations",
            "organisations",
            "users",
            "org_contacts",
            "org_alert_settings",
            "limit_overrides",
            "user_limits",
            "features",
            "subscription_tiers",
            "tier_limits",
            "pack_offers",
            "usage_metrics",
            "usage_events",
            "usage_counters",
            "feature_usage",
            "overage_packs",
            "overage_entries",
            "billing_periods",
            "billing_period_usage",
            "billing_adjustments",
            "usage_alerts_view",
            "periodd_zone_months",
        ],
    ),
    (
        APP,
        &["insert", "update", "delete"],
        &[
            "organizations",
            "organisations",
            "users",
            "org_contacts",
            "org_alert_settings",
            "limit_overrides",
            "user_limits",
            "features",
            "subscription_tiers",
            "tier_limits",
            "pack_offers",
        ],
    ),
    (APP, &["insert", "update"], &["usage_counters", "feature_usage", "overage_packs"]),
    (APP, &["insert"], &["usage_metrics", "usage_events", "overage_entries"]),
    (
        BOTH,
        &[EXECUTE],
        &[
            "increment_feature_usage",
            "increment_usage_if_allowed",
            "get_current_usage_stats",
            "get_current_usage_period",
            "periodd_period_at",
            "periodd_percent",
            "periodd_folded",
            "periodd_included",
            "periodd_at_least",
            "periodd_kept",
            "periodd_kept_in",
            "periodd_standing",
            "periodd_held",
            "periodd_first_month",
            "periodd_foreseen",
            "periodd_allowances",
            "periodd_limit",
            "periodd_ended_tier",
            "periodd_is_paused",
            "periodd_carried",
            "periodd_unsubscribe",
        ],
    ),
    (APP, &["select"], &["periodd_usage_keys", "periodd_moved_packs"]),
    (APP, &["select", "insert"], &["periodd_refund_keys"]),
    (
        APP,
        &[EXECUTE],
        &[
            "increment_org_usage",
            "record_usage",
            "record_usage_batch",
            "periodd_seen",
            "grant_overage_pack",
            "refund_overage_pack",
            "periodd_enter_packs",
            "periodd_enter_entries",
            "periodd_hold_packs",
            "periodd_left",
            "restart_billing_cycle",
            "set_usage_level",
            "remove_org",
            "merge_orgs",
            "move_overage_pack",
            "erase_user",
            "periodd_is_deleted",
            "periodd_is_key",
            "periodd_refuse_key",
            "periodd_keyed",
            "periodd_refuse_reuse",
            "periodd_record_batch",
            "periodd_events",
            "periodd_check_time",
            "periodd_check_quantity",
            "periodd_lock_org",
        ],
    ),
];
/// The privilege on functions.
const EXECUTE: &str = "execute";

/// The statements that give what an audience has in [`RIGHTS`] to a role; or take it back.
fn rights(audience: Audience, role: &Identifier, is_given: bool) -> Vec<String> {
    let (verb, to) = if is_given { ("grant", "to") } else { ("revoke", "from") };
    let of_audience = RIGHTS.iter().filter(|(audiences, ..)| audiences.contains(&audience));
    let statement = |(_, privileges, objects): &(&[Audience], &[&str], &[&str])| {
        let kind = if privileges.contains(&EXECUTE) { "function " } else { "" };
        let (privileges, objects) = (privileges.join(", "), objects.join(", "));
        format!("{verb} {privileges} on {kind}{objects} {to} {role}")
    };
    of_audience.map(statement).collect()
}

/// One of the rights that [`create`] gives.
pub(crate) struct Given {
    pub(crate) audience: Audience,
    pub(crate) privilege: &'static str,
    /// A table, a view or a function.
    pub(crate) object: &'static str,
}

/// The rights that [`create`] gives, one by one.
pub(crate) fn given() -> Vec<Given> {
    let mut all = Vec::new();
    for (audiences, privileges, objects) in RIGHTS {
        for &audience in audiences {
            for privilege in privileges {
                all.extend(objects.iter().map(|object| Given { audience, privilege, object }));
            }
        }
    }
    all
}

/// A role that may create objects in periodd's schema, and is nobody whom periodd has to trust.
///
/// What such a role makes there is found by the names in periodd's own statements, and runs with
/// the rights of the tables' owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creator {
    /// The role as statements spell it; `public` is everybody.
    pub role: String,
    /// The schema as statements spell it.
    pub schema: String,
}

impl Creator {
    /// The statement that takes the right back.
    pub fn revoke(&self) -> String {
        format!("revoke create on schema {} from {}", self.schema, self.role)
    }
}

/// Who may create objects in the schema besides its owner, the tables' owner, the database's owner,
/// superusers and members of these.
pub async fn creators(connection: &mut PgConnection) -> Result<Vec<Creator>, StoreError> {
    let found: Vec<(String, String)> = sqlx::query_as(
        "select case when a.grantee = 0 then 'public'
                     else quote_ident(pg_get_userbyid(a.grantee)) end,
                quote_ident(n.nspname)
         from pg_namespace n
         cross join lateral aclexplode(n.nspacl) a
         left join pg_roles r on r.oid = a.grantee
         where n.nspname = current_schema() and a.privilege_type = 'CREATE'
           and r.rolsuper is not true and r.rolname is distinct from 'pg_database_owner'
           and not exists (
               select from (select n.nspowner
                            union select d.datdba from pg_database d
                            where d.datname = current_database()
                            union select c.relowner from pg_class c
                            where c.oid = to_regclass('organizations')
                            union select u.oid from pg_roles u
                            where u.rolname = current_user) as o (trusted)
               where a.grantee <> 0 and pg_has_role(a.grantee, o.trusted, 'member'))
         order by 1",
    )
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(|(role, schema)| Creator { role, schema }).collect())
}

/// Refuses a schema in which others may create objects: functions there would lend them the rights
/// of the tables' owner.
///
/// # Errors
/// [`StoreError::Configuration`] with the statements that close the schema.
pub async fn require_closed_schema(database: &Database) -> Result<(), StoreError> {
    let creators = creators(&mut *database.connection().await?).await?;
    let Some(first) = creators.first() else { return Ok(()) };
    let names: Vec<&str> = creators.iter().map(|creator| creator.role.as_str()).collect();
    let revokes: Vec<String> = creators.iter().map(Creator::revoke).collect();
    Err(StoreError::Configuration(format!(
        "{} may create objects in the schema {}, which would run with the rights of the tables' \
         owner; nothing was changed; as the schema's owner run: {};",
        names.join(", "),
        first.schema,
        revokes.join("; ")
    )))
}

/// Makes the two roles and gives them to roles that exist, in one transaction, and remembers both.
/// What was given before stays given, under the prefix that is wanted now.
///
/// # Errors
/// [`StoreError::Invalid`] for a role that does not exist; [`StoreError::Configuration`] when this
/// connection may not make or give roles, or when others may create objects in the schema.
pub async fn create(
    database: &Database,
    prefix: Option<&str>,
    grants: &[Grant],
) -> Result<Roles, StoreError> {
    require_closed_schema(database).await?;
    let mut connection = database.connection().await?;
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("set local client_min_messages = warning").execute(&mut *transaction).await?;
    // Functions pin the search path of their creation.
    let schema = tables::current_schema(&mut transaction).await?;
    tables::search_only(&mut transaction, &schema).await?;
    let before = remembered(&mut transaction).await?.unwrap_or_default();
    let mut wanted = before.clone();
    prefix.unwrap_or(&before.prefix).clone_into(&mut wanted.prefix);
    for grant in grants {
        member(&mut transaction, &grant.role).await?;
        if !wanted.members.contains(grant) {
            wanted.members.push(grant.clone());
        }
    }
    let members = existing(&mut transaction, &wanted.members).await?;
    give(&mut transaction, &wanted, &members).await.map_err(refused)?;
    remember(&mut transaction, &wanted).await?;
    if before.prefix != wanted.prefix {
        take_back(&mut transaction, &before).await.map_err(refused)?;
        api::name_roles(&mut transaction).await?;
    }
    transaction.commit().await?;
    Ok(wanted)
}

/// A role that becomes a member, and whether it has the rights of what it is a member of without
/// becoming that.
struct Member {
    audience: Audience,
    role: Identifier,
    inherits: bool,
}

/// Those of the members that there are on this server.
async fn existing(
    connection: &mut PgConnection,
    members: &[Grant],
) -> Result<Vec<Member>, StoreError> {
    let names: Vec<&str> = members.iter().map(|grant| grant.role.as_str()).collect();
    let there: Vec<(String, bool)> = sqlx::query_as(
        "select rolname::text, rolinherit from pg_roles where rolname = any($1) order by 1",
    )
    .bind(names)
    .fetch_all(connection)
    .await?;
    let found = |grant: &Grant| {
        let (_, inherits) = there.iter().find(|(name, _)| *name == grant.role)?;
        let role = Identifier::new(&grant.role);
        Some(Member { audience: grant.audience, role, inherits: *inherits })
    };
    Ok(members.iter().filter_map(found).collect())
}

/// From this version on a membership says itself whether it is inherited.
const MEMBERSHIPS_INHERIT_SINCE: i32 = 160_000;

async fn give(
    connection: &mut PgConnection,
    roles: &Roles,
    members: &[Member],
) -> Result<(), sqlx::Error> {
    let (version,): (i32,) = sqlx::query_as("select current_setting('server_version_num')::int")
        .fetch_one(&mut *connection)
        .await?;
    let is_said = version >= MEMBERSHIPS_INHERIT_SINCE;
    // A role that inherits nothing (Supabase's are made so) has what it is given itself.
    let apart = || members.iter().filter(|member| !is_said && !member.inherits);
    let own = Audience::ALL.map(|audience| (audience, Identifier::new(&roles.name(audience))));
    let own = own.iter().map(|(audience, role)| (*audience, role));
    let all: Vec<(Audience, Identifier)> = own
        .chain(apart().map(|member| (member.audience, &member.role)))
        .map(|(audience, role)| (audience, role.clone()))
        .collect();
    let everybody: Vec<Identifier> = all.iter().map(|(_, role)| role.clone()).collect();
    let trusted = all.iter().filter(|(audience, _)| *audience == Audience::App);
    let trusted: Vec<Identifier> = trusted.map(|(_, role)| role.clone()).collect();
    // A prefix is plain: see `role_names`.
    sqlx::raw_sql(sqlx::AssertSqlSafe(make(&roles.prefix))).execute(&mut *connection).await?;
    policies(connection, &everybody, &trusted).await?;
    for (audience, role) in &all {
        for statement in rights(*audience, role, true) {
            tables::execute(connection, &statement).await?;
        }
    }
    for member in members {
        let (role, to) = (Identifier::new(&roles.name(member.audience)), &member.role);
        let option = if is_said { " with inherit true" } else { "" };
        tables::execute(connection, &format!("grant {role} to {to}{option}")).await?;
    }
    Ok(())
}

/// Takes back what roles under another prefix were given here; the roles stay the server's.
async fn take_back(connection: &mut PgConnection, before: &Roles) -> Result<(), sqlx::Error> {
    for audience in Audience::ALL {
        let name = before.name(audience);
        let there: Option<(i32,)> = sqlx::query_as("select 1 from pg_roles where rolname = $1")
            .bind(&name)
            .fetch_optional(&mut *connection)
            .await?;
        if there.is_some() {
            for statement in rights(audience, &Identifier::new(&name), false) {
                tables::execute(connection, &statement).await?;
            }
        }
    }
    Ok(())
}

/// A role that exists.
async fn member(connection: &mut PgConnection, role: &str) -> Result<Identifier, StoreError> {
    let found: Option<(String,)> =
        sqlx::query_as("select rolname::text from pg_roles where rolname = $1")
            .bind(role)
            .fetch_optional(connection)
            .await?;
    found.map(|(name,)| Identifier::new(&name)).ok_or_else(|| {
        StoreError::Invalid(format!("unknown role `{role}`: create it first, or correct the name"))
    })
}

/// Says what to do where roles may not be made.
fn refused(error: sqlx::Error) -> StoreError {
    let denied = error.as_database_error().is_some_and(|e| e.code().as_deref() == Some("42501"));
    if denied {
        return StoreError::Configuration(format!(
            "this connection may not manage roles ({}): run the command once as a superuser or as \
             the tables' owner with CREATEROLE",
            error.as_database_error().map(ToString::to_string).unwrap_or_default()
        ));
    }
    error.into()
}
