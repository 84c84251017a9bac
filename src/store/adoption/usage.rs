//! Usage: metrics and events, wide counters, counters of users, and packs from what was bought.

use super::source::{Source, anchor_day, anchor_month, cycle};
use super::{Draft, ORG, USER};
use crate::store::tables::{literal, quoted};

const METRIC_COLUMNS: [&str; 17] = [
    "id",
    "organization_id",
    "organisation_id",
    "org_id",
    "user_id",
    "metric_type",
    "feature",
    "event_type",
    "metric_value",
    "quantity",
    "amount",
    "value",
    "created_at",
    "occurred_at",
    "recorded_at",
    "counted_at",
    "idempotency_key",
];
const FEATURE: [&str; 5] = ["metric_type", "feature", "feature_name", "feature_type", "event_type"];
const VALUE: [&str; 4] = ["metric_value", "quantity", "amount", "value"];
const USED_AT: [&str; 2] = ["created_at", "occurred_at"];
const COUNT: [&str; 4] = ["usage_count", "current_usage", "used", "count"];
const START: [&str; 3] = ["period_start", "period_started_at", "month"];
const END: [&str; 2] = ["period_end", "period_ended_at"];
const MINUTES: [&str; 3] = ["minutes", "quantity", "minutes_purchased"];
const MESSAGES: [&str; 4] = ["sms_sent", "sms_count", "count", "quantity"];
const BOUGHT_AT: [&str; 2] = ["purchased_at", "created_at"];

/// Adopts a table of metrics or events: each stays what it was, with its id.
pub(super) fn metrics(draft: &mut Draft<'_>, source: Source<'_>) {
    draft.replaces_but(source, &METRIC_COLUMNS);
    let (now, legacy) = (source.now(), source.legacy());
    let (org, feature) = (source.id(&ORG), source.text(&FEATURE));
    let value = if source.has(&VALUE) { source.quantity(&VALUE) } else { "1::numeric".into() };
    let used_at = source.instant(&USED_AT);
    let known = format!("{org} in (select id from organizations)");
    draft.step(
        "keep the metrics' other columns",
        source.add_extra("usage_metrics", &METRIC_COLUMNS),
    );
    draft.step(
        "copy the metrics; they are counted when the periods are opened",
        format!(
            "insert into usage_metrics (id, organization_id, user_id, metric_type, metric_value,
                                        created_at, recorded_at, idempotency_key{extra})
             select {id}, {org}, {user}, {feature}, {value}, coalesce({used_at}, now()),
                    coalesce({recorded_at}, now()), {key}{values}
             from {legacy} where {known} and {feature} is not null and {value} is not null",
            id = if source.has(&["id"]) { source.id(&["id"]) } else { "gen_random_uuid()".into() },
            user = source.id(&USER),
            recorded_at = source.instant(&["recorded_at"]),
            key = source.text(&["idempotency_key"]),
            extra = source.list_extra(&METRIC_COLUMNS, ""),
            values = source.list_extra(&METRIC_COLUMNS, "x."),
        ),
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
            "select {org} as org_id, lower({feature}) as feature,
                    null::timestamptz as period_start, {value} as amount
             from {legacy} where {org} is not null and {feature} is not null"
        ),
        &format!(
            "select {org} as org_id, lower({feature}) as feature, {value} as amount from {legacy}"
        ),
    );
    draft.question("metrics", format!("select count(*) from {now}"));
    draft.blocking(
        "metrics without an org, a feature or a value: complete or delete them first",
        format!(
            "select count(*) from {now}
             where {org} is null or {feature} is null or {value} is null"
        ),
    );
    if let Some(orgs) = draft.orgs_now() {
        draft.blocking(
            "metrics of orgs that do not exist: add the orgs or delete them first",
            format!(
                "select count(*) from {now}
                 where not exists (select from {orgs} o where o.id = {org})"
            ),
        );
        if draft.has_column(&orgs, "used_minutes") {
            draft.question(
                "orgs whose used_minutes is not the sum of their metrics: the metrics hold",
                format!(
                    "select count(*) from {orgs} o
                     left join (
                         select p.id, sum({value}) as used
                         from {now} join {orgs} p on p.id = {org}
                         where lower({feature}) = 'minutes_transcribed'
                           and {used_at} >= p.current_period_start
                           and {used_at} < p.current_period_end group by 1) s on s.id = o.id
                     where coalesce(o.used_minutes, 0) <> coalesce(s.used, 0)"
                ),
            );
        }
    }
}

/// Makes packs of the overage that orgs' rows and purchase records name.
pub(super) fn packs(draft: &mut Draft<'_>, orgs: Source<'_>, purchases: Option<Source<'_>>) {
    let held = orgs.quantity(&["overage_minutes"]);
    let (legacy, now, id) = (orgs.legacy(), orgs.now(), orgs.id(&["id"]));
    let (mut bought, mut bought_now) = ("0".to_owned(), String::new());
    if let Some(source) = purchases {
        let (table, org, minutes) = (source.now(), source.id(&ORG), source.quantity(&MINUTES));
        // A record stays where it is: it is the application's, and nothing of ours is called so.
        draft.step(
            "restore a pack for every purchase that is on record",
            format!(
                "insert into overage_packs (org_id, feature, quantity, remaining, purchased_at,
                                            reference, entries)
                 select {org}, 'minutes_transcribed', {minutes}, {minutes},
                        least(coalesce({at}, now()), now()), 'purchase:' || {key}, 1
                 from {table} where {minutes} > 0 and {org} in (select id from organizations)",
                at = source.instant(&BOUGHT_AT),
                key = if source.has(&["id"]) { "x.id::text" } else { "gen_random_uuid()::text" },
            ),
        );
        bought_now = format!(
            "(select {org} as id, sum({minutes}) as bought from {table}
              where {minutes} > 0 group by 1)"
        );
        bought = String::from(
            "coalesce((select sum(p.quantity) from overage_packs p
                       where p.org_id = h.id and p.reference like 'purchase:%'), 0)",
        );
    }
    draft.step(
        "make a pack of the overage that an org's row holds beyond its purchases on record",
        format!(
            "insert into overage_packs (org_id, feature, quantity, remaining, reference, entries)
             select h.id, 'minutes_transcribed', h.held - {bought}, h.held - {bought},
                    'periodd-import:overage', 1
             from (select {id} as id, {held} as held from {legacy}) h
             where h.held - {bought} > 0"
        ),
    );
    draft.step(
        "enter the packs in their ledger",
        "insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
         select p.org_id, p.id, 1, 'granted', p.quantity, p.purchased_at, p.quantity
         from overage_packs p"
            .to_owned(),
    );
    let held_now = format!("(select {id} as id, {held} as held from {now}) h");
    draft.question(
        "orgs that hold overage: it becomes a pack",
        format!("select count(*) from {held_now} where h.held > 0"),
    );
    if !bought_now.is_empty() {
        draft.question(
            "orgs that hold less overage than they bought: restored to what is on record",
            format!(
                "select count(*) from {held_now} join {bought_now} p on p.id = h.id
                 where coalesce(h.held, 0) < p.bought"
            ),
        );
    }
}

/// Adopts counters with a column per feature.
pub(super) fn wide_counters(draft: &mut Draft<'_>, source: Source<'_>) {
    let is_named = |name: &str| [&ORG[..], &START, &END, &["id"]].concat().contains(&name);
    let columns = source.table.columns.iter().filter(|column| {
        column.is_numeric() && !column.is_key && !column.is_generated && !is_named(&column.name)
    });
    let features: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    draft.replaces_but(source, &[&ORG[..], &START, &END, &["id"], &features].concat());
    let now = source.now();
    if features.is_empty() {
        draft.blocking(
            "rows of usage_counters, which has no column of numbers to count: rename the table",
            format!("select count(*) from {now}"),
        );
        return;
    }
    draft.question(
        format!("columns of usage_counters that are features: {}", features.join(", ")),
        format!("select {}::bigint", features.len()),
    );
    let nulls: Vec<String> =
        features.iter().map(|name| format!("x.{} is null", quoted(name))).collect();
    draft.question(
        "counters without an amount in one of these columns: nothing was used",
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
        "null::uuid",
    );
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
    counters_of_months(draft, source, "", ("'sms_sent'", &amount), "null::uuid");
}

/// Adopts counters of single users.
pub(super) fn user_counters(draft: &mut Draft<'_>, source: Source<'_>) {
    draft.replaces_but(source, &[&USER[..], &FEATURE, &COUNT, &START, &END, &["id"]].concat());
    let feature = format!("lower({})", source.text(&FEATURE));
    let (amount, user) = (source.quantity(&COUNT), source.id(&USER));
    counters_of_months(draft, source, "", (&feature, &amount), &user);
    let now = source.now();
    draft.blocking(
        "counters without a user, a feature or an amount: complete or delete them first",
        format!(
            "select count(*) from {now}
             where {user} is null or {feature} is null or {amount} is null"
        ),
    );
}

/// Usage by period: rows of one month are one period, whatever their ends look like.
fn counters_of_months(
    draft: &mut Draft<'_>,
    source: Source<'_>,
    join: &str,
    (feature, amount): (&str, &str),
    user: &str,
) {
    let (now, legacy) = (source.now(), source.legacy());
    let (start, end) = (source.instant(&START), source.end(&START, &END));
    let (zone, name) = (literal(source.naive_zone), &source.table.name);
    let org = if source.has(&ORG) {
        source.id(&ORG)
    } else {
        format!("(select u.organization_id from users u where u.id = {user})")
    };
    // A month that starts on the evening before in UTC is the month of the day after.
    let month = format!("date_trunc('month', {start} + interval '14 hours', {zone})");
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
            "select {org} as org_id, {feature} as feature, {amount} as amount from {legacy} {join}"
        ),
    );
    draft.blocking(
        format!("rows of {name} without a period's start: complete or delete them first"),
        format!("select count(*) from {now} where {start} is null"),
    );
    if source.has(&ORG) {
        draft.blocking(
            format!("rows of {name} without an org: complete or delete them first"),
            format!("select count(*) from {now} where {org} is null"),
        );
    }
    draft.question(format!("rows of {name}"), format!("select count(*) from {now}"));
    draft.question(
        format!("periods of {name} that end with their last moment: they are the month meant"),
        format!("select count(*) from {now} where {}", source.is_inclusive(&START, &END)),
    );
    draft.question(
        format!("periods of {name} that do not end after they start"),
        format!("select count(*) from {now} where {} <= {start}", source.instant(&END)),
    );
    let whose = if source.has(&USER) { user.to_owned() } else { source.id(&ORG) };
    let what = if source.has(&FEATURE) { source.text(&FEATURE) } else { "true".into() };
    draft.question(
        format!("rows of {name} whose month has another row: their usage is added up"),
        format!(
            "select coalesce(sum(n - 1), 0)::bigint
             from (select count(*) as n from (
                       select {whose} as whose, {what} as what, {month} as month from {now}) k
                   group by whose, what, month) r"
        ),
    );
}

/// Takes the open periods of orgs from a table of subscriptions.
pub(super) fn subscriptions(draft: &mut Draft<'_>, source: Source<'_>) {
    let (now, org) = (source.now(), source.id(&ORG));
    let (starts, ends) = (["current_period_start"], ["current_period_end"]);
    let (start, end) = (source.instant(&starts), source.end(&starts, &ends));
    draft.step(
        "open the periods that subscriptions name, where they contain now; and anchor the orgs",
        format!(
            "update organizations o
             set current_period_start = case when s.start <= s.now and s.ends > s.now
                                             then s.start end,
                 current_period_end = case when s.start <= s.now and s.ends > s.now
                                           then s.ends end,
                 cycle = s.cycle, anchor_day = s.day, anchor_month = s.month
             from (select k.*, now() as now, {cycle} as cycle, {day} as day, {month} as month
                   from (select distinct on (1) {org} as org_id, {start} as start, {end} as ends
                         from {now} where {start} is not null and {end} is not null
                         order by 1, 3 desc) k
                   join organizations p on p.id = k.org_id and p.current_period_start is null
                   where k.ends > k.start) s
             where o.id = s.org_id",
            cycle = cycle("k.start", "k.ends"),
            day = anchor_day("k.start", "k.ends", "p.time_zone", source.naive_zone),
            month = anchor_month("k.ends", "p.time_zone", source.naive_zone),
        ),
    );
    draft.question("subscriptions", format!("select count(*) from {now}"));
    draft.question(
        "subscriptions whose period does not contain now: it is opened anew",
        format!(
            "select count(*) from {now}
             where not coalesce({start} <= now() and {end} > now(), false)"
        ),
    );
}
