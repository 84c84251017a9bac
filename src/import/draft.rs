//! An adoption in the making: tables find their place, questions and steps add up.

use super::answers::Answers;
use super::source::{ORGS, Reads, Source, USERS};
use crate::store::db::ours;
use crate::store::db::tables::{Catalogue, Relation, literal, quoted};

/// What was found in a database, and what adopting it does.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Adoption {
    /// The tables that are replaced, in order; each is kept as `NAME_legacy`.
    pub replaces: Vec<String>,
    /// Views that are in the way.
    pub drops: Vec<String>,
    /// What is done, in its order.
    pub steps: Vec<Step>,
    #[serde(skip)]
    pub(super) database_use: DatabaseUse,
    /// What the operator decided.
    #[serde(skip)]
    pub(super) answers: Answers,
    /// Tables of other owners, as sentences: with any, nothing is read.
    #[serde(skip)]
    pub(super) mistrusts: Vec<String>,
    /// What is wrong with the shape of tables, as sentences: with any, nothing is adopted.
    #[serde(skip)]
    pub(super) refusals: Vec<String>,
    #[serde(skip)]
    pub(super) questions: Vec<Question>,
    /// Queries `(org_id, feature, period_start, amount)` over the replaced tables.
    #[serde(skip)]
    pub(super) sums: Vec<String>,
    /// Queries `(org_id, feature, month, amount)` over the replaced tables as they are, row by row,
    /// by the calendar month of each row's own instant.
    #[serde(skip)]
    pub(super) raw: Vec<String>,
    /// Tables of metrics that stay what they are, and whether their ids are new.
    #[serde(skip)]
    pub(super) kept_metrics: Vec<(String, bool)>,
    /// Tables whose ids are not UUIDs: their old names, and what the old ids are called now.
    #[serde(skip)]
    pub(super) former_ids: Vec<(String, String)>,
    /// Queries `(zone, orgs)` over the tables that are to be replaced.
    #[serde(skip)]
    pub(super) zones: Vec<String>,
    /// Queries for the ids of the orgs that this is about.
    #[serde(skip)]
    pub(super) orgs: Vec<String>,
}

/// Whose database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseUse {
    /// An application's alone.
    Foreign,
    /// Migrated, and without a single org: nothing was ever done in it.
    Fresh,
    /// In use: nothing is adopted any more, but what applications wrote can be mended.
    InUse,
}

impl Adoption {
    fn new(database_use: DatabaseUse) -> Self {
        let (replaces, drops, steps, questions, sums) = (vec![], vec![], vec![], vec![], vec![]);
        let (raw, kept_metrics, zones, orgs) = (vec![], vec![], vec![], vec![]);
        let (mistrusts, refusals, former_ids) = (vec![], vec![], vec![]);
        let answers = Answers::default();
        Self {
            replaces,
            drops,
            steps,
            database_use,
            answers,
            mistrusts,
            refusals,
            questions,
            sums,
            raw,
            kept_metrics,
            former_ids,
            zones,
            orgs,
        }
    }

    /// Does this mend periods in a database that is in use, and adopt nothing?
    pub fn is_mend(&self) -> bool {
        self.database_use == DatabaseUse::InUse
    }
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Step {
    /// What, in a few words.
    pub what: &'static str,
    #[serde(skip)]
    pub(super) work: Work,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    /// Statements, one at a time.
    Statements(Vec<String>),
    /// Ids that are not UUIDs get one: `(kind, former_id)` of all that there are.
    MapIds(String),
}

/// Something to count before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) sentence: String,
    pub(super) sql: String,
    /// With any, nothing can be adopted.
    pub(super) blocks: bool,
}

/// A replaced table.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) table: Relation,
    /// The one of ours that its rows go to, with columns of their own; `None` where only some of
    /// its columns are read.
    pub(super) to: Option<&'static str>,
    /// Its columns that are read.
    pub(super) taken: Vec<String>,
}

/// An adoption in the making.
pub(super) struct Draft<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) adoption: Adoption,
    usage: Vec<String>,
    /// Queries `(kind, former_id)` for ids that are not UUIDs.
    ids: Vec<String>,
    pub(super) placed: Vec<Placed>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, database_use: DatabaseUse) -> Self {
        let adoption = Adoption::new(database_use);
        Self { catalogue, adoption, usage: vec![], ids: vec![], placed: vec![] }
    }

    pub(super) fn finished(mut self) -> Adoption {
        if !self.ids.is_empty() {
            let work = Work::MapIds(self.ids.join(" union "));
            let what = "give each id that is not a UUID one (version 5, always the same)";
            self.adoption.steps.insert(0, Step { what, work });
        }
        self.adoption
    }

    /// Can all of a table's columns be read as what they are needed for? Those that cannot block.
    pub(super) fn fits(&mut self, source: Source<'_>, needed: &[(Reads, &[&str])]) -> bool {
        let misfits = source.misfits(needed);
        for sentence in &misfits {
            self.refuse(sentence.clone());
        }
        misfits.is_empty()
    }

    /// Something about a table's shape, whatever it holds: with it, nothing is adopted.
    pub(super) fn refuse(&mut self, sentence: String) {
        self.adoption.refusals.push(sentence);
    }

    /// The ids in a table that are not UUIDs are mapped: its own as those of `own`, and those of
    /// the orgs and users that it names.
    pub(super) fn maps(&mut self, source: Source<'_>, own: Option<&str>, org: &[&str]) {
        let all = [(own, &["id"][..]), (Some(ORGS), org), (Some(USERS), &super::USER[..])];
        for (kind, names) in all {
            let Some(kind) = kind.filter(|_| source.needs_mapping(names)) else { continue };
            let (kind, former) = (literal(kind), source.text(names));
            self.ids.push(format!(
                "select {kind} as kind, {former} as former_id from {} where {former} is not null",
                source.legacy()
            ));
        }
        if own.is_some() {
            let former = source.former_id();
            let former =
                former.map(|(_, name)| (source.table.name.clone(), name.name().to_owned()));
            self.adoption.former_ids.extend(former);
        }
    }

    /// Replaces a table, of which these columns have a place in ours.
    pub(super) fn replaces_but(&mut self, source: Source<'_>, ours: &[&str]) {
        self.adoption.replaces.push(source.table.name.clone());
        self.placed.push(Placed {
            table: source.table.clone(),
            to: None,
            taken: ours::owned(ours),
        });
    }

    /// Replaces a table whose rows go to one of ours, with all of their columns; of these, what is
    /// meant by `taken` is known.
    pub(super) fn becomes(&mut self, source: Source<'_>, to: &'static str, taken: &[String]) {
        self.adoption.replaces.push(source.table.name.clone());
        let (table, taken) = (source.table.clone(), taken.to_vec());
        self.placed.push(Placed { table, to: Some(to), taken });
    }

    pub(super) fn step(&mut self, what: &'static str, sql: String) {
        self.steps(what, vec![sql]);
    }

    /// A step of several statements; of none, it is no step.
    pub(super) fn steps(&mut self, what: &'static str, sql: Vec<String>) {
        if !sql.is_empty() {
            self.adoption.steps.push(Step { what, work: Work::Statements(sql) });
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
        if self.catalogue.table("users").is_none()
            || self.adoption.database_use == DatabaseUse::Fresh
        {
            let (now, user) = (source.now(), source.text(&super::USER));
            self.orgs(format!("select {user} from {now} where {user} is not null"));
        }
    }

    /// Adds usage by period: `(org_id, user_id, feature, period_start, period_end, amount)`; and
    /// the same row by row, to be compared in the end: `(org_id, feature, month, amount)`.
    pub(super) fn usage(&mut self, select: &str, raw: &str) {
        self.usage.push(select.to_owned());
        self.adoption.raw.push(raw.to_owned());
    }

    /// Adds metrics that stay what they are, row by row: `(org_id, feature, month, amount)`.
    pub(super) fn metrics_of(&mut self, source: Source<'_>, raw: &str) {
        self.adoption.raw.push(raw.to_owned());
        let is_new = source.table.column("id").is_none_or(|id| id.type_name != "uuid");
        self.adoption.kept_metrics.push((source.table.name.clone(), is_new));
    }

    /// The replaced tables, each with the columns that have a place in ours.
    pub(super) fn placed(&self) -> &[Placed] {
        &self.placed
    }

    pub(super) fn replaced(&self) -> &[String] {
        &self.adoption.replaces
    }

    /// The table of orgs that is there before, as statements spell it.
    pub(super) fn orgs_now(&self) -> Option<String> {
        self.orgs_table().map(|table| quoted(&table.name).to_string())
    }

    /// Has the table of orgs that is there before these columns?
    pub(super) fn orgs_now_have(&self, columns: &[&str]) -> bool {
        let has = |table: &Relation| columns.iter().all(|name| table.column(name).is_some());
        self.orgs_table().is_some_and(has)
    }

    /// The table of users that is there before, as statements spell it.
    pub(super) fn users_now(&self) -> Option<String> {
        let users = self.catalogue.table("users");
        let users = users.filter(|_| self.adoption.database_use == DatabaseUse::Foreign);
        users.map(|table| quoted(&table.name).to_string())
    }

    fn orgs_table(&self) -> Option<&Relation> {
        orgs_table(self.catalogue).filter(|_| self.adoption.database_use == DatabaseUse::Foreign)
    }

    pub(super) fn drops_view(&mut self, name: &str) {
        if self.catalogue.relation(name).is_some_and(|relation| relation.is_view) {
            self.adoption.drops.push(name.to_owned());
        }
    }

    /// The usage by period of all sources becomes metrics; what has ended is counted already.
    pub(super) fn write_usage(&mut self) {
        if self.usage.is_empty() {
            return;
        }
        let month = month_of_counter("period_start", &self.adoption.answers.naive_zone);
        let merged = format!(
            "select org_id, user_id, feature, min(period_start) as period_start,
                    least(max(period_end), lead(min(period_start)) over (
                        partition by org_id, user_id, feature order by min(period_start)))
                        as period_end,
                    {month} as month, sum(amount) as amount
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
            "create metrics from usage by period; ended periods get their counters",
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

/// The calendar month that a counter is of. One that starts on the evening before in UTC is of the
/// month of the day after.
pub(super) fn month_of_counter(start: &str, naive_zone: &str) -> String {
    format!("date_trunc('month', {start} + interval '14 hours', {})", literal(naive_zone))
}

/// The calendar month of an instant of use.
pub(super) fn month_of(used_at: &str, naive_zone: &str) -> String {
    format!("date_trunc('month', {used_at}, {})", literal(naive_zone))
}

/// How a period's start is written into the key of its metric.
pub(super) const STAMP: &str = "YYYYMMDDHH24MISSUS";

/// The table of orgs that there is.
pub(super) fn orgs_table(catalogue: &Catalogue) -> Option<&Relation> {
    ["organizations", "organisations"].iter().find_map(|name| catalogue.table(name))
}
