//! What is to be adopted, as a value: made from the catalogue alone, and nothing left to decide.

use super::source::{Source, legacy_name};
use super::{people, usage};
use crate::store::tables::{Catalogue, Relation, quoted};

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
    pub(super) questions: Vec<Question>,
    /// Queries `(org_id, feature, period_start, amount)` over the replaced tables.
    #[serde(skip)]
    pub(super) sums: Vec<String>,
    /// Tables of metrics that keep their ids.
    #[serde(skip)]
    pub(super) kept_metrics: Vec<String>,
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
    pub(super) sentence: &'static str,
    pub(super) sql: String,
    /// With any, nothing can be adopted.
    pub(super) blocks: bool,
}

/// An adoption in the making.
pub(super) struct Draft<'a> {
    catalogue: &'a Catalogue,
    adoption: Adoption,
    usage: Vec<String>,
}

impl Draft<'_> {
    pub(super) fn replaces(&mut self, source: Source<'_>) {
        self.adoption.replaces.push(source.table.name.clone());
    }

    pub(super) fn step(&mut self, what: &'static str, sql: String) {
        if !sql.is_empty() {
            self.adoption.steps.push(Step { what, sql });
        }
    }

    pub(super) fn question(&mut self, sentence: &'static str, sql: String) {
        self.adoption.questions.push(Question { sentence, sql, blocks: false });
    }

    pub(super) fn blocking(&mut self, sentence: &'static str, sql: String) {
        self.adoption.questions.push(Question { sentence, sql, blocks: true });
    }

    /// Adds usage by period: `(org_id, user_id, feature, period_start, period_end, amount)`.
    pub(super) fn usage(&mut self, select: &str) {
        self.usage.push(select.to_owned());
    }

    /// Adds metrics that keep their ids, and how they add up.
    pub(super) fn metrics_of(&mut self, source: Source<'_>, sums: &str) {
        self.adoption.sums.push(sums.to_owned());
        self.adoption.kept_metrics.push(source.table.name.clone());
    }

    /// The table of orgs that is there before, as statements spell it.
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
                 metrics as (
                     insert into usage_metrics (organization_id, user_id, metric_type, metric_value,
                                                created_at, counted_at, idempotency_key)
                     select org_id, user_id, feature, amount,
                            case when period_end > now() then now() else period_start end,
                            case when period_end <= now() then now() end,
                            'periodd-import:' || coalesce(user_id::text, 'org') || ':' || feature
                            || ':' || to_char(period_start at time zone 'UTC', '{STAMP}')
                     from merged),
                 counters as (
                     insert into usage_counters (org_id, feature, period_start, period_end, used)
                     select org_id, feature, min(period_start),
                            least(max(period_end), lead(min(period_start)) over (
                                partition by org_id, feature order by min(period_start))),
                            sum(amount)
                     from merged where period_end <= now() group by org_id, feature, month)
                 insert into feature_usage (organization_id, user_id, feature, period_start,
                                            period_end, usage_count)
                 select org_id, user_id, feature, period_start, period_end, amount
                 from merged where period_end <= now() and user_id is not null"
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

/// What adopting this database takes; `None` where there is nothing to adopt.
#[must_use]
pub fn plan(catalogue: &Catalogue, naive_zone: &str) -> Option<Adoption> {
    let is_ours = catalogue.table("periodd_migrations").is_some();
    let table = |name: &str, foreign: &dyn Fn(&Relation) -> bool| {
        catalogue.table(name).filter(|table| !is_ours && foreign(table))
    };
    let any = |_: &Relation| true;
    let orgs = if is_ours { None } else { orgs_table(catalogue) };
    let users = table("users", &|t| t.column("email").is_some());
    let metrics = table("usage_metrics", &|t| t.column("counted_at").is_none());
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
    let adoption = Adoption {
        replaces: vec![],
        drops: vec![],
        steps: vec![],
        questions: vec![],
        sums: vec![],
        kept_metrics: vec![],
    };
    let mut draft = Draft { catalogue, adoption, usage: vec![] };
    let source = |table| Source { table, naive_zone };
    for view in
        ["feature_usage", "organisations", "usage_events", "usage_alerts_view", "usage_metrics"]
    {
        draft.drops_view(view);
    }
    if let Some(table) = orgs {
        people::orgs(&mut draft, source(table));
    }
    for table in [wide, sms, subscriptions].into_iter().flatten().filter(|_| orgs.is_none()) {
        people::orgs_named_by(&mut draft, source(table), table.name == "org_subscriptions");
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
    in_the_way(&mut draft);
    Some(draft.adoption)
}

/// Tables whose names we need and that hold nothing of ours: set aside, whole.
fn in_the_way(draft: &mut Draft<'_>) {
    let taken = super::TABLES.iter().filter(|name| draft.catalogue.table(name).is_some());
    let more: Vec<String> = taken
        .filter(|name| !draft.adoption.replaces.iter().any(|replaced| replaced == *name))
        .map(|name| (*name).to_owned())
        .collect();
    if let Some(tiers) = more.iter().find(|name| *name == "subscription_tiers") {
        let table = draft.catalogue.table(tiers);
        if table.is_some_and(|table| table.column("code").is_some()) {
            let legacy = quoted(&legacy_name(tiers));
            draft.adoption.steps.insert(
                0,
                Step {
                    what: "keep the tiers that are there",
                    sql: format!(
                        "insert into subscription_tiers (code)
                         select lower(code::text) from {legacy} on conflict do nothing"
                    ),
                },
            );
        }
    }
    draft.adoption.replaces.extend(more);
}
