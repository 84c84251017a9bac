//! Usage: metrics and events, wide counters, counters of users, and packs from what was bought.

use super::draft::{month_of, month_of_counter};
use super::orgs_and_users::{self, CYCLE};
use super::source::{
    ORGS, Reads, Source, USERS, anchor_day, anchor_month, anchor_time, anchor_weekday, cycle,
};
use super::{Draft, ORG, USER};
use crate::store::db::tables::{literal, quoted};

/// What of an adopted metric's row becomes something of ours, by the names that applications give
/// it; besides the instant of use.
const METRIC_TAKEN: [&[&str]; 7] = [
    &["id"],
    &ORG,
    &USER,
    &["metric_type", "feature", "event_type"],
    &VALUE,
    &["recorded_at"],
    &["idempotency_key"],
];
const FEATURE: [&str; 11] = [
    "metric_type",
    "feature",
    "feature_name",
    "feature_type",
    "feature_key",
    "event_type",
    "event_name",
    "counter_key",
    "counter_name",
    "metric_name",
    "metric",
];
const VALUE: [&str; 4] = ["metric_value", "quantity", "amount", "value"];
/// When it was used. What says so by its name comes before what may be when the row was written.
const USED_AT: [&str; 9] = [
    "used_at",
    "occurred_at",
    "effective_at",
    "event_time",
    "usage_date",
    "timestamp",
    "ts",
    "created_at",
    "recorded_at",
];
const COUNT: [&str; 11] = [
    "usage_count",
    "current_usage",
    "used",
    "count",
    "counter_value",
    "metric_value",
    "quantity",
    "amount",
    "value",
    "total",
    "usage",
];
const START: [&str; 3] = ["period_start", "period_started_at", "month"];
const END: [&str; 2] = ["period_end", "period_ended_at"];
const MINUTES: [&str; 3] = ["minutes", "quantity", "minutes_purchased"];
const MESSAGES: [&str; 4] = ["sms_sent", "sms_count", "count", "quantity"];
const BOUGHT_AT: [&str; 2] = ["purchased_at", "created_at"];

/// The column that holds the instant of use: the one that the operator named, else the first with
/// a usual name.
fn used_at_column(source: Source<'_>) -> Option<&str> {
    let table = &source.table.name;
    let named = source.answers.used_at.iter().find(|answer| answer.table == *table);
    let named = named.map(|answer| answer.column.as_str());
    named.or_else(|| source.table.first(&USED_AT).map(|column| column.name.as_str()))
}

/// The org that a row is of: its own, else its user's.
fn org_of(source: Source<'_>) -> String {
    let (org, user) = (source.id(ORGS, &ORG), source.id(USERS, &USER));
    let of_user = format!("(select u.organization_id from users u where u.id = {user})");
    match (source.has(&ORG), source.has(&USER)) {
        (_, false) => org,
        (false, true) => of_user,
        (true, true) => format!("coalesce({org}, {of_user})"),
    }
}

/// What the report says of amounts: which are rounded, and which cannot be kept.
fn ask_about_amounts(draft: &mut Draft<'_>, source: Source<'_>, names: &[&str]) {
    let Some(column) = source.table.first(names) else { return };
    let (now, name) = (source.now(), &source.table.name);
    let amount = format!("x.{}::numeric", quoted(&column.name));
    draft.question(
        format!("amounts of {name} with more than six decimals: they are rounded to six"),
        format!("select count(*) from {now} where {amount} <> round({amount}, 6)"),
    );
    draft.blocking(
        format!("amounts of {name} that are infinite, NaN or 10^22 and more: correct them first"),
        format!(
            "select count(*) from {now}
             where {amount} in ('NaN', 'Infinity', '-Infinity') or abs({amount}) >= 1e22"
        ),
    );
}

/// Adopts a table of metrics or events: each stays what it was, with its id.
pub(super) fn metrics(draft: &mut Draft<'_>, source: Source<'_>) {
    let name = source.table.name.as_str();
    let Some(used_at_column) = used_at_column(source) else {
        draft.refuse(format!(
            "the table {name} has no column that is known to hold the instant of use: name it with \
             --used-at-column {name}.COLUMN"
        ));
        return;
    };
    let used_at_names = [used_at_column];
    let needed = [(Reads::Instant, &used_at_names[..]), (Reads::Number, &VALUE[..])];
    if !draft.fits(source, &needed) {
        return;
    }
    let mut taken = source.taken(&METRIC_TAKEN);
    taken.push(used_at_column.to_owned());
    draft.becomes(source, "usage_metrics", &taken);
    draft.maps(source, Some(name), &ORG);
    let legacy = source.legacy();
    let (org, feature) = (org_of(source), source.text(&FEATURE));
    let value = if source.has(&VALUE) { source.quantity(&VALUE) } else { "1::numeric".into() };
    let used_at = source.instant(&used_at_names);
    draft.steps("keep the other columns of metrics", source.add_extra("usage_metrics", &taken));
    let has_id = source.has(&["id"]);
    let insert = format!(
        "insert into usage_metrics (id, organization_id, user_id, metric_type, metric_value,
                                    created_at, recorded_at, idempotency_key{extra})
         select {id}, {org}, {user}, {feature}, {value}, {used_at}, coalesce({recorded_at}, now()),
                {key}{values}
         from {legacy}",
        id = if has_id { source.id(name, &["id"]) } else { "gen_random_uuid()".into() },
        user = source.id(USERS, &USER),
        recorded_at = source.instant(&["recorded_at"]),
        key = format_args!("nullif({}, '')", source.text(&["idempotency_key"])),
        extra = source.list_extra("usage_metrics", &taken, ""),
        values = source.list_extra("usage_metrics", &taken, "x."),
    );
    draft.step(
        "copy the metrics; they are counted when the periods are opened",
        if has_id {
            insert
        } else {
            // Without an id of their own, they are known by the ones that they get.
            format!(
                "with copied as ({insert} returning id)
                 insert into periodd_import_ids (kind, former_id, id)
                 select {}, 'row ' || id, id from copied",
                literal(name)
            )
        },
    );
    draft.step(
        "add the features that are used",
        format!(
            "insert into features (feature) select distinct lower({feature}) from {legacy}
             where {feature} is not null on conflict do nothing"
        ),
    );
    draft.metrics_of(
        source,
        &format!(
            "select {org} as org_id, lower({feature}) as feature, {month} as month,
                    {value} as amount
             from {legacy}",
            month = month_of(&used_at, source.naive_zone())
        ),
    );
    ask_about_metrics(draft, source, (&feature, &value), (used_at_column, &used_at));
}

/// What the report says of a table of metrics.
fn ask_about_metrics(
    draft: &mut Draft<'_>,
    source: Source<'_>,
    (feature, value): (&str, &str),
    (used_at_column, used_at): (&str, &str),
) {
    let (now, name) = (source.now(), &source.table.name);
    let (org_key, user_key) = (source.text(&ORG), source.text(&USER));
    let others = USED_AT.iter().filter_map(|other| source.table.first(&[other]));
    let others: Vec<&str> = others
        .map(|column| column.name.as_str())
        .filter(|other| *other != used_at_column)
        .collect();
    let beside = if others.is_empty() {
        String::new()
    } else {
        format!(" (not at {}; --used-at-column {name}.COLUMN decides)", others.join(", "))
    };
    draft.question(
        format!("metrics in {name}: used at {used_at_column}{beside}"),
        format!("select count(*) from {now}"),
    );
    draft.question(
        format!(
            "metrics in {name} that all have one {used_at_column}, as a column that was added \
             later gives them"
        ),
        format!(
            "select case when count(*) > 1 and min({used_at}) = max({used_at})
                         then count(*) else 0 end from {now}"
        ),
    );
    draft.blocking(
        format!("metrics in {name} without an instant of use in {used_at_column}: complete them"),
        format!(
            "select count(*) from {now}
             where {used_at} is null or not isfinite({used_at})"
        ),
    );
    if !source.has(&VALUE) {
        draft.question(
            format!("metrics in {name}, which has no column of amounts: each counts as 1"),
            format!("select count(*) from {now}"),
        );
    }
    ask_about_amounts(draft, source, &VALUE);
    draft.blocking(
        "metrics without an org, a feature or a value: complete or delete them first",
        format!(
            "select count(*) from {now}
             where {org_key} is null and {user_key} is null
                or {feature} is null or {value} is null"
        ),
    );
    draft.blocking(
        format!("metrics in {name} that repeat an idempotency_key of their org: delete them first"),
        format!(
            "select coalesce(sum(n - 1), 0)::bigint
             from (select count(*) as n from {now} where {key} is not null
                   group by {org_key}, {key}) k",
            key = source.text(&["idempotency_key"])
        ),
    );
    if source.has(&["deleted_at"]) {
        draft.blocking(
            format!("metrics in {name} that are marked as deleted: delete them first"),
            format!("select count(*) from {now} where x.deleted_at is not null"),
        );
    }
    let Some(orgs) = draft.orgs_now() else { return };
    draft.blocking(
        "metrics of unknown orgs: add the orgs or delete the metrics first",
        format!(
            "select count(*) from {now}
             where {org_key} is not null
               and not exists (select from {orgs} o where o.id::text = {org_key})"
        ),
    );
    if draft.orgs_now_have(&["used_minutes", "current_period_start", "current_period_end"]) {
        draft.question(
            "orgs whose used_minutes differs from the sum of their metrics: the metrics are used",
            format!(
                "select count(*) from {orgs} o
                 left join (
                     select p.id, sum({value}) as used
                     from {now} join {orgs} p on p.id::text = {org_key}
                     where lower({feature}) = 'minutes_transcribed'
                       and {used_at} >= p.current_period_start
                       and {used_at} < p.current_period_end group by 1) s on s.id = o.id
                 where coalesce(o.used_minutes, 0) <> coalesce(s.used, 0)"
            ),
        );
    }
}

/// Makes packs of the overage that orgs' rows and purchase records name.
pub(super) fn packs(draft: &mut Draft<'_>, orgs: Source<'_>, purchases: Option<Source<'_>>) {
    let held = orgs.quantity(&["overage_minutes"]);
    let (legacy, now, id) = (orgs.legacy(), orgs.now(), orgs.id(ORGS, &["id"]));
    let key = orgs.text(&["id"]);
    let (mut bought, mut bought_now) = ("0".to_owned(), String::new());
    if let Some(source) = purchases {
        let (table, org) = (source.now(), source.id(ORGS, &ORG));
        let (org_key, minutes) = (source.text(&ORG), source.quantity(&MINUTES));
        let (name, at) = (&source.table.name, source.instant(&BOUGHT_AT));
        draft.maps(source, None, &ORG);
        ask_about_amounts(draft, source, &MINUTES);
        draft.blocking(
            format!("purchases in {name} without an org or an amount: complete them first"),
            format!("select count(*) from {table} where {org_key} is null or {minutes} is null"),
        );
        draft.question(
            format!("purchases in {name} without an instant: they are taken as purchased now"),
            format!("select count(*) from {table} where {at} is null"),
        );
        if let Some(known) = draft.orgs_now() {
            draft.blocking(
                format!("purchases in {name} of unknown orgs: add the orgs or delete them first"),
                format!(
                    "select count(*) from {table}
                     where {org_key} is not null
                       and not exists (select from {known} o where o.id::text = {org_key})"
                ),
            );
        }
        // A record stays where it is: it is the application's, and nothing of ours is called so.
        draft.step(
            "restore a pack for every recorded purchase",
            format!(
                "insert into overage_packs (org_id, feature, quantity, remaining, purchased_at,
                                            reference, entries)
                 select {org}, 'minutes_transcribed', {minutes}, {minutes},
                        least(coalesce({at}, now()), now()), 'purchase:' || {key}, 1
                 from {table} where {minutes} > 0 and {org} in (select id from organizations)",
                key = if source.has(&["id"]) { "x.id::text" } else { "gen_random_uuid()::text" },
            ),
        );
        bought_now = format!(
            "(select {org_key} as id, sum({minutes}) as bought from {table}
              where {minutes} > 0 group by 1)"
        );
        bought = String::from(
            "coalesce((select sum(p.quantity) from overage_packs p
                       where p.org_id = h.id and p.reference like 'purchase:%'), 0)",
        );
    }
    draft.step(
        "create a pack for the overage in an org's row beyond its recorded purchases",
        format!(
            "insert into overage_packs (org_id, feature, quantity, remaining, reference, entries)
             select h.id, 'minutes_transcribed', h.held - {bought}, h.held - {bought},
                    'periodd-import:overage', 1
             from (select {id} as id, {held} as held from {legacy}) h
             where h.held - {bought} > 0"
        ),
    );
    draft.step(
        "record the packs in their ledger",
        "insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
         select p.org_id, p.id, 1, 'granted', p.quantity, p.purchased_at, p.quantity
         from overage_packs p"
            .to_owned(),
    );
    let held_now = format!("(select {key} as id, {held} as held from {now}) h");
    draft.question(
        "orgs with overage: it becomes a pack",
        format!("select count(*) from {held_now} where h.held > 0"),
    );
    if !bought_now.is_empty() {
        draft.question(
            "orgs with less overage than they purchased: restored to the recorded purchases",
            format!(
                "select count(*) from {held_now} join {bought_now} p on p.id = h.id
                 where coalesce(h.held, 0) < p.bought"
            ),
        );
    }
}

/// Adopts counters with a column per feature.
pub(super) fn wide_counters(draft: &mut Draft<'_>, source: Source<'_>) {
    let named = [&ORG[..], &USER, &START, &END, &["id"]];
    let named: Vec<&str> =
        named.iter().filter_map(|names| Some(source.table.first(names)?.name.as_str())).collect();
    let is_named = |name: &str| named.contains(&name);
    let columns = source.table.columns.iter().filter(|column| {
        column.is_numeric() && !column.is_key && !column.is_generated && !is_named(&column.name)
    });
    let features: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    draft.replaces_but(source, &[&ORG[..], &USER, &START, &END, &["id"], &features].concat());
    draft.maps(source, None, &ORG);
    let now = source.now();
    if features.is_empty() {
        draft.blocking(
            "rows of usage_counters, which has no numeric column to count: rename the table",
            format!("select count(*) from {now}"),
        );
        return;
    }
    draft.question(
        format!("feature columns of usage_counters: {}", features.join(", ")),
        format!("select {}::bigint", features.len()),
    );
    let nulls: Vec<String> =
        features.iter().map(|name| format!("x.{} is null", quoted(name))).collect();
    draft.question(
        "counters without an amount in one of these columns: taken as 0",
        format!("select count(*) from {now} where {}", nulls.join(" or ")),
    );
    let pair = |name: &&str| {
        let amount = source.quantity(&[name]);
        format!("({}, coalesce({amount}, 0))", literal(&name.to_lowercase()))
    };
    let pairs: Vec<String> = features.iter().map(pair).collect();
    counters_of_months(
        draft,
        source,
        &format!("cross join lateral (values {}) as f (feature, amount)", pairs.join(", ")),
        ("f.feature", "f.amount"),
    );
    for feature in &features {
        ask_about_amounts(draft, source, &[feature]);
    }
}

/// Adopts a table of messages per month that stood beside the counters.
pub(super) fn sms_usage(draft: &mut Draft<'_>, source: Source<'_>) {
    draft.replaces_but(source, &[&ORG[..], &START, &END, &MESSAGES, &["id"]].concat());
    let amount = source.quantity(&MESSAGES);
    let now = source.now();
    draft.blocking(
        "rows of sms_usage without an amount in a column sms_sent, sms_count, count or quantity: \
         complete or delete them first",
        format!("select count(*) from {now} where {amount} is null"),
    );
    draft.maps(source, None, &ORG);
    ask_about_amounts(draft, source, &MESSAGES);
    counters_of_months(draft, source, "", ("'sms_sent'", &amount));
}

/// What a table of counters needs to be read at all.
const COUNTER_NEEDS: [(Reads, &[&str]); 2] = [(Reads::Instant, &START), (Reads::Instant, &END)];

/// Adopts a table of counters: one with a row for each feature, or with a column for each.
pub(super) fn counters(draft: &mut Draft<'_>, source: Source<'_>) {
    let name = &source.table.name;
    if !draft.fits(source, &COUNTER_NEEDS) {
        return;
    }
    if !source.has(&ORG) && !source.has(&USER) {
        draft.refuse(format!(
            "the table {name} names neither an org nor a user: rename it to exclude it from the \
             import"
        ));
        return;
    }
    if !source.has(&ORG) {
        orgs_and_users::users_named_by(draft, source);
    }
    if source.has(&FEATURE) {
        named_counters(draft, source);
    } else {
        wide_counters(draft, source);
    }
}

/// Adopts counters with a row for each feature, of orgs or of single users.
pub(super) fn named_counters(draft: &mut Draft<'_>, source: Source<'_>) {
    let name = &source.table.name;
    if !source.has(&COUNT) {
        draft.refuse(format!(
            "the table {name} has no column that is known to hold amounts ({}): rename the column, \
             or the table to exclude it from the import",
            COUNT.join(", ")
        ));
        return;
    }
    if !draft.fits(source, &[&COUNTER_NEEDS[..], &[(Reads::Number, &COUNT[..])]].concat()) {
        return;
    }
    draft
        .replaces_but(source, &[&ORG[..], &USER, &FEATURE, &COUNT, &START, &END, &["id"]].concat());
    draft.maps(source, None, &ORG);
    let (feature, amount) = (source.text(&FEATURE), source.quantity(&COUNT));
    counters_of_months(draft, source, "", (&format!("lower({feature})"), &amount));
    ask_about_amounts(draft, source, &COUNT);
    let now = source.now();
    draft.blocking(
        format!("rows of {name} without a feature or an amount: complete or delete them first"),
        format!("select count(*) from {now} where {feature} is null or {amount} is null"),
    );
}

/// Usage by period: rows of one month are one period, whatever their ends look like.
fn counters_of_months(
    draft: &mut Draft<'_>,
    source: Source<'_>,
    join: &str,
    (feature, amount): (&str, &str),
) {
    let (now, legacy) = (source.now(), source.legacy());
    let (start, end) = (source.instant(&START), source.end(&START, &END));
    let name = &source.table.name;
    let (org, user) = (org_of(source), source.id(USERS, &USER));
    let (org_key, user_key) = (source.text(&ORG), source.text(&USER));
    let month = month_of_counter(&start, source.naive_zone());
    draft.usage(
        &format!(
            "select org_id, user_id, feature, min(start) as period_start,
                    greatest(max(ends) filter (where ends > start),
                             min(start) + interval '1 day') as period_end,
                    sum(amount) as amount
             from (select {org} as org_id, {user} as user_id, {feature} as feature,
                          {start} as start, coalesce({end}, {start} + interval '1 month') as ends,
                          {amount} as amount, {month} as month
                   from {legacy} {join}) r
             where org_id is not null and amount is not null
             group by org_id, user_id, feature, month"
        ),
        &format!(
            "select {org} as org_id, {feature} as feature, {month} as month, {amount} as amount
             from {legacy} {join}"
        ),
    );
    draft.blocking(
        format!("rows of {name} without a period start: complete or delete them first"),
        format!("select count(*) from {now} where {start} is null"),
    );
    draft.question(
        format!("rows of {name} without a period end: each is taken as a month"),
        format!("select count(*) from {now} where {} is null", source.instant(&END)),
    );
    let whose = if source.has(&ORG) { "an org" } else { "a user" };
    draft.blocking(
        format!("rows of {name} without {whose}: complete or delete them first"),
        format!("select count(*) from {now} where {org_key} is null and {user_key} is null"),
    );
    if let Some(orgs) = draft.orgs_now().filter(|_| source.has(&ORG)) {
        draft.blocking(
            format!("rows of {name} of unknown orgs: add the orgs or delete the rows first"),
            format!(
                "select count(*) from {now}
                 where {org_key} is not null
                   and not exists (select from {orgs} o where o.id::text = {org_key})"
            ),
        );
    }
    draft.question(format!("rows of {name}"), format!("select count(*) from {now}"));
    draft.question(
        format!("periods of {name} with an inclusive end: each becomes its month"),
        format!("select count(*) from {now} where {}", source.is_inclusive(&START, &END)),
    );
    draft.question(
        format!("periods of {name} that do not end after they start"),
        format!("select count(*) from {now} where {} <= {start}", source.instant(&END)),
    );
    let whose = if source.has(&USER) { user_key } else { org_key };
    let what = if source.has(&FEATURE) { source.text(&FEATURE) } else { "true".into() };
    draft.question(
        format!("rows of {name} with several rows per month: their usage is added up"),
        format!(
            "select coalesce(sum(n - 1), 0)::bigint
             from (select count(*) as n from (
                       select {whose} as whose, {what} as what, {month} as month from {now}) k
                   group by whose, what, month) r"
        ),
    );
}

const CURRENT_START: [&str; 2] = ["current_period_start", "period_start"];
const CURRENT_END: [&str; 2] = ["current_period_end", "period_end"];
/// What a subscription is for, in words that can be a tier's code.
const PLAN: [&str; 5] = ["subscription_tier", "tier", "plan", "plan_name", "plan_id"];

/// Does a table of subscriptions say when periods end, and whose?
pub(super) fn is_of_subscriptions(source: Source<'_>) -> bool {
    source.has(&CURRENT_END) && (source.has(&ORG) || source.has(&USER))
}

/// Takes the open periods of orgs from a table of subscriptions; and their tiers, where no row of
/// an org has one.
pub(super) fn subscriptions(draft: &mut Draft<'_>, source: Source<'_>, brings_tiers: bool) {
    let needed = [(Reads::Instant, &CURRENT_START[..]), (Reads::Instant, &CURRENT_END[..])];
    if !draft.fits(source, &needed) {
        return;
    }
    draft.maps(source, None, &ORG);
    let (now, org, name) = (source.now(), org_of(source), &source.table.name);
    let (starts, ends) = (CURRENT_START, CURRENT_END);
    let (start, end) = (source.instant(&starts), source.end(&starts, &ends));
    let words = source.text(&CYCLE);
    let (naive, answer) = (source.naive_zone(), source.answers.cycle.as_deref());
    draft.step(
        "open the current periods given by subscriptions, and anchor the orgs",
        format!(
            "update organizations o
             set current_period_start = case when s.start <= s.now and s.ends > s.now
                                             then s.start end,
                 current_period_end = case when s.start <= s.now and s.ends > s.now
                                           then s.ends end,
                 cycle = s.cycle,
                 anchor_day = case s.cycle when 'weekly' then s.weekday when 'daily' then 1
                                           else s.day end,
                 anchor_month = s.month, anchor_time = s.time
             from (select k.*, now() as now, {cycle} as cycle, {day} as day, {weekday} as weekday,
                          {month} as month, {time} as time
                   from (select distinct on (1) {org} as org_id, {start} as start, {end} as ends,
                                {words} as words
                         from {now} where {end} is not null
                         order by 1, 3 desc) k
                   join organizations p on p.id = k.org_id and p.current_period_start is null
                                           and p.parked_at is null
                   where k.start is null or k.ends > k.start) s
             where o.id = s.org_id",
            cycle = cycle("k.words", "k.start", "k.ends", answer),
            day = anchor_day("k.start", "k.ends", "p.time_zone", naive),
            weekday = anchor_weekday("k.ends", "p.time_zone", naive),
            month = anchor_month("k.ends", "p.time_zone", naive),
            time = anchor_time("k.start", "k.ends", "p.time_zone", naive),
        ),
    );
    draft.question("subscriptions", format!("select count(*) from {now}"));
    orgs_and_users::ask_about_cycles(draft, source, &words, (&start, &end));
    draft.question(
        "subscriptions without a current period: a new one is opened",
        format!(
            "select count(*) from {now}
             where not coalesce({start} <= now() and {end} > now(), false)"
        ),
    );
    if brings_tiers && source.has(&PLAN) {
        let plan = source.text(&PLAN);
        let is_live = format!(
            "coalesce({}, 'active') in ('active', 'trialing', 'past_due')",
            source.text(&["status"])
        );
        draft.steps(
            "take the tiers of orgs from their subscriptions",
            vec![
                format!(
                    "insert into subscription_tiers (code, name)
                     select distinct on (1) lower({plan}), {plan} from {now}
                     where {plan} is not null on conflict do nothing"
                ),
                format!(
                    "update organizations o set subscription_tier = s.tier
                     from (select distinct on (1) {org} as org_id, lower({plan}) as tier
                           from {now} where {plan} is not null and {is_live}
                           order by 1, {end} desc nulls last) s
                     where o.id = s.org_id"
                ),
            ],
        );
        draft.question(
            format!("subscriptions in {name} that are live: their plan becomes the org's tier"),
            format!("select count(*) from {now} where {plan} is not null and {is_live}"),
        );
    }
}
