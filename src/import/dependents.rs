//! What others built on the tables that move: views, foreign keys and policies. They are saved as
//! values, with their owners, rights, options and comments, dropped, and made again on whatever
//! bears the names then. What cannot be carried is named before anything is changed.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::run;
use crate::store::db::error::StoreError;
use crate::store::db::tables::{self, Identifier, QualifiedName, literal};

/// Something of somebody else's that depends on a table that moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Dependent {
    View(View),
    ForeignKey(ForeignKey),
    Policy(Policy),
}

/// A text with the name of what it is about: a definition, or a comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    name: Identifier,
    text: String,
    comment: Option<String>,
}

/// A right that a role has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Right {
    column: Option<Identifier>,
    privilege: String,
    /// `None` for everybody.
    grantee: Option<Identifier>,
    with_option: bool,
}

/// A view, plain or materialized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct View {
    id: i64,
    /// Other views that it reads.
    reads: Vec<i64>,
    #[serde(flatten)]
    pub(super) name: QualifiedName,
    is_materialized: bool,
    is_populated: bool,
    owner: Identifier,
    columns: Vec<Identifier>,
    /// `security_invoker=true` and the like.
    options: Vec<String>,
    access_method: Option<Identifier>,
    tablespace: Option<Identifier>,
    query: String,
    rights: Vec<Right>,
    comment: Option<String>,
    column_comments: Vec<Named>,
    defaults: Vec<Named>,
    indexes: Vec<Named>,
    rules: Vec<Named>,
    triggers: Vec<Named>,
}

/// A foreign key of a table that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ForeignKey {
    pub(super) table: QualifiedName,
    pub(super) name: Identifier,
    /// `FOREIGN KEY (a, b)`.
    columns: String,
    target: QualifiedName,
    /// `(id) ON DELETE CASCADE`.
    rest: String,
    comment: Option<String>,
}

/// A policy of a table that stays, which reads one that moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Policy {
    pub(super) table: QualifiedName,
    pub(super) name: Identifier,
    is_permissive: bool,
    command: String,
    /// Empty for everybody.
    roles: Vec<Identifier>,
    using: Option<String>,
    check: Option<String>,
    comment: Option<String>,
}

impl Dependent {
    /// As sentences name it.
    pub(super) fn plain(&self) -> String {
        self.plain_from("")
    }

    /// The same without the name of the schema that one is in.
    pub(super) fn plain_from(&self, schema: &str) -> String {
        let (on, part) = self.part();
        let is_near = on.schema.name() == schema;
        let on = if is_near { on.name.name().to_owned() } else { on.plain() };
        match (self, part) {
            (Self::ForeignKey(_), Some(name)) => format!("foreign key {name} of {on}"),
            (Self::Policy(_), Some(name)) => format!("policy {name} of {on}"),
            _ => format!("view {on}"),
        }
    }

    /// The table that it belongs to and that has to be locked, if it is no view.
    pub(super) fn table(&self) -> Option<&QualifiedName> {
        let (table, part) = self.part();
        part.map(|_| table)
    }

    /// The same, where it points at the id of a table whose ids are replaced: `(table, column)`
    /// says what keeps them.
    pub(super) fn on_former_ids(&self, former: &[(String, String)]) -> Self {
        let Self::ForeignKey(key) = self else { return self.clone() };
        let table = former.iter().find(|(table, _)| table == key.target.name.name());
        match (table, key.rest.strip_prefix("(id)")) {
            (Some((_, column)), Some(rest)) => {
                let rest = format!("({}){rest}", Identifier::new(column));
                Self::ForeignKey(ForeignKey { rest, ..key.clone() })
            }
            _ => self.clone(),
        }
    }

    /// Is it the same object, by its name?
    pub(super) fn is(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.part() == other.part()
    }

    /// The same with the owner, rights, options and comments of what it is now.
    pub(super) fn with_settings_of(&self, now: Option<&Self>) -> Self {
        match (self, now) {
            (Self::View(saved), Some(Self::View(now))) if saved.columns == now.columns => {
                let (query, reads) = (saved.query.clone(), saved.reads.clone());
                Self::View(View { reads, query, ..now.clone() })
            }
            _ => self.clone(),
        }
    }

    /// The view that it is, or the table that it is a part of and its name there.
    pub(super) fn part(&self) -> (&QualifiedName, Option<&str>) {
        match self {
            Self::View(view) => (&view.name, None),
            Self::ForeignKey(key) => (&key.table, Some(key.name.name())),
            Self::Policy(policy) => (&policy.table, Some(policy.name.name())),
        }
    }

    /// Drops it, if it is there.
    pub(super) async fn drop(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let statement = match self {
            Self::View(view) => format!("drop {} if exists {}", view.kind(), view.name),
            Self::ForeignKey(key) => {
                format!("alter table {} drop constraint if exists {}", key.table, key.name)
            }
            Self::Policy(policy) => {
                format!("drop policy if exists {} on {}", policy.name, policy.table)
            }
        };
        run(connection, &format!("drop the {}", self.plain()), &statement).await.map(drop)
    }
}

/// Makes all of them again, in an order in which that is possible. `target` says which table a
/// foreign key points at now, given the one that it pointed at.
pub(super) async fn make(
    connection: &mut PgConnection,
    all: &[Dependent],
    target: impl Fn(&QualifiedName) -> QualifiedName,
) -> Result<(), StoreError> {
    for dependent in all {
        if let Dependent::View(view) = dependent {
            view.make(connection).await?;
        }
    }
    // What reads several views waits until all of them are there.
    for dependent in all {
        let what = format!("recreate the {}", dependent.plain());
        let statements = match dependent {
            Dependent::View(view) => view.attached(),
            Dependent::ForeignKey(key) => key.statements(&target(&key.target)),
            Dependent::Policy(policy) => policy.statements(),
        };
        for statement in statements {
            run(connection, &what, &statement).await?;
        }
    }
    Ok(())
}

impl View {
    fn kind(&self) -> &'static str {
        if self.is_materialized { "materialized view" } else { "view" }
    }

    /// Makes the view as it was, on the tables that bear the names now. It belongs to its owner
    /// before any row is read: a query in it runs with the owner's rights, not with ours.
    async fn make(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let what = format!("recreate the view {}", self.name.plain());
        run(connection, &what, &self.create()).await?;
        let (kind, name) = (self.kind(), &self.name);
        run(connection, &what, &format!("alter {kind} {name} owner to {}", self.owner)).await?;
        // Default privileges have given rights that it may not have had.
        for grantee in grantees(connection, name).await? {
            let revoke = format!("revoke all on {name} from {}", role(grantee.as_ref()));
            run(connection, &what, &revoke).await?;
        }
        let grants = self.rights.iter().map(|right| right.grant(name));
        let indexes = self.indexes.iter().map(|index| index.text.clone());
        let refresh = (self.is_materialized && self.is_populated)
            .then(|| format!("refresh materialized view {name}"));
        for statement in grants.chain(indexes).chain(self.comments()).chain(refresh) {
            run(connection, &what, &statement).await?;
        }
        Ok(())
    }

    fn create(&self) -> String {
        let list = |names: &[Identifier]| {
            names.iter().map(Identifier::to_string).collect::<Vec<_>>().join(", ")
        };
        let mut text = format!("create {} {} ({})", self.kind(), self.name, list(&self.columns));
        if let Some(method) = &self.access_method {
            let _ = write!(text, " using {method}");
        }
        if !self.options.is_empty() {
            let option = |option: &String| {
                let (name, value) = option.split_once('=').unwrap_or((option, "true"));
                format!("{} = {}", Identifier::new(name), literal(value))
            };
            let options: Vec<String> = self.options.iter().map(option).collect();
            let _ = write!(text, " with ({})", options.join(", "));
        }
        if let Some(tablespace) = &self.tablespace {
            let _ = write!(text, " tablespace {tablespace}");
        }
        let query = self.query.trim_end().trim_end_matches(';');
        let _ = write!(text, " as {query}");
        if self.is_materialized {
            text.push_str(" with no data");
        }
        text
    }

    fn comments(&self) -> Vec<String> {
        let (kind, name) = (self.kind(), &self.name);
        let own = self.comment.iter();
        let own = own.map(|words| format!("comment on {kind} {name} is {}", literal(words)));
        let columns = self.column_comments.iter().map(|column| {
            format!("comment on column {name}.{} is {}", column.name, literal(&column.text))
        });
        let defaults = self.defaults.iter().map(|column| {
            format!("alter view {name} alter column {} set default {}", column.name, column.text)
        });
        let indexes = self.indexes.iter().filter_map(|index| {
            let (schema, words) = (&self.name.schema, literal(index.comment.as_ref()?));
            Some(format!("comment on index {schema}.{} is {words}", index.name))
        });
        own.chain(columns).chain(defaults).chain(indexes).collect()
    }

    /// Rules and triggers, with what is said about them.
    fn attached(&self) -> Vec<String> {
        let mut statements = Vec::new();
        for (kind, all) in [("rule", &self.rules), ("trigger", &self.triggers)] {
            for one in all {
                statements.push(one.text.clone());
                if let Some(words) = &one.comment {
                    let (name, view) = (&one.name, &self.name);
                    statements
                        .push(format!("comment on {kind} {name} on {view} is {}", literal(words)));
                }
            }
        }
        statements
    }
}

impl Right {
    fn grant(&self, on: &QualifiedName) -> String {
        let column = self.column.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let option = if self.with_option { " with grant option" } else { "" };
        let (privilege, to) = (&self.privilege, role(self.grantee.as_ref()));
        format!("grant {privilege}{column} on {on} to {to}{option}")
    }
}

impl ForeignKey {
    fn statements(&self, target: &QualifiedName) -> Vec<String> {
        let Self { table, name, columns, rest, .. } = self;
        let add = format!(
            "alter table {table} add constraint {name} {columns} references {target}{rest}"
        );
        let words = self.comment.iter();
        let words = words
            .map(|words| format!("comment on constraint {name} on {table} is {}", literal(words)));
        std::iter::once(add).chain(words).collect()
    }
}

impl Policy {
    fn statements(&self) -> Vec<String> {
        let Self { table, name, command, .. } = self;
        let mode = if self.is_permissive { "permissive" } else { "restrictive" };
        let roles: Vec<String> = self.roles.iter().map(Identifier::to_string).collect();
        let roles = if roles.is_empty() { "public".to_owned() } else { roles.join(", ") };
        let mut create =
            format!("create policy {name} on {table} as {mode} for {command} to {roles}");
        if let Some(using) = &self.using {
            let _ = write!(create, " using ({using})");
        }
        if let Some(check) = &self.check {
            let _ = write!(create, " with check ({check})");
        }
        let words = self.comment.iter();
        let words =
            words.map(|words| format!("comment on policy {name} on {table} is {}", literal(words)));
        std::iter::once(create).chain(words).collect()
    }
}

/// A role as grants spell it.
fn role(name: Option<&Identifier>) -> String {
    name.map_or_else(|| "public".to_owned(), Identifier::to_string)
}

/// Who has a right on a view now; `None` is everybody.
async fn grantees(
    connection: &mut PgConnection,
    view: &QualifiedName,
) -> Result<Vec<Option<Identifier>>, StoreError> {
    let names = sqlx::query_scalar!(
        "select distinct case when a.grantee <> 0 then pg_get_userbyid(a.grantee)::text end
         from pg_class c join pg_namespace n on n.oid = c.relnamespace,
              lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
         where n.nspname = $1 and c.relname = $2",
        view.schema.name(),
        view.name.name()
    );
    let names = names.fetch_all(connection).await?.into_iter();
    Ok(names.map(|name| name.map(|name| Identifier::new(&name))).collect())
}

/// What depends on some tables and views, and what of it cannot be carried.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In the order in which they can be made.
    pub(super) dependents: Vec<Dependent>,
    pub(super) obstacles: Vec<String>,
}

impl Found {
    /// Finds what depends on these tables and views of a schema, through other views, too.
    pub(super) async fn on(
        connection: &mut PgConnection,
        schema: &str,
        tables: &[String],
        views: &[String],
    ) -> Result<Self, StoreError> {
        let path = sqlx::query_scalar!(r#"select current_setting('search_path') as "path!""#);
        let path = path.fetch_one(&mut *connection).await?;
        tables::write_names_in_full(connection).await?;
        let found = Self::read(connection, schema, tables, views).await;
        sqlx::query_scalar!("select set_config('search_path', $1, true)", path)
            .fetch_one(connection)
            .await?;
        found
    }

    async fn read(
        connection: &mut PgConnection,
        schema: &str,
        tables: &[String],
        views: &[String],
    ) -> Result<Self, StoreError> {
        let rows: Vec<(String, serde_json::Value)> = sqlx::query_as(DEPENDENTS)
            .bind(schema)
            .bind(tables)
            .bind(views)
            .fetch_all(&mut *connection)
            .await?;
        let (mut dependents, mut read, mut obstacles) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, value) in rows {
            if kind == "obstacle" {
                obstacles.extend(value.as_str().map(str::to_owned));
                continue;
            }
            let dependent: Dependent = serde_json::from_value(serde_json::json!({ kind: value }))
                .map_err(|error| {
                StoreError::Failed(format!("the catalogue's answer: {error}"))
            })?;
            match dependent {
                Dependent::View(view) => read.push(view),
                other => dependents.push(other),
            }
        }
        let views = in_order(read).into_iter().map(Dependent::View);
        Ok(Self { dependents: views.chain(dependents).collect(), obstacles })
    }
}

/// Views before those that read them.
fn in_order(mut views: Vec<View>) -> Vec<View> {
    let mut ordered: Vec<View> = Vec::new();
    while !views.is_empty() {
        let waits = |view: &View| {
            views.iter().any(|other| other.id != view.id && view.reads.contains(&other.id))
        };
        let (rest, mut ready): (Vec<View>, Vec<View>) = views.iter().cloned().partition(waits);
        if ready.is_empty() {
            // Views cannot read each other in a circle; if they could, any order is as good.
            ordered.extend(rest);
            break;
        }
        ordered.append(&mut ready);
        views = rest;
    }
    ordered
}

/// `(kind, value)`: dependents as values, and obstacles as sentences. `$1` the schema, `$2` the
/// tables that move, `$3` the views that go.
const DEPENDENTS: &str = include_str!("dependents.sql");
