//! Orgs and users: `organizations` or `organisations`, `users`, and who can only be told from
//! usage that names them.

use super::source::{Source, anchor_day, anchor_month, anchor_weekday, cycle};
use super::{Draft, ORG, USER};

/// The columns of an adopted org that have a place in ours.
const ORG_COLUMNS: [&str; 24] = [
    "id",
    "slug",
    "name",
    "time_zone",
    "timezone",
    "cycle",
    "anchor_day",
    "anchor_month",
    "subscription_tier",
    "next_subscription_tier",
    "next_subscription_tier_at",
    "subscription_status",
    "subscription_ends_at",
    "current_period_start",
    "current_period_end",
    "current_period_end_date",
    "next_period_ends",
    "used_minutes",
    "overage_minutes",
    "overage_minutes_written",
    "parked_at",
    "parked_reason",
    "revision",
    "created_at",
];
/// The columns of an adopted user that have a place in ours.
const USER_COLUMNS: [&str; 10] = [
    "id",
    "organization_id",
    "organisation_id",
    "org_id",
    "email",
    "plan",
    "subscription_status",
    "usage_this_month",
    "plan_limits_scrapes",
    "created_at",
];
const TIER: [&str; 3] = ["subscription_tier", "plan", "tier"];
const ZONE: [&str; 2] = ["time_zone", "timezone"];
const START: [&str; 1] = ["current_period_start"];
const END: [&str; 1] = ["current_period_end"];
/// How many minutes an org may use, by names that applications give it.
const MINUTES_INCLUDED: [&str; 4] =
    ["included_minutes", "minutes_limit", "monthly_minutes", "plan_minutes"];

/// Tiers that are in use and not known yet: their prices are the operator's to add.
fn tiers(draft: &mut Draft<'_>, source: Source<'_>) {
    if !source.has(&TIER) {
        return;
    }
    let (tier, legacy) = (source.text(&TIER), source.legacy());
    draft.step(
        "add tiers that are in use and unknown, without a price",
        format!(
            "insert into subscription_tiers (code, name)
             select distinct lower({tier}), {tier} from {legacy} where {tier} is not null
             on conflict do nothing"
        ),
    );
    let now = source.now();
    draft.question(
        "tiers that periodd does not know: they are added without a price or limits",
        format!(
            "select count(distinct lower({tier})) from {now}
             where lower({tier}) not in ('free', 'starter', 'pro', 'business')"
        ),
    );
}

/// Adopts a table of orgs.
pub(super) fn orgs(draft: &mut Draft<'_>, source: Source<'_>) {
    draft.replaces_but(source, &ORG_COLUMNS);
    tiers(draft, source);
    let id = source.id(&["id"]);
    let (now, legacy) = (source.now(), source.legacy());
    let (start, end) = (source.instant(&START), source.end(&START, &END));
    let stored_end = source.instant(&END);
    let zone = source.text(&ZONE);
    let zone_or_utc = format!("coalesce({zone}, 'UTC')");
    let (tier, slug, name) = (source.text(&TIER), source.text(&["slug"]), source.text(&["name"]));
    let extra = source.list_extra(&ORG_COLUMNS, "");
    draft.step("keep the orgs' other columns", source.add_extra("organizations", &ORG_COLUMNS));
    draft.step(
        "copy the orgs; periods that have ended, are inverted or missing are opened anew",
        format!(
            "with named as (
                 select x.*, coalesce({slug}, nullif(trim(both '-' from lower(
                     regexp_replace(coalesce({name}, ''), '[^A-Za-z0-9]+', '-', 'g'))), ''), 'org')
                     as periodd_slug
                 from {legacy}),
             told_apart as (
                 select n.*, row_number() over (partition by periodd_slug order by id)
                     as periodd_place
                 from named n)
             insert into organizations
                 (id, slug, name, time_zone, cycle, anchor_day, anchor_month, subscription_tier,
                  subscription_status, current_period_start, current_period_end, created_at{extra})
             select {id},
                    x.periodd_slug || case when x.periodd_place > 1
                                           then '-' || left(x.id::text, 8) else '' end,
                    coalesce({name}, {slug}, x.id::text),
                    coalesce({zone}, 'UTC'),
                    coalesce(lower({cycle}), {cycle_of_period}),
                    coalesce({day}::smallint,
                             case lower({cycle}) when 'weekly' then {weekday} when 'daily' then 1
                                                 else {day_of_period} end, 1),
                    coalesce({month}::smallint, {month_of_period}, 1),
                    coalesce(lower({tier}), 'free'), {status},
                    case when {start} <= now() and {end} > now() then {start} end,
                    case when {start} <= now() and {end} > now() then {end} end,
                    coalesce({created}, now()){values}
             from told_apart x",
            cycle = source.text(&["cycle"]),
            day = source.quantity(&["anchor_day"]),
            month = source.quantity(&["anchor_month"]),
            cycle_of_period = cycle(&start, &end),
            day_of_period = anchor_day(&start, &end, &zone_or_utc, source.naive_zone),
            weekday = anchor_weekday(&end, &zone_or_utc, source.naive_zone),
            month_of_period = anchor_month(&end, &zone_or_utc, source.naive_zone),
            status = source.text(&["subscription_status"]),
            created = source.instant(&["created_at"]),
            values = source.list_extra(&ORG_COLUMNS, "x."),
        ),
    );
    draft.question("orgs", format!("select count(*) from {now}"));
    draft.question(
        "orgs without a period: the one that contains now is opened",
        format!("select count(*) from {now} where {start} is null or {stored_end} is null"),
    );
    draft.question(
        "periods that have ended: nothing is closed for the past, the one that contains now is \
         opened",
        format!("select count(*) from {now} where {end} <= now() and {start} < {stored_end}"),
    );
    draft.question(
        "periods that do not end after they start: opened anew",
        format!("select count(*) from {now} where {stored_end} <= {start}"),
    );
    draft.question(
        "periods that end with their last moment: the end becomes the first moment after it",
        format!("select count(*) from {now} where {}", source.is_inclusive(&START, &END)),
    );
    draft.question(
        "orgs without a time zone: UTC is taken",
        format!("select count(*) from {now} where {zone} is null"),
    );
    draft.zones(format!("select {zone} as zone, count(*) as orgs from {now} group by 1"));
    draft.orgs(format!("select {id} from {now}"));
    draft.question(
        "orgs without a tier: free is taken",
        format!("select count(*) from {now} where {tier} is null"),
    );
    draft.question(
        "slugs that several orgs have: all but the first get a part of their id",
        format!("select count(*) - count(distinct {slug}) from {now} where {slug} is not null"),
    );
    if source.has(&MINUTES_INCLUDED) {
        let included = source.quantity(&MINUTES_INCLUDED);
        draft.step(
            "grant the minutes that each org's row names",
            format!(
                "insert into limit_overrides (org_id, feature, included)
                 select {id}, 'minutes_transcribed',
                        case when {included} >= 0 then {included} end
                 from {legacy} where {included} is not null"
            ),
        );
    }
}

/// Adopts a table of users: each in its org, or as an org of one.
pub(super) fn users(draft: &mut Draft<'_>, source: Source<'_>) {
    draft.replaces_but(source, &USER_COLUMNS);
    let (now, legacy) = (source.now(), source.legacy());
    let (id, org) = (source.id(&["id"]), source.id(&ORG));
    let (email, plan) = (source.text(&["email"]), source.text(&["plan"]));
    let status = source.text(&["subscription_status"]);
    let usage = source.quantity(&["usage_this_month"]);
    let limit = source.quantity(&["plan_limits_scrapes"]);
    tiers(draft, source);
    draft.step(
        "make an org of one for every user without an org",
        format!(
            "with alone as (
                 select {id} as id, lower({email}) as email, lower({plan}) as plan,
                        {status} as status, {created} as created_at,
                        row_number() over (partition by lower({email}) order by {id}) as place
                 from {legacy} where {org} is null)
             insert into organizations
                 (id, slug, name, time_zone, subscription_tier, subscription_status, created_at)
             select id,
                    case when email is not null and place = 1 then email else id::text end,
                    coalesce(email, id::text), 'UTC', coalesce(plan, 'free'), status,
                    coalesce(created_at, now())
             from alone
             on conflict do nothing",
            created = source.instant(&["created_at"])
        ),
    );
    draft.step("keep the users' other columns", source.add_extra("users", &USER_COLUMNS));
    draft.step(
        "copy the users",
        format!(
            "insert into users (id, organization_id, email, plan, subscription_status,
                                usage_this_month, plan_limits_scrapes, created_at{extra})
             select {id}, coalesce({org}, {id}), coalesce({email}, {id}::text), {plan}, {status},
                    coalesce({usage}, 0), case when {limit} >= 0 then {limit} end,
                    coalesce({created}, now()){values}
             from {legacy}",
            created = source.instant(&["created_at"]),
            extra = source.list_extra(&USER_COLUMNS, ""),
            values = source.list_extra(&USER_COLUMNS, "x."),
        ),
    );
    draft.question("users", format!("select count(*) from {now}"));
    draft.orgs(format!("select coalesce({org}, {id}) from {now}"));
    if let Some(orgs) = draft.orgs_now() {
        draft.blocking(
            "users of orgs that do not exist: add the orgs, or correct the users first",
            format!(
                "select count(*) from {now}
                 where {org} is not null and not exists (select from {orgs} o where o.id = {org})"
            ),
        );
    }
    draft.question(
        "users without an org: each becomes an org of one",
        format!("select count(*) from {now} where {org} is null"),
    );
    draft.question(
        "users without an email address",
        format!("select count(*) from {now} where {email} is null"),
    );
    if source.has(&["plan_limits_scrapes"]) {
        draft.step(
            "grant each org of one the scrapes that its user's row names",
            format!(
                "insert into limit_overrides (org_id, feature, included)
                 select coalesce({org}, {id}), 'scrapes', case when {limit} >= 0 then {limit} end
                 from {legacy} where {limit} is not null
                 on conflict (org_id, feature) do update
                     set included = greatest(limit_overrides.included, excluded.included)"
            ),
        );
        draft.question(
            "users whose limit is below zero: unlimited",
            format!("select count(*) from {now} where {limit} < 0"),
        );
        draft.question(
            "users without a limit of their own: their tier's holds",
            format!("select count(*) from {now} where {limit} is null"),
        );
    }
    if source.has(&["usage_this_month"]) {
        draft.usage(
            &format!(
                "select coalesce({org}, {id}) as org_id, {id} as user_id, 'scrapes' as feature,
                        date_trunc('month', now(), 'UTC') as period_start,
                        'infinity'::timestamptz as period_end, {usage} as amount
                 from {legacy}"
            ),
            &format!(
                "select coalesce({org}, {id}) as org_id, 'scrapes' as feature, {usage} as amount
                 from {legacy}"
            ),
        );
        draft.question(
            "users with usage this month: each gets an opening metric",
            format!("select count(*) from {now} where {usage} <> 0"),
        );
    }
}

/// Makes orgs of whoever a table names and nobody knows. A table that is not replaced keeps its
/// name.
pub(super) fn orgs_named_by(draft: &mut Draft<'_>, source: Source<'_>, stays: bool) {
    let (now, org) = (source.now(), source.id(&ORG));
    let table = if stays { now.clone() } else { source.legacy() };
    draft.step(
        "make orgs of those that only usage or subscriptions name",
        format!(
            "insert into organizations (id, slug, name, time_zone)
             select distinct {org}, {org}::text, {org}::text, 'UTC'
             from {table} where {org} is not null
             on conflict do nothing"
        ),
    );
    draft.orgs(format!("select {org} from {now} where {org} is not null"));
    draft.question(
        format!("orgs that {} names", source.table.name),
        format!("select count(distinct {org}) from {now}"),
    );
}

/// Makes users, as orgs of one, of whoever a table names and nobody knows.
pub(super) fn users_named_by(draft: &mut Draft<'_>, source: Source<'_>) {
    let (legacy, user) = (source.legacy(), source.id(&USER));
    draft.users_named_by(source);
    draft.step(
        "make users of those that only usage names",
        format!(
            "with unknown as (
                 select distinct {user} as id from {legacy}
                 where {user} is not null
                   and not exists (select from users u where u.id = {user})),
             orgs as (
                 insert into organizations (id, slug, name, time_zone)
                 select id, id::text, id::text, 'UTC' from unknown on conflict do nothing)
             insert into users (id, organization_id, email) select id, id, id::text from unknown"
        ),
    );
}
