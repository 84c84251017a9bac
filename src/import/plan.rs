//! What is to be adopted, as a value: made from the catalogue alone, and nothing left to decide.

use super::answers::{Answers, Members};
use super::draft::{Adoption, DatabaseUse, Draft, Placed, Step, Work, orgs_table};
use super::orgs_and_users::Membership;
use super::source::{ORGS, Source, USERS, legacy_name};
use super::{MEMBER_ORG, ORG, USER, not_carried_over, orgs_and_users, repairs, usage};
use crate::command::Command;
use crate::store::db::error::StoreError;
use crate::store::db::ours;
use crate::store::db::tables::{self, Catalogue, Column, Relation, quoted};

/// Tables of memberships, by the names that applications give them.
const MEMBERS: [&str; 10] = [
    "memberships",
    "organization_members",
    "organisation_members",
    "organization_memberships",
    "organization_users",
    "org_members",
    "org_users",
    "user_organizations",
    "team_members",
    "members",
];
/// Tables of subscriptions.
const SUBSCRIPTIONS: [&str; 4] =
    ["org_subscriptions", "organization_subscriptions", "subscriptions", "user_subscriptions"];

/// What adopting this database takes; `None` where there is nothing to adopt. Of a database that
/// is in use, what may have to be mended.
///
/// # Errors
/// [`StoreError::Invalid`] for an answer that names no table or column to ask about.
pub fn plan(
    catalogue: &Catalogue,
    database_use: DatabaseUse,
    answers: &Answers,
) -> Result<Option<Adoption>, StoreError> {
    if database_use == DatabaseUse::InUse {
        return Ok(Some(repairs::open_periods(Draft::new(catalogue, database_use))));
    }
    let is_ours = database_use == DatabaseUse::Fresh;
    let any = |_: &Relation| true;
    // Of a database that is migrated, tables whose names are not ours.
    let table = |name: &str, foreign: &dyn Fn(&Relation) -> bool| {
        let is_free = !is_ours || !ours::tables().contains(&name);
        catalogue.table(name).filter(|table| is_free && foreign(table))
    };
    let source = |table, stays| Source { table, answers, stays };
    let orgs = if is_ours { None } else { orgs_table(catalogue) };
    let users = table("users", &|t| t.column("id").is_some());
    let metrics = table("usage_metrics", &any);
    let events = table("usage_events", &any);
    let counters = table("usage_counters", &any);
    let sms = table("sms_usage", &any);
    let subscriptions = SUBSCRIPTIONS.iter().find_map(|name| table(name, &any));
    let subscriptions = subscriptions.map(|table| source(table, true));
    let subscriptions = subscriptions.filter(|table| usage::is_of_subscriptions(*table));
    let per_user = table("user_feature_usage", &any);
    let per_user_too = table("feature_usage", &|t| t.column("organization_id").is_none());
    let purchases = ["overage_purchases", "minute_purchases"].iter().find_map(|n| table(n, &any));
    let sources = [orgs, users, metrics, events, counters, sms, per_user, per_user_too];
    asked_for(answers, [metrics, events].into_iter().flatten())?;
    if sources.iter().all(Option::is_none) && subscriptions.is_none() {
        return Ok(if is_ours { None } else { look_alikes(catalogue) });
    }
    let members = members(catalogue, users, answers)?;
    let mut draft = Draft::new(catalogue, database_use);
    answers.clone_into(&mut draft.adoption.answers);
    if !is_ours {
        for view in
            ["feature_usage", "organisations", "usage_events", "usage_alerts_view", "usage_metrics"]
        {
            draft.drops_view(view);
        }
    }
    if let Some(members) = members {
        draft.maps(members, None, &MEMBER_ORG);
    }
    if let Some(table) = orgs {
        draft.maps(source(table, false), Some(ORGS), &[]);
        orgs_and_users::orgs(&mut draft, source(table, false));
    }
    let name_orgs = [counters, sms, users, metrics, events].into_iter().flatten();
    let name_orgs = name_orgs.map(|table| source(table, false)).chain(subscriptions);
    for table in name_orgs.filter(|table| orgs.is_none() && table.has(&ORG)) {
        draft.maps(table, None, &ORG);
        orgs_and_users::orgs_named_by(&mut draft, table, &ORG);
    }
    if let Some(members) = members.filter(|_| orgs.is_none()) {
        orgs_and_users::orgs_named_by(&mut draft, members, &MEMBER_ORG);
    }
    match (users, members) {
        (Some(table), _) => {
            let table = source(table, false);
            draft.maps(table, Some(USERS), &ORG);
            orgs_and_users::users(&mut draft, table, members.map(Membership));
        }
        (None, Some(members)) => orgs_and_users::users_of_members(&mut draft, members),
        (None, None) => {}
    }
    for table in [per_user, per_user_too].into_iter().flatten() {
        orgs_and_users::users_named_by(&mut draft, source(table, false));
        usage::named_counters(&mut draft, source(table, false));
    }
    if let Some(table) = orgs.filter(|table| table.column("overage_minutes").is_some()) {
        let purchases = purchases.map(|table| source(table, true));
        usage::packs(&mut draft, source(table, false), purchases);
    }
    for table in [metrics, events].into_iter().flatten().map(|table| source(table, false)) {
        if table.has(&USER) && !table.has(&ORG) {
            orgs_and_users::users_named_by(&mut draft, table);
        }
        usage::metrics(&mut draft, table);
    }
    if let Some(table) = counters {
        usage::counters(&mut draft, source(table, false));
    }
    if let Some(table) = sms {
        usage::sms_usage(&mut draft, source(table, false));
    }
    if let Some(table) = subscriptions {
        let brings_tiers = orgs.is_none_or(|orgs| !orgs_and_users::has_tiers(source(orgs, false)));
        usage::subscriptions(&mut draft, table, brings_tiers);
    }
    draft.write_usage();
    if !is_ours {
        in_the_way(&mut draft);
    }
    not_carried_over::questions(&mut draft);
    of_several_owners(&mut draft);
    Ok(Some(draft.finished()))
}

/// Tables that are orgs, users or usage by their names, in another spelling than the one that is
/// read: that there is nothing to import would be wrong.
fn look_alikes(catalogue: &Catalogue) -> Option<Adoption> {
    let known = ["organization", "user", "usage_metric", "usage_event", "usage_counter", "usage"];
    let is_alike = |name: &&str| {
        let name = tables::snake(name);
        let singular = name.strip_suffix('s').unwrap_or(&name).replace("organis", "organiz");
        known.contains(&singular.as_str())
    };
    let names: Vec<&str> = catalogue.tables().filter(is_alike).collect();
    if names.is_empty() {
        return None;
    }
    let mut draft = Draft::new(catalogue, DatabaseUse::Foreign);
    draft.refuse(format!(
        "the names of {} are not the ones that are imported (organizations, users, usage_metrics, \
         usage_events, usage_counters): rename the tables for the import, or start without them \
         with `{}`",
        names.join(", "),
        Command::periodd(["db", "migrate"])
    ));
    Some(draft.finished())
}

/// Holds the columns that an operator named to those that there are.
fn asked_for<'a>(
    answers: &Answers,
    metrics: impl Iterator<Item = &'a Relation>,
) -> Result<(), StoreError> {
    let metrics: Vec<&Relation> = metrics.collect();
    for answer in &answers.used_at {
        let table = metrics.iter().find(|table| table.name == answer.table).ok_or_else(|| {
            StoreError::Invalid(format!(
                "--used-at-column names `{}`, which is not a table of metrics to import",
                answer.table
            ))
        })?;
        if table.column(&answer.column).is_none() {
            return Err(StoreError::Invalid(format!(
                "--used-at-column: the table {} has no column `{}`",
                answer.table, answer.column
            )));
        }
    }
    Ok(())
}

/// The table of memberships: the one that was named, else the first with a usual name, where no
/// column of the users says which org they are in.
fn members<'a>(
    catalogue: &'a Catalogue,
    users: Option<&Relation>,
    answers: &'a Answers,
) -> Result<Option<Source<'a>>, StoreError> {
    let source = |table| Source { table, answers, stays: true };
    match &answers.members {
        Members::None => Ok(None),
        Members::Table(name) => {
            let table = catalogue.table(name).map(source);
            let fits = table.filter(|table| table.has(&USER) && table.has(&MEMBER_ORG));
            fits.map(Some).ok_or_else(|| {
                StoreError::Invalid(format!(
                    "--member-table: there is no table `{name}` with a column {} and one of {}",
                    USER.join(", "),
                    MEMBER_ORG.join(", ")
                ))
            })
        }
        Members::Usual if users.is_some_and(|users| users.first(&ORG).is_some()) => Ok(None),
        Members::Usual => {
            let tables = MEMBERS.iter().filter_map(|name| catalogue.table(name)).map(source);
            Ok(tables.into_iter().find(|table| table.has(&USER) && table.has(&ORG)))
        }
    }
}

/// A table of a role that owns none of the others may be there to have its types and casts run with
/// the rights of whoever imports: it is named before a single row is read.
fn of_several_owners(draft: &mut Draft<'_>) {
    let names = &draft.adoption.replaces;
    let tables: Vec<&Relation> =
        names.iter().filter_map(|name| draft.catalogue.table(name)).collect();
    let first = tables.iter().find(|table| table.has_trusted_owner).or(tables.first()).copied();
    let Some(first) = first else { return };
    let is_other = |table: &&&Relation| !table.has_trusted_owner && table.owner != first.owner;
    draft.adoption.mistrusts = tables
        .iter()
        .filter(is_other)
        .map(|table| {
            format!(
                "{} belongs to {}, but {} to {}: change its owner (`alter table {} owner to {}`), \
                 or rename it to exclude it from the import",
                table.name,
                table.owner,
                first.name,
                first.owner,
                quoted(&table.name),
                quoted(&first.owner)
            )
        })
        .collect();
}

/// Tables whose names we need and that hold nothing of ours: set aside, whole.
fn in_the_way(draft: &mut Draft<'_>) {
    let names = ours::tables();
    let taken = names.iter().filter_map(|name| draft.catalogue.table(name));
    let more: Vec<&Relation> =
        taken.filter(|table| !draft.adoption.replaces.contains(&table.name)).collect();
    for table in more {
        draft.adoption.replaces.push(table.name.clone());
        let now = quoted(&table.name);
        let codes = table.column("code").filter(|_| table.name == "subscription_tiers");
        if codes.is_some() {
            let (name, price, placed) = tier_columns(table);
            let legacy = quoted(&legacy_name(&table.name));
            let step = Step {
                what: "keep the existing tiers",
                work: Work::Statements(vec![format!(
                    "insert into subscription_tiers as t (code, name, monthly_price_cents)
                     select lower(x.code::text), {name}, coalesce({price}, 0) from {legacy} x
                     on conflict (code) do update
                         set name = coalesce(excluded.name, t.name),
                             monthly_price_cents = excluded.monthly_price_cents"
                )]),
            };
            draft.adoption.steps.insert(0, step);
            draft.question(
                "tiers: they keep code, name and price in cents",
                format!("select count(*) from {now}"),
            );
            draft.placed.push(Placed { table: table.clone(), to: None, taken: placed });
        } else {
            draft.question(
                format!(
                    "rows of {}, a name that periodd needs: the table is renamed and none of its \
                     rows are imported",
                    table.name
                ),
                format!("select count(*) from {now}"),
            );
        }
    }
}

/// A tier's name and price as expressions, and the columns that they come from.
fn tier_columns(table: &Relation) -> (String, String, Vec<String>) {
    let found = |names: &[&str], numeric: bool| {
        table.first(names).filter(|column| column.is_numeric() == numeric)
    };
    let name = found(&["name", "display_name"], false);
    let price = found(&["monthly_price_cents", "price_cents"], true);
    let expression = |column: Option<&Column>, kind: &str| {
        column.map_or(format!("null::{kind}"), |c| format!("x.{}::{kind}", quoted(&c.name)))
    };
    let placed = [name, price].into_iter().flatten().map(|column| column.name.clone());
    let placed = placed.chain(["code".to_owned(), "id".to_owned()]).collect();
    (expression(name, "text"), expression(price, "bigint"), placed)
}
