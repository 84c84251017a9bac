//! What is to be adopted, as a value: made from the catalogue alone, and nothing left to decide.

use super::source::{Source, legacy_name};
use super::{left, mends, people, usage};
use crate::store::tables::{Catalogue, Column, Relation, quoted};

/// What was found in a database, and what adopting it does.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Adoption {
    /// The tables that are replaced, in their order; each stays as `NAME_legacy`.
    pub replaces: Vec<String>,
    /// Views that are in the way.
    pub drops: Vec<String>,
    /// What is done, in its order.
    pub steps: Vec<Step>,
    #[serde(skip)]
    pub(super) standing: Standing,
    #[serde(skip)]
    pub(super) questions: Vec<Question>,
    /// Queries `(org_id, feature, period_start, amount)` over the replaced tables.
    #[serde(skip)]
    pub(super) sums: Vec<String>,
    /// Queries `(org_id, feature, amount)` over the replaced tables as they are, row by row.
    #[serde(skip)]
    pub(super) raw: Vec<String>,
    /// Tables of metrics that keep their ids.
    #[serde(skip)]
    pub(super) kept_metrics: Vec<String>,
    /// Queries `(zone, orgs)` over the tables that are to be replaced.
    #[serde(skip)]
    pub(super) zones: Vec<String>,
    /// Queries for the ids of the orgs that this is about.
    #[serde(skip)]
    pub(super) orgs: Vec<String>,
}

/// Whose database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// An application's alone.
    Foreign,
    /// Migrated, and without a single org: nothing was ever done in it.
    Fresh,
    /// In use: nothing is adopted any more, but what applications wrote can be mended.
    InUse,
}

impl Adoption {
    fn new(standing: Standing) -> Self {
        let (replaces, drops, steps, questions, sums) = (vec![], vec![], vec![], vec![], vec![]);
        let (raw, kept_metrics, zones, orgs) = (vec![], vec![], vec![], vec![]);
        Self { replaces, drops, steps, standing, questions, sums, raw, kept_metrics, zones, orgs }
    }

    /// Does this mend periods in a database that is in use, and adopt nothing?
    #[must_use]
    pub fn is_mend(&self) -> bool {
        self.standing == Standing::InUse
    }
}

/// One thing that is done.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct Step {
    /// What, in a few words.
    pub what: &'static str,
    #[serde(skip)]
    pub(super) sql: String,
}

/// Something to count before anything is done.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) sentence: String,
    pub(super) sql: String,
    /// With any, nothing can be adopted.
    pub(super) blocks: bool,
}

/// An adoption in the making.
pub(super) struct Draft<'a> {
    catalogue: &'a Catalogue,
    adoption: Adoption,
    usage: Vec<String>,
    /// The replaced tables, and of each the columns that have a place in ours.
    placed: Vec<(Relation, Vec<String>)>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, standing: Standing) -> Self {
        Self { catalogue, adoption: Adoption::new(standing), usage: vec![], placed: vec![] }
    }

    pub(super) fn finished(self) -> Adoption {
        self.adoption
    }

    /// Replaces a table, of which these columns have a place in ours.
    pub(super) fn replaces_but(&mut self, source: Source<'_>, ours: &[&str]) {
        self.adoption.replaces.push(source.table.name.clone());
        let ours = ours.iter().map(|name| (*name).to_owned()).collect();
        self.placed.push((source.table.clone(), ours));
    }

    pub(super) fn step(&mut self, what: &'static str, sql: String) {
        if !sql.is_empty() {
            self.adoption.steps.push(Step { what, sql });
        }
    }

    pub(super) fn question(&mut self, sentence: impl Into<String>, sql: String) {
        self.ask(sentence.into(), sql, false);
    }

    pub(super) fn blocking(&mut self, sentence: impl Into<String>, sql: String) {
        self.ask(sentence.into(), sql, true);
    }

    fn ask(&mut self, sentence: String, sql: String, blocks: bool) {
        self.adoption.questions.push(Question { sentence, sql, blocks });
    }

    /// Zones in use: `(zone, orgs)`.
    pub(super) fn zones(&mut self, select: String) {
        self.adoption.zones.push(select);
    }

    /// Orgs that this is about, by their ids.
    pub(super) fn orgs(&mut self, select: String) {
        self.adoption.orgs.push(select);
    }

    /// Users who are an org each, where no table of users says otherwise.
    pub(super) fn users_named_by(&mut self, source: Source<'_>) {
        if self.catalogue.table("users").is_none() || self.adoption.standing == Standing::Fresh {
            let (now, user) = (source.now(), source.id(&super::USER));
            self.orgs(format!("select {user} from {now} where {user} is not null"));
        }
    }

    /// Adds usage by period: `(org_id, user_id, feature, period_start, period_end, amount)`; and
    /// the same row by row, to be compared in the end: `(org_id, feature, amount)`.
    pub(super) fn usage(&mut self, select: &str, raw: &str) {
        self.usage.push(select.to_owned());
        self.adoption.raw.push(raw.to_owned());
    }

    /// Adds metrics that keep their ids, how they add up, and the same row by row.
    pub(super) fn metrics_of(&mut self, source: Source<'_>, sums: &str, raw: &str) {
        self.adoption.sums.push(sums.to_owned());
        self.adoption.raw.push(raw.to_owned());
        self.adoption.kept_metrics.push(source.table.name.clone());
    }

    /// The table of orgs that is there before, as statements spell it.
    pub(super) fn placed(&self) -> &[(Relation, Vec<String>)] {
        &self.placed
    }

    pub(super) fn replaced(&self) -> &[String] {
        &self.adoption.replaces
    }

    pub(super) fn orgs_now(&self) -> Option<String> {
        orgs_table(self.catalogue).map(|table| quoted(&table.name))
    }

    pub(super) fn has_column(&self, quoted_table: &str, column: &str) -> bool {
        let table = self.catalogue.table(quoted_table.trim_matches('"'));
        table.is_some_and(|table| table.column(column).is_some())
    }

    fn drops_view(&mut self, name: &str) {
        if self.catalogue.relation(name).is_some_and(|relation| relation.is_view) {
            self.adoption.drops.push(name.to_owned());
        }
    }

    /// The usage by period of all sources becomes metrics; what has ended is counted already.
    fn write_usage(&mut self) {
        if self.usage.is_empty() {
            return;
        }
        let merged = format!(
            "select org_id, user_id, feature, min(period_start) as period_start,
                    least(max(period_end), lead(min(period_start)) over (
                        partition by org_id, user_id, feature order by min(period_start)))
                        as period_end,
                    date_trunc('month', period_start + interval '14 hours', 'UTC') as month,
                    sum(amount) as amount
             from ({}) u
             where amount <> 0
             group by org_id, user_id, feature, month
             having sum(amount) <> 0",
            self.usage.join(" union all ")
        );
        self.step(
            "add the features that were used",
            format!(
                "insert into features (feature) select distinct feature from ({merged}) m
                 on conflict do nothing"
            ),
        );
        self.step(
            "make metrics of usage by period; periods that have ended get their counters",
            format!(
                "with merged as materialized ({merged}),
                 counters as (
                     insert into usage_counters (org_id, feature, period_start, period_end, used)
                     select org_id, feature, min(period_start),
                            least(max(period_end), lead(min(period_start)) over (
                                partition by org_id, feature order by min(period_start))),
                            sum(amount)
                     from merged where period_end <= now() group by org_id, feature, month),
                 user_counters as (
                     insert into feature_usage (organization_id, user_id, feature, period_start,
                                                period_end, usage_count)
                     select org_id, user_id, feature, period_start, period_end, amount
                     from merged where period_end <= now() and user_id is not null)
                 insert into usage_metrics (organization_id, user_id, metric_type, metric_value,
                                            created_at, counted_at, idempotency_key)
                 select org_id, user_id, feature, amount,
                        case when period_end > now() then now() else period_start end,
                        case when period_end <= now() then now() end,
                        'periodd-import:' || coalesce(user_id::text, 'org') || ':' || feature
                        || ':' || to_char(period_start at time zone 'UTC', '{STAMP}')
                 from merged"
            ),
        );
        self.adoption.sums.push(format!(
            "select org_id, feature, period_start, sum(amount) as amount from ({merged}) m
             group by 1, 2, 3"
        ));
    }
}

/// How a period's start is written into the key of its metric.
pub(super) const STAMP: &str = "YYYYMMDDHH24MISSUS";

/// The table of orgs that an application has, if it is not ours already.
fn orgs_table(catalogue: &Catalogue) -> Option<&Relation> {
    ["organizations", "organisations"]
        .iter()
        .filter_map(|name| catalogue.table(name))
        .find(|table| table.column("next_period_ends").is_none())
}

/// What adopting this database takes; `None` where there is nothing to adopt. Of a database that
/// is in use, what may have to be mended.
#[must_use]
pub fn plan(catalogue: &Catalogue, standing: Standing, naive_zone: &str) -> Option<Adoption> {
    if standing == Standing::InUse {
        return Some(mends::open_periods(Draft::new(catalogue, standing)));
    }
    let is_ours = standing == Standing::Fresh;
    let any = |_: &Relation| true;
    // Of a database that is migrated, tables whose names are not ours.
    let table = |name: &str, foreign: &dyn Fn(&Relation) -> bool| {
        let is_free = !is_ours || !super::TABLES.contains(&name);
        catalogue.table(name).filter(|table| is_free && foreign(table))
    };
    let orgs = if is_ours { None } else { orgs_table(catalogue) };
    let users = table("users", &|t| t.column("email").is_some());
    let metrics = table("usage_metrics", &any);
    let events = table("usage_events", &any);
    let wide = table("usage_counters", &|t| t.column("feature").is_none());
    let sms = table("sms_usage", &any);
    let subscriptions = table("org_subscriptions", &any);
    let per_user = table("user_feature_usage", &any);
    let per_user_too = table("feature_usage", &|t| t.column("organization_id").is_none());
    let purchases = ["overage_purchases", "minute_purchases"].iter().find_map(|n| table(n, &any));
    let sources = [orgs, users, metrics, events, wide, sms, subscriptions, per_user, per_user_too];
    if sources.iter().all(Option::is_none) {
        return None;
    }
    let mut draft = Draft::new(catalogue, standing);
    let source = |table| Source { table, naive_zone };
    if !is_ours {
        for view in
            ["feature_usage", "organisations", "usage_events", "usage_alerts_view", "usage_metrics"]
        {
            draft.drops_view(view);
        }
    }
    if let Some(table) = orgs {
        people::orgs(&mut draft, source(table));
    }
    let name_orgs = [wide, sms, subscriptions, users, metrics, events];
    for table in name_orgs.into_iter().flatten().filter(|_| orgs.is_none()) {
        if source(table).has(&super::ORG) {
            people::orgs_named_by(&mut draft, source(table), table.name == "org_subscriptions");
        }
    }
    if let Some(table) = users {
        people::users(&mut draft, source(table));
    }
    for table in [per_user, per_user_too].into_iter().flatten() {
        people::users_named_by(&mut draft, source(table));
        usage::user_counters(&mut draft, source(table));
    }
    if let Some(table) = orgs.filter(|table| table.column("overage_minutes").is_some()) {
        usage::packs(&mut draft, source(table), purchases.map(source));
    }
    for table in [metrics, events].into_iter().flatten() {
        usage::metrics(&mut draft, source(table));
    }
    if let Some(table) = wide {
        usage::wide_counters(&mut draft, source(table));
    }
    if let Some(table) = sms {
        usage::sms_usage(&mut draft, source(table));
    }
    if let Some(table) = subscriptions {
        usage::subscriptions(&mut draft, source(table));
    }
    draft.write_usage();
    if !is_ours {
        in_the_way(&mut draft);
    }
    left::questions(&mut draft);
    Some(draft.finished())
}

/// Tables whose names we need and that hold nothing of ours: set aside, whole.
fn in_the_way(draft: &mut Draft<'_>) {
    let taken = super::TABLES.iter().filter_map(|name| draft.catalogue.table(name));
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
                what: "keep the tiers that are there",
                sql: format!(
                    "insert into subscription_tiers as t (code, name, monthly_price_cents)
                     select lower(x.code::text), {name}, coalesce({price}, 0) from {legacy} x
                     on conflict (code) do update
                         set name = coalesce(excluded.name, t.name),
                             monthly_price_cents = excluded.monthly_price_cents"
                ),
            };
            draft.adoption.steps.insert(0, step);
            draft.question(
                "tiers: they keep code, name and price in cents",
                format!("select count(*) from {now}"),
            );
            draft.placed.push((table.clone(), placed));
        } else {
            draft.question(
                format!(
                    "rows of {}, a name that periodd needs: the table is set aside whole, and \
                     nothing of it is taken",
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
