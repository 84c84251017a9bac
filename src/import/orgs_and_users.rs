//! Orgs and users: `organizations` or `organisations`, `users`, and who can only be told from
//! usage that names them.

use super::answers::Members;
use super::draft::month_of_counter;
use super::source::{
    ORGS, Source, USERS, anchor_day, anchor_month, anchor_time, anchor_weekday, cycle,
};
use super::{Draft, MEMBER_ORG, ORG, USER};
use crate::billing::Cycle;
use crate::billing::parking::ParkedCode;
use crate::store::db::migrations::FIRST_TIERS;
use crate::store::db::tables::{literal, quoted};

/// What of an adopted org's row becomes something of ours, by the names that applications give it.
const ORG_TAKEN: [&[&str]; 15] = [
    &["id"],
    &["slug"],
    &["name"],
    &ZONE,
    &["cycle"],
    &["anchor_day"],
    &["anchor_month"],
    &["subscription_tier"],
    &["subscription_status"],
    &START,
    &END,
    &["used_minutes"],
    &["overage_minutes"],
    &["locale"],
    &["created_at"],
];
/// The same of an adopted user's.
const USER_TAKEN: [&[&str]; 8] = [
    &["id"],
    &ORG,
    &["email"],
    &["plan"],
    &["subscription_status"],
    &["usage_this_month"],
    &["plan_limits_scrapes"],
    &["created_at"],
];
/// What the database takes for a language: `en`, `en-GB`.
const LANGUAGE: &str = "'^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$'";
const TIER: [&str; 3] = ["subscription_tier", "plan", "tier"];
const ZONE: [&str; 2] = ["time_zone", "timezone"];
const START: [&str; 1] = ["current_period_start"];
const END: [&str; 1] = ["current_period_end"];
/// How often the periods of an org end, in words.
pub(super) const CYCLE: [&str; 4] = ["cycle", "billing_cycle", "billing_interval", "interval"];
/// Since when an application holds a row for deleted, or that it does.
const DELETED: [&str; 3] = ["deleted_at", "is_deleted", "deleted"];
/// Tables that are called like what others call an org.
const ORG_LIKE: [&str; 6] =
    ["teams", "workspaces", "tenants", "companies", "customers", "organization"];
/// How many minutes an org may use, by names that applications give it.
const MINUTES_INCLUDED: [&str; 4] =
    ["included_minutes", "minutes_limit", "monthly_minutes", "plan_minutes"];

/// Does the application hold a row for deleted?
fn is_deleted(source: Source<'_>) -> String {
    match source.table.first(&DELETED) {
        None => "false".to_owned(),
        Some(column) if column.type_name == "boolean" => {
            format!("coalesce(x.{}, false)", quoted(&column.name))
        }
        Some(column) => format!("(x.{} is not null)", quoted(&column.name)),
    }
}

/// The columns `parked_at, parked_reason, parked_code` of an org that is held for deleted.
fn parked(is_deleted: &str) -> String {
    let code = literal(ParkedCode::ByHand.name());
    format!(
        "case when {is_deleted} then now() end,
         case when {is_deleted} then 'deleted in the application before the import' end,
         case when {is_deleted} then {code} end"
    )
}

/// Does the table say which tier an org or a user has?
pub(super) fn has_tiers(source: Source<'_>) -> bool {
    source.has(&TIER)
}

/// Tiers that are in use and not known yet: their prices are the operator's to add.
fn tiers(draft: &mut Draft<'_>, source: Source<'_>) {
    if !source.has(&TIER) {
        return;
    }
    let (tier, legacy) = (source.text(&TIER), source.legacy());
    draft.step(
        "add the unknown tiers that are in use, without a price",
        format!(
            "insert into subscription_tiers (code, name)
             select distinct lower({tier}), {tier} from {legacy} where {tier} is not null
             on conflict do nothing"
        ),
    );
    let now = source.now();
    draft.question(
        "unknown tiers: they are added without a price or limits",
        format!(
            "select count(distinct lower({tier})) from {now}
             where lower({tier}) not in ({})",
            FIRST_TIERS.map(literal).join(", ")
        ),
    );
}

/// Adopts a table of orgs.
pub(super) fn orgs(draft: &mut Draft<'_>, source: Source<'_>) {
    let taken = source.taken(&ORG_TAKEN);
    draft.becomes(source, "organizations", &taken);
    tiers(draft, source);
    let id = source.id(ORGS, &["id"]);
    let legacy = source.legacy();
    let (start, end) = (source.instant(&START), source.end(&START, &END));
    let is_deleted = is_deleted(source);
    let is_open = format!("{start} <= now() and {end} > now() and not {is_deleted}");
    let zone = source.text(&ZONE);
    let zone_or_utc = format!("coalesce({zone}, 'UTC')");
    let (tier, slug, name) = (source.text(&TIER), source.text(&["slug"]), source.text(&["name"]));
    let (locale, extra) =
        (source.text(&["locale"]), source.list_extra("organizations", &taken, ""));
    let (slugs, place) = (source.unused("periodd_slug"), source.unused("periodd_place"));
    let language = format!("replace({locale}, '_', '-')");
    draft.steps("keep the other columns of orgs", source.add_extra("organizations", &taken));
    draft.step(
        "copy the orgs; a new period replaces each ended, inverted or missing one",
        format!(
            "with named as (
                 select x.*, coalesce({slug}, nullif(trim(both '-' from lower(
                     regexp_replace(coalesce({name}, ''), '[^A-Za-z0-9]+', '-', 'g'))), ''), 'org')
                     as {slugs}
                 from {legacy}),
             told_apart as (
                 select n.*, row_number() over (partition by {slugs} order by id)
                     as {place}
                 from named n)
             insert into organizations
                 (id, slug, name, time_zone, cycle, anchor_day, anchor_month, anchor_time,
                  subscription_tier,
                  subscription_status, current_period_start, current_period_end, created_at,
                  locale, parked_at, parked_reason, parked_code{extra})
             select {id},
                    x.{slugs} || case when x.{place} > 1
                                           then '-' || left(x.id::text, 8) else '' end,
                    coalesce({name}, {slug}, x.id::text),
                    coalesce({zone}, 'UTC'),
                    c.cycle,
                    coalesce({day}::smallint,
                             case c.cycle when 'weekly' then {weekday} when 'daily' then 1
                                          else {day_of_period} end, 1),
                    coalesce({month}::smallint, {month_of_period}, 1),
                    {time_of_period},
                    coalesce(lower({tier}), 'free'), {status},
                    case when {is_open} then {start} end, case when {is_open} then {end} end,
                    coalesce({created}, now()),
                    case when {language} ~ {LANGUAGE} then {language} end, {parked}{values}
             from told_apart x, lateral (select {cycle} as cycle) c",
            cycle = cycle(&source.text(&CYCLE), &start, &end, source.answers.cycle.as_deref()),
            parked = parked(&is_deleted),
            day = source.quantity(&["anchor_day"]),
            month = source.quantity(&["anchor_month"]),
            time_of_period = anchor_time(&start, &end, &zone_or_utc, source.naive_zone()),
            day_of_period = anchor_day(&start, &end, &zone_or_utc, source.naive_zone()),
            weekday = anchor_weekday(&end, &zone_or_utc, source.naive_zone()),
            month_of_period = anchor_month(&end, &zone_or_utc, source.naive_zone()),
            status = source.text(&["subscription_status"]),
            created = source.instant(&["created_at"]),
            values = source.list_extra("organizations", &taken, "x."),
        ),
    );
    ask_about_orgs(draft, source);
    if source.has(&MINUTES_INCLUDED) {
        let included = source.quantity(&MINUTES_INCLUDED);
        draft.step(
            "grant the minutes in each org's row",
            format!(
                "insert into limit_overrides (org_id, feature, included)
                 select {id}, 'minutes_transcribed',
                        case when {included} >= 0 then {included} end
                 from {legacy} where {included} is not null"
            ),
        );
    }
}

/// What the report says of a table of orgs.
fn ask_about_orgs(draft: &mut Draft<'_>, source: Source<'_>) {
    let (id, now) = (source.text(&["id"]), source.now());
    let (start, end) = (source.instant(&START), source.end(&START, &END));
    let words = source.text(&CYCLE);
    let stored_end = source.instant(&END);
    let (zone, tier, slug) = (source.text(&ZONE), source.text(&TIER), source.text(&["slug"]));
    let language = format!("replace({}, '_', '-')", source.text(&["locale"]));
    draft.question("orgs", format!("select count(*) from {now}"));
    ask_about_cycles(draft, source, &words, (&start, &end));
    draft.question(
        "orgs that the application holds for deleted: they are parked, and not opened",
        format!("select count(*) from {now} where {}", is_deleted(source)),
    );
    if source.former_id().is_some() {
        draft.question(
            "orgs whose id is not a UUID: they get one, and keep the old id in former_id",
            format!("select count(*) from {now}"),
        );
    }
    let (day, month) = (source.quantity(&["anchor_day"]), source.quantity(&["anchor_month"]));
    draft.blocking(
        "orgs with an anchor_day outside 1 to 31 or an anchor_month outside 1 to 12: correct them \
         first",
        format!(
            "select count(*) from {now}
             where {day} not between 1 and 31 or {month} not between 1 and 12"
        ),
    );
    draft.question(
        "orgs without a period: the current one is opened",
        format!("select count(*) from {now} where {start} is null or {stored_end} is null"),
    );
    draft.question(
        "ended periods: no past period is closed; the current one is opened",
        format!("select count(*) from {now} where {end} <= now() and {start} < {stored_end}"),
    );
    draft.question(
        "periods that do not end after they start: a new period is opened",
        format!("select count(*) from {now} where {stored_end} <= {start}"),
    );
    draft.question(
        "periods with an inclusive end (23:59:59): the end is moved to 00:00",
        format!("select count(*) from {now} where {}", source.is_inclusive(&START, &END)),
    );
    // One that does not exist blocks by another question.
    let known = format!(
        "case when lower({zone}) = any (array(select lower(name) from pg_timezone_names))
              then {zone} else 'UTC' end"
    );
    ask_about_times(draft, source, &known, (&start, &end));
    draft.question(
        "orgs without a time zone: they get UTC",
        format!("select count(*) from {now} where {zone} is null"),
    );
    draft.question(
        "orgs with an invalid locale (not a language tag such as en-GB): it stays in the replaced \
         table",
        format!("select count(*) from {now} where not {language} ~ {LANGUAGE}"),
    );
    draft.zones(format!("select {zone} as zone, count(*) as orgs from {now} group by 1"));
    draft.orgs(format!("select {id} from {now}"));
    draft.question(
        "orgs without a tier: they get free",
        format!("select count(*) from {now} where {tier} is null"),
    );
    draft.question(
        "slugs of several orgs: all but the first get a part of their id",
        format!("select count(*) - count(distinct {slug}) from {now} where {slug} is not null"),
    );
}

/// What the report says of periods that end at a time of day.
fn ask_about_times(
    draft: &mut Draft<'_>,
    source: Source<'_>,
    zone: &str,
    (start, end): (&str, &str),
) {
    let time = anchor_time(start, end, zone, source.naive_zone());
    draft.question(
        "periods that start and end at the same time of day: it becomes the org's anchor_time",
        format!("select count(*) from {} where {time} <> '00:00'", source.now()),
    );
}

/// What the report says of how often periods end: what nobody knows blocks.
pub(super) fn ask_about_cycles(
    draft: &mut Draft<'_>,
    source: Source<'_>,
    words: &str,
    (start, end): (&str, &str),
) {
    let (now, name) = (source.now(), &source.table.name);
    let known = cycle(words, start, end, None);
    let no_period = format!("({start} is null and {end} is null or {end} <= {start})");
    let count = |rows: &str| format!("select count(*) from {now} where {rows}");
    match source.answers.cycle.as_deref() {
        None => {
            draft.blocking(
                format!(
                    "periods of {name} that are as long as those of no cycle (day, week, month, \
                     quarter, half year, year): state the cycle of these orgs with --cycle"
                ),
                count(&format!("{words} is null and {end} is not null and {known} is null")),
            );
            draft.blocking(
                format!(
                    "cycles of {name} other than {}: correct them, or state one for these orgs \
                     with --cycle",
                    Cycle::NAMES.join(", ")
                ),
                count(&format!("{words} is not null and {known} is null")),
            );
            draft.question(
                format!("rows of {name} without a cycle and a usable period: monthly is taken"),
                count(&format!("{words} is null and {no_period}")),
            );
        }
        Some(answer) => draft.question(
            format!("rows of {name} whose cycle is not known: {answer} is taken"),
            count(&format!("{known} is null or {words} is null and {no_period}")),
        ),
    }
}

/// Where it stands which org a user is in, if not in the user's row: a table that stays, with a
/// row for each membership.
#[derive(Clone, Copy)]
pub(super) struct Membership<'a>(pub(super) Source<'a>);

impl Membership<'_> {
    /// `left join` to the org of a user, as `k.org`, by ids as they are now.
    fn join_now(self, user: &str) -> String {
        let Self(source) = self;
        self.join(&source.text(&USER), &source.text(&MEMBER_ORG), &source.now(), user)
    }

    /// The same once the ids are ours.
    fn join_then(self, user: &str) -> String {
        let Self(source) = self;
        let (who, org) = (source.id(USERS, &USER), source.id(ORGS, &MEMBER_ORG));
        self.join(&who, &org, &source.legacy(), user)
    }

    fn join(self, who: &str, org: &str, from: &str, user: &str) -> String {
        let since = self.0.instant(&["created_at", "joined_at"]);
        format!(
            "left join (select distinct on (1) {who} as who, {org} as org from {from}
                        where {who} is not null and {org} is not null
                        order by 1, {since} nulls last, 2) k on k.who = {user}"
        )
    }
}

/// What the report says of a table of memberships.
fn ask_about_members(draft: &mut Draft<'_>, members: Source<'_>) {
    let (now, name) = (members.now(), &members.table.name);
    draft.question(format!("memberships in {name}"), format!("select count(*) from {now}"));
    let several = format!(
        "select count(*) from (select 1 from {now} group by {} having count(distinct {}) > 1) u",
        members.text(&USER),
        members.text(&MEMBER_ORG)
    );
    if members.answers.oldest_membership {
        draft.question(
            format!("users in several orgs by {name}: their usage counts in the oldest one's"),
            several,
        );
    } else {
        draft.blocking(
            format!(
                "users in several orgs by {name}: periodd counts a user's usage in one org; \
                 reduce them to one, or take the oldest membership with --oldest-membership"
            ),
            several,
        );
    }
}

/// Makes users of the members whom no table of users knows.
pub(super) fn users_of_members(draft: &mut Draft<'_>, members: Source<'_>) {
    let (user, org) = (members.id(USERS, &USER), members.id(ORGS, &MEMBER_ORG));
    let (email, from) = (members.text(&["email"]), members.legacy());
    draft.step(
        "create the users that only memberships reference",
        format!(
            "insert into users (id, organization_id, email)
             select distinct on (1) {user}, {org}, coalesce({email}, {former})
             from {from}
             where {user} is not null and {org} in (select id from organizations)
             order by 1, {since} nulls last, 2",
            former = members.text(&USER),
            since = members.instant(&["created_at", "joined_at"]),
        ),
    );
    ask_about_members(draft, members);
    draft.question(
        format!("users referenced only by {}", members.table.name),
        format!("select count(distinct {}) from {}", members.text(&USER), members.now()),
    );
}

/// Adopts a table of users: each in its org, or as an org of one.
pub(super) fn users(draft: &mut Draft<'_>, source: Source<'_>, members: Option<Membership<'_>>) {
    let taken = source.taken(&USER_TAKEN);
    draft.becomes(source, "users", &taken);
    let id = source.id(USERS, &["id"]);
    let (email, plan) = (source.text(&["email"]), source.text(&["plan"]));
    let status = source.text(&["subscription_status"]);
    let usage = source.quantity(&["usage_this_month"]);
    let limit = source.quantity(&["plan_limits_scrapes"]);
    // By the user's own row first, then by a membership.
    let (own, own_key) = (source.id(ORGS, &ORG), source.text(&ORG));
    let (org, org_key) = match members {
        None => (own, own_key),
        Some(_) => (format!("coalesce({own}, k.org)"), format!("coalesce({own_key}, k.org)")),
    };
    let key = source.text(&["id"]);
    let now = members.map_or_else(String::new, |members| members.join_now(&key));
    let now = format!("{} {now}", source.now());
    let legacy = members.map_or_else(String::new, |members| members.join_then(&id));
    let legacy = format!("{} {legacy}", source.legacy());
    tiers(draft, source);
    draft.step(
        "create a single-user org for every user without an org",
        format!(
            "with alone as (
                 select {id} as id, lower({email}) as email, lower({plan}) as plan,
                        {status} as status, {created} as created_at, {former} as former,
                        {is_deleted} as is_deleted,
                        row_number() over (partition by lower({email}) order by {id}) as place
                 from {legacy} where {org} is null)
             insert into organizations
                 (id, slug, name, time_zone, subscription_tier, subscription_status, created_at,
                  parked_at, parked_reason, parked_code)
             select id,
                    case when email is not null and place = 1 then email else id::text end,
                    coalesce(email, former), 'UTC', coalesce(plan, 'free'), status,
                    coalesce(created_at, now()), {parked}
             from alone
             on conflict do nothing",
            created = source.instant(&["created_at"]),
            former = source.text(&["id"]),
            is_deleted = is_deleted(source),
            parked = parked("is_deleted"),
        ),
    );
    draft.steps("keep the other columns of users", source.add_extra("users", &taken));
    draft.step(
        "copy the users",
        format!(
            "insert into users (id, organization_id, email, plan, subscription_status,
                                usage_this_month, plan_limits_scrapes, created_at{extra})
             select {id}, coalesce({org}, {id}), coalesce({email}, {key}), {plan}, {status},
                    coalesce({usage}, 0), case when {limit} >= 0 then {limit} end,
                    coalesce({created}, now()){values}
             from {legacy}",
            created = source.instant(&["created_at"]),
            extra = source.list_extra("users", &taken, ""),
            values = source.list_extra("users", &taken, "x."),
        ),
    );
    if let Some(Membership(members)) = members {
        ask_about_members(draft, members);
    }
    draft.question("users", format!("select count(*) from {now}"));
    draft.orgs(format!("select coalesce({org_key}, {key}) from {now}"));
    if source.former_id().is_some() {
        draft.question(
            "users whose id is not a UUID: they get one, and keep the old id in former_id",
            format!("select count(*) from {now}"),
        );
    }
    if let Some(orgs) = draft.orgs_now() {
        draft.blocking(
            "users of unknown orgs: add the orgs or correct the users first",
            format!(
                "select count(*) from {now}
                 where {org_key} is not null
                   and not exists (select from {orgs} o where o.id::text = {org_key})"
            ),
        );
    }
    users_without_an_org(draft, source, members, &format!("from {now} where {org_key} is null"));
    draft.question(
        "users without an email address",
        format!("select count(*) from {now} where {email} is null"),
    );
    scrapes_of_users(draft, source, &format!("coalesce({org}, {id})"), &id, (&now, &legacy));
}

/// What the rows of users say about scrapes: limits, and what was used this month. By the users'
/// orgs, over the rows as they are now and once they are replaced.
fn scrapes_of_users(
    draft: &mut Draft<'_>,
    source: Source<'_>,
    org: &str,
    id: &str,
    (now, legacy): (&str, &str),
) {
    let usage = source.quantity(&["usage_this_month"]);
    let limit = source.quantity(&["plan_limits_scrapes"]);
    if source.has(&["plan_limits_scrapes"]) {
        draft.step(
            "grant each org of one the scrapes that its user's row names",
            format!(
                "insert into limit_overrides (org_id, feature, included)
                 select {org}, 'scrapes', case when {limit} >= 0 then {limit} end
                 from {legacy} where {limit} is not null
                 on conflict (org_id, feature) do update
                     set included = greatest(limit_overrides.included, excluded.included)"
            ),
        );
        draft.question(
            "users with a negative limit: they become unlimited",
            format!("select count(*) from {now} where {limit} < 0"),
        );
        draft.question(
            "users without a limit of their own: the limit of their tier applies",
            format!("select count(*) from {now} where {limit} is null"),
        );
    }
    if source.has(&["usage_this_month"]) {
        draft.usage(
            &format!(
                "select {org} as org_id, {id} as user_id, 'scrapes' as feature,
                        date_trunc('month', now(), 'UTC') as period_start,
                        'infinity'::timestamptz as period_end, {usage} as amount
                 from {legacy}"
            ),
            &format!(
                "select {org} as org_id, 'scrapes' as feature,
                        {month} as month, {usage} as amount
                 from {legacy}",
                month = month_of_counter("date_trunc('month', now(), 'UTC')", source.naive_zone()),
            ),
        );
        draft.question(
            "users with usage this month: each gets an opening metric",
            format!("select count(*) from {now} where {usage} <> 0"),
        );
    }
}

/// What becomes of users whom nothing puts into an org: where there are orgs, or what looks like
/// them, they are hardly all alone.
fn users_without_an_org(
    draft: &mut Draft<'_>,
    source: Source<'_>,
    members: Option<Membership<'_>>,
    rows: &str,
) {
    let count = format!("select count(*) {rows}");
    let is_said = source.has(&ORG) || members.is_some() || source.answers.members == Members::None;
    let look_alike = ORG_LIKE.iter().find(|name| draft.catalogue.table(name).is_some());
    if !is_said && draft.orgs_now().is_some() {
        draft.blocking(
            "users, and nothing says which org they are in: name the table of memberships with \
             --member-table TABLE, or make each an org of its own with --member-table none",
            count,
        );
    } else if let (false, Some(table)) = (is_said, look_alike) {
        draft.blocking(
            format!(
                "users without an org beside a table {table}: if {table} are the orgs, rename it \
                 to organizations; if not, make each user an org with --member-table none"
            ),
            count,
        );
    } else {
        draft.question("users without an org: each gets a single-user org", count);
    }
}

/// Makes orgs of whoever a table names and nobody knows.
pub(super) fn orgs_named_by(draft: &mut Draft<'_>, source: Source<'_>, names: &[&str]) {
    let (now, org, key) = (source.now(), source.id(ORGS, names), source.text(names));
    draft.step(
        "create the orgs that only usage, memberships or subscriptions reference",
        format!(
            "insert into organizations (id, slug, name, time_zone)
             select distinct {org}, {key}, {key}, 'UTC'
             from {table} where {org} is not null
             on conflict do nothing",
            table = source.legacy()
        ),
    );
    draft.orgs(format!("select {key} from {now} where {key} is not null"));
    draft.question(
        format!("orgs referenced only by {}", source.table.name),
        format!("select count(distinct {key}) from {now}"),
    );
}

/// Makes users, as orgs of one, of whoever a table names and nobody knows.
pub(super) fn users_named_by(draft: &mut Draft<'_>, source: Source<'_>) {
    let (legacy, user, key) = (source.legacy(), source.id(USERS, &USER), source.text(&USER));
    draft.users_named_by(source);
    draft.step(
        "create the users that only usage references",
        format!(
            "with unknown as (
                 select distinct {user} as id, {key} as former from {legacy}
                 where {user} is not null
                   and not exists (select from users u where u.id = {user})),
             orgs as (
                 insert into organizations (id, slug, name, time_zone)
                 select id, id::text, former, 'UTC' from unknown on conflict do nothing)
             insert into users (id, organization_id, email) select id, id, former from unknown"
        ),
    );
    let known = draft.users_now().map_or_else(String::new, |users| {
        format!(" and not exists (select from {users} u where u.id::text = {key})")
    });
    draft.question(
        format!("users referenced only by {}: each gets a single-user org", source.table.name),
        format!(
            "select count(distinct {key}) from {} where {key} is not null{known}",
            source.now()
        ),
    );
}
