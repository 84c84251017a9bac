//! Roles: who may see and move what, beside the owner.
//!
//! Two roles that nobody logs in with and that others are members of. The schema's own policies
//! hold everybody to what concerns the end user that the connection carries; what is given here
//! opens the rest to a trusted server. All of it may be repeated, and a later migration's tables
//! are found by asking the catalogue.

use sqlx::{Connection, PgConnection};

use super::database::Database;
use super::error::StoreError;

/// For whom a role speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    /// `periodd_app`: a trusted server, which may name any user.
    App,
    /// `periodd_member`: connections that carry an end user.
    Member,
}

impl Audience {
    /// The role's name.
    #[must_use]
    pub const fn role(self) -> &'static str {
        match self {
            Self::App => "periodd_app",
            Self::Member => "periodd_member",
        }
    }
}

/// A role that exists, to become a member of one of the two.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct Grant {
    /// Which of the two.
    pub audience: Audience,
    /// The role that exists.
    pub role: String,
}

/// Makes the two roles if they are not there.
const ROLES: &str = "
    do $$ begin
        if to_regrole('periodd_app') is null then create role periodd_app nologin; end if;
        if to_regrole('periodd_member') is null then create role periodd_member nologin; end if;
    exception when duplicate_object or unique_violation then null;
    end $$;
    comment on role periodd_app is
        'Trusted servers that work with periodd''s tables and may name any user.';
    comment on role periodd_member is
        'Connections that carry an end user, and see what concerns that user.';";

/// What each of them may do. Policies let the first see everything that it was granted; the second
/// is held to the schema's own ones, as everybody is.
const RIGHTS: &str = "
    do $$
    declare
        v_table regclass;
    begin
        execute format('grant usage on schema %I to periodd_app, periodd_member', current_schema());
        for v_table in
            select c.oid from pg_class c
            where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
              and c.relrowsecurity and c.relname not like 'periodd\\_%'
              and exists (select from pg_policy p where p.polrelid = c.oid)
              and not exists (select from pg_policy p
                              where p.polrelid = c.oid and p.polname = 'of_the_app')
        loop
            execute format('create policy of_the_app on %s for all to periodd_app
                                using (true) with check (true)', v_table);
        end loop;
    end $$;
    grant select, insert, update, delete on
        organizations, organisations, users, org_contacts, org_alert_settings, limit_overrides,
        features, subscription_tiers, tier_limits, pack_offers
        to periodd_app;
    grant select, insert, update on
        usage_counters, feature_usage, overage_packs to periodd_app;
    grant select, insert on
        usage_metrics, usage_events, overage_entries to periodd_app;
    grant select on
        billing_periods, billing_period_usage, billing_adjustments, usage_alerts_view,
        periodd_zone_months
        to periodd_app;
    grant execute on function
        record_usage, grant_overage_pack, increment_feature_usage, increment_usage_if_allowed,
        get_current_usage_stats, get_current_usage_period, periodd_period_at, periodd_percent
        to periodd_app;
    grant select on
        organizations, organisations, users, org_contacts, org_alert_settings, limit_overrides,
        features, subscription_tiers, tier_limits, pack_offers,
        usage_metrics, usage_events, usage_counters, feature_usage, overage_packs,
        overage_entries, billing_periods, billing_period_usage, billing_adjustments,
        usage_alerts_view, periodd_zone_months
        to periodd_member;
    grant execute on function
        increment_feature_usage, increment_usage_if_allowed, get_current_usage_stats,
        get_current_usage_period, periodd_period_at, periodd_percent
        to periodd_member;";

/// One of the rights that [`create`] gives.
pub(super) struct Given {
    pub(super) audience: Audience,
    pub(super) privilege: &'static str,
    /// A table, a view or a function.
    pub(super) object: &'static str,
}

/// The rights that [`create`] gives, one by one: read from the very statements, so that the two
/// cannot differ.
pub(super) fn given() -> Vec<Given> {
    let mut all = Vec::new();
    for statement in RIGHTS.split(';').filter_map(|text| text.trim().strip_prefix("grant ")) {
        let Some((privileges, rest)) = statement.split_once(" on") else { continue };
        let Some((objects, role)) = rest.rsplit_once(" to ") else { continue };
        let both = [Audience::App, Audience::Member];
        let Some(audience) = both.into_iter().find(|audience| audience.role() == role.trim())
        else {
            continue;
        };
        let objects = objects.trim_start().trim_start_matches("function");
        for privilege in privileges.split(',').map(str::trim) {
            for object in objects.split(',').map(str::trim) {
                all.push(Given { audience, privilege, object });
            }
        }
    }
    all
}

/// Makes the two roles and gives them to roles that exist, in one transaction.
///
/// # Errors
/// [`StoreError::Invalid`] for a role that does not exist; [`StoreError::Configuration`] when this
/// connection may not make or give roles.
pub async fn create(database: &Database, grants: &[Grant]) -> Result<(), StoreError> {
    let mut connection = database.connection().await?;
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("set local client_min_messages = warning").execute(&mut *transaction).await?;
    let mut members = Vec::with_capacity(grants.len());
    for grant in grants {
        members.push((grant.audience.role(), quoted(&mut transaction, &grant.role).await?));
    }
    for statements in [ROLES, RIGHTS] {
        sqlx::raw_sql(statements).execute(&mut *transaction).await.map_err(refused)?;
    }
    for (role, member) in members {
        let grant = sqlx::AssertSqlSafe(format!("grant {role} to {member}"));
        sqlx::raw_sql(grant).execute(&mut *transaction).await.map_err(refused)?;
    }
    transaction.commit().await?;
    Ok(())
}

/// A role's name as statements spell it, from the catalogue.
async fn quoted(connection: &mut PgConnection, role: &str) -> Result<String, StoreError> {
    let found: Option<(String,)> =
        sqlx::query_as("select quote_ident(rolname) from pg_roles where rolname = $1")
            .bind(role)
            .fetch_optional(connection)
            .await?;
    found.map(|(quoted,)| quoted).ok_or_else(|| {
        StoreError::Invalid(format!(
            "there is no role `{role}`: create it first, or correct the name"
        ))
    })
}

/// Says what to do where roles may not be made.
fn refused(error: sqlx::Error) -> StoreError {
    let denied = error.as_database_error().is_some_and(|e| e.code().as_deref() == Some("42501"));
    if denied {
        return StoreError::Configuration(format!(
            "this connection may not see to roles ({}): run it once as a superuser or as the \
             tables' owner with CREATEROLE",
            error.as_database_error().map(ToString::to_string).unwrap_or_default()
        ));
    }
    error.into()
}
