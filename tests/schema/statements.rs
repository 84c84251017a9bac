//! What statements must not say, so that they mean the same when the tables are spread over
//! machines, and so that nothing but `billing` decides where a period begins.
//!
//! Held over every statement of the store (from its metadata in `.sqlx`) and every SQL function.

use std::path::Path;

use crate::sql::{Token, statements, to_the_end_of_its_level};
use crate::support::TestDatabase;

/// Functions whose answer is another one in the next moment, or on another machine.
const UNSTEADY: [&str; 12] = [
    "clock_timestamp",
    "current_date",
    "current_time",
    "current_timestamp",
    "gen_random_uuid",
    "localtime",
    "localtimestamp",
    "now",
    "random",
    "statement_timestamp",
    "timeofday",
    "transaction_timestamp",
];
/// Functions that no statement calls, and what to do instead.
const NOWHERE: [(&str, &str); 12] = [
    ("clock_timestamp", "bind the instant: business time is read once per pass"),
    ("date_trunc", "boundaries are computed by billing::period"),
    ("format", "build text in Rust"),
    ("to_jsonb", "name the columns"),
    ("rollup", "add the sums up in Rust"),
    ("pg_notify", "LISTEN breaks behind a pooler; ask the database what is due"),
    ("pg_advisory_lock", "use pg_advisory_xact_lock: a pooler hands sessions on"),
    ("pg_advisory_lock_shared", "use pg_advisory_xact_lock: a pooler hands sessions on"),
    ("pg_try_advisory_lock", "use pg_try_advisory_xact_lock: a pooler hands sessions on"),
    ("pg_try_advisory_lock_shared", "use pg_try_advisory_xact_lock: a pooler hands sessions on"),
    ("pg_advisory_unlock", "use pg_advisory_xact_lock: a pooler hands sessions on"),
    ("set_config", "a pooler hands sessions on; pin the setting with the function"),
];
/// Words that no statement holds side by side.
const NO_WORDS: [(&[&str], &str); 10] = [
    (&["skip", "locked"], "claim without locks: pick, then update guarded by what was read"),
    (&["at", "time", "zone"], "boundaries are computed by billing::period"),
    (&["create", "temp"], "a pooler hands sessions on; use arrays or a common table expression"),
    (
        &["create", "temporary"],
        "a pooler hands sessions on; use arrays or a common table expression",
    ),
    (&["execute"], "no statement is made of text"),
    (&["listen"], "LISTEN breaks behind a pooler; ask the database what is due"),
    (&["notify"], "LISTEN breaks behind a pooler; ask the database what is due"),
    (&["group", "by", "rollup"], "add the sums up in Rust"),
    (&["group", "by", "cube"], "add the sums up in Rust"),
    (&["grouping", "sets"], "add the sums up in Rust"),
];

/// What breaks a rule in a text of SQL, a sentence each.
fn faults(sql: &str) -> Vec<String> {
    statements(sql).iter().flat_map(|statement| of_statement(statement)).collect()
}

fn of_statement(statement: &[Token]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, instead) in NOWHERE {
        if calls(statement, name) {
            faults.push(format!("{name}() has no place in a statement: {instead}"));
        }
    }
    for (words, instead) in NO_WORDS {
        if statement.windows(words.len()).any(|window| is(window, words)) {
            faults.push(format!("`{}` has no place in a statement: {instead}", words.join(" ")));
        }
    }
    for at in 0..statement.len() {
        faults.extend(of_clause(statement, at));
        faults.extend(without_columns(statement, at));
    }
    faults.dedup();
    faults
}

/// The faults of the clause that begins at a token, if one does.
fn of_clause(statement: &[Token], at: usize) -> Vec<String> {
    let before = at.checked_sub(1).map_or("", |before| statement[before].text.as_str());
    let level = || to_the_end_of_its_level(statement, at);
    match statement[at].text.as_str() {
        "for" => locks_many(statement, at),
        "update" if ["for", "key"].contains(&before) => Vec::new(),
        "update" if before == "do" => unsteady(level(), "on conflict do update"),
        "update" => [in_update(level()), in_set(level())].concat(),
        "returning" => unsteady(level(), "returning"),
        "case" => unsteady(case(statement, at), "case"),
        "coalesce" => unsteady(arguments(statement, at), "coalesce"),
        _ => Vec::new(),
    }
}

/// Where rows are on many machines, a subscript in `set` kills the machine that plans the update,
/// and a row's text is not read as an array.
fn in_set(update: &[Token]) -> Vec<String> {
    let Some(begin) = update.iter().position(|token| token.text == "set") else { return vec![] };
    let depth = update[begin].depth;
    let ends = |token: &Token| {
        token.depth == depth && ["from", "where", "returning"].contains(&token.text.as_str())
    };
    let end = update[begin..].iter().position(ends).map_or(update.len(), |length| begin + length);
    let set = &update[begin..end];
    let mut faults = Vec::new();
    for (at, pair) in set.windows(2).enumerate() {
        let before = at.checked_sub(1).map_or("", |before| set[before].text.as_str());
        // `array[…]` makes one, `text[]` names a type.
        if pair[0].text == "[" && pair[1].text != "]" && before != "array" {
            faults.push("a subscript in `set`: compute it in a sub-select of `from`".to_owned());
        }
    }
    for (at, window) in set.windows(4).enumerate() {
        if !(window[0].text == "::" && window[2].text == "[" && window[3].text == "]") {
            continue;
        }
        // `$1::text::int[]` is a cast of `$1`.
        let mut value = at;
        while value >= 3 && set[value - 2].text == "::" {
            value -= 2;
        }
        let value = value.checked_sub(1).map_or("", |value| set[value].text.as_str());
        if !value.starts_with(['$', '\'']) && value != "]" && !is_variable(value) {
            faults.push("a column cast to an array in `set`: bind the array".to_owned());
        }
    }
    faults
}

/// `exists (select from …)` of nothing outside has no columns to be sent from machine to machine.
fn without_columns(statement: &[Token], at: usize) -> Vec<String> {
    let words = ["exists", "(", "select", "from"];
    if !statement.get(at..at + 4).is_some_and(|window| is(window, &words)) {
        return Vec::new();
    }
    let inside = to_the_end_of_its_level(statement, at + 2);
    // A name before a point that is neither a table nor an alias in here is of outside.
    let is_of_outside = inside.windows(2).enumerate().any(|(place, pair)| {
        let is_named = |(other, token): (usize, &Token)| {
            token.text == pair[0].text && inside.get(other + 1).is_none_or(|next| next.text != ".")
        };
        pair[1].text == "."
            && place > 0
            && inside[place - 1].text != "."
            && !inside.iter().enumerate().any(is_named)
    });
    if is_of_outside {
        return Vec::new();
    }
    vec!["`exists (select from` of nothing outside: write `select 1`".to_owned()]
}

fn unsteady(clause: &[Token], name: &str) -> Vec<String> {
    let called = UNSTEADY.iter().filter(|function| mentions(clause, function));
    called.map(|function| format!("{function} in `{name}`: bind the value instead")).collect()
}

/// What an UPDATE computes from its own columns, the machine that holds the row must be able to
/// compute at any time, alike.
fn in_update(clause: &[Token]) -> Vec<String> {
    let mut faults = unsteady(clause, "update");
    for name in ["extract", "date_part", "cast", "to_char"] {
        if calls(clause, name) {
            faults.push(format!("{name}() in `update`: compute it in Rust and bind it"));
        }
    }
    for (words, what) in [(["interval"], "interval"), (["||"], "||")] {
        if clause.windows(1).any(|window| is(window, &words)) {
            faults.push(format!("`{what}` in `update`: compute it in Rust and bind it"));
        }
    }
    for window in clause.windows(3) {
        let [value, cast, to] = window else { continue };
        let is_bound = value.text.starts_with(['$', '\'']) || is_variable(&value.text);
        if cast.text == "::" && ["text", "date"].contains(&to.text.as_str()) && !is_bound {
            faults.push(format!("a column cast ::{} in `update`: bind it as such", to.text));
        }
    }
    faults
}

/// FOR UPDATE and its kin hold what they find until the end: allowed on one org at a time.
fn locks_many(statement: &[Token], at: usize) -> Vec<String> {
    let lock = ["update", "share", "no", "key"];
    let locks = statement.get(at + 1).is_some_and(|next| lock.contains(&next.text.as_str()));
    let depth = statement[at].depth;
    let begin = statement[..at].iter().rposition(|t| t.text == "select" && t.depth == depth);
    let Some(begin) = begin.filter(|_| locks) else { return Vec::new() };
    let of_one_org = statement[begin..at].windows(3).any(|window| {
        let [column, equals, value] = window else { return false };
        ["id", "org_id", "organization_id"].contains(&column.text.as_str())
            && equals.text == "="
            && (value.text.starts_with('$') || is_variable(&value.text))
    });
    if of_one_org {
        return Vec::new();
    }
    vec!["`for update` over several orgs: write with what was read as the guard".to_owned()]
}

/// A parameter or variable of a function, as they are named here.
fn is_variable(word: &str) -> bool {
    word.starts_with("p_") || word.starts_with("v_")
}

fn is(window: &[Token], words: &[&str]) -> bool {
    window.iter().zip(words).all(|(token, word)| token.text == *word)
}

fn calls(clause: &[Token], name: &str) -> bool {
    clause.windows(2).any(|window| is(window, &[name, "("]))
}

/// Some of the unsteady ones are called without parentheses.
fn mentions(clause: &[Token], name: &str) -> bool {
    calls(clause, name)
        || name.starts_with("current_") && clause.iter().any(|token| token.text == name)
        || name.starts_with("local") && clause.iter().any(|token| token.text == name)
}

/// From `case` to its `end`.
fn case(statement: &[Token], at: usize) -> &[Token] {
    let mut open = 0;
    for (end, token) in statement.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "case" => open += 1,
            "end" if open == 1 => return &statement[at..=end],
            "end" => open -= 1,
            _ => {}
        }
    }
    &statement[at..]
}

/// What stands in the parentheses after a function's name.
fn arguments(statement: &[Token], at: usize) -> &[Token] {
    if at + 2 < statement.len() && statement[at + 1].text == "(" {
        to_the_end_of_its_level(statement, at + 2)
    } else {
        &[]
    }
}

/// Every statement of the store, from its metadata.
pub(crate) fn of_the_store() -> Vec<Statement> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let mut all: Vec<Statement> = std::fs::read_dir(folder)
        .expect("the metadata is there: scripts/statement-metadata writes it")
        .map(|file| {
            let text = std::fs::read(file.expect("a file").path()).expect("readable");
            let file: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            let parameters = file["describe"]["parameters"]["Left"].as_array().map_or(0, Vec::len);
            let query = file["query"].as_str().expect("a query").to_owned();
            Statement { query, parameters }
        })
        .collect();
    assert!(all.len() > 30, "the statements are where they were");
    all.sort_by(|a, b| a.query.cmp(&b.query));
    all
}

/// A statement, with how many values it takes.
pub(crate) struct Statement {
    pub(crate) query: String,
    pub(crate) parameters: usize,
}

/// Settings that end with their transaction, word for word.
const TRANSACTION_LOCAL: [&str; 4] = [
    "set_config('lock_timeout', $1, true)",
    "set_config('search_path', $1, true)",
    "set_config('search_path', quote_ident($1) || ', pg_temp', true)",
    "set_config('search_path', 'pg_catalog, pg_temp', true)",
];

/// Locks on the rows of several orgs, word for word: an org's row is written once in a transaction,
/// and not to lock it.
const LOCKS: [&str; 1] =
    ["select from organizations where id = any($1) order by id for no key update"];

#[test]
fn the_stores_statements_keep_the_rules() {
    for statement in of_the_store() {
        // Reads the clock and nothing else: when a page is written, long after its pass began.
        if statement.query == "select clock_timestamp() as \"now!\"" {
            continue;
        }
        // Nothing is written of what it read; the rows of a page are locked in everybody's order.
        let query = LOCKS.iter().fold(statement.query, |query, lock| query.replace(lock, "true"));
        // Ends with its transaction: a pooler hands on nothing of it.
        let query =
            TRANSACTION_LOCAL.iter().fold(query, |query, setting| query.replace(setting, "true"));
        let faults = faults(&query);
        assert!(faults.is_empty(), "{}\nin {query}", faults.join("\n"));
    }
}

/// Migrations up to this one are released.
const RELEASED: u32 = 27;

/// A column that is added with its check, or one that refers to another table: on tables that are
/// spread over machines only a constraint of its own, with a name, can be added.
fn in_migration(sql: &str) -> Vec<String> {
    let added = |statement: &Vec<Token>| {
        let adds = statement.windows(2).any(|window| is(window, &["add", "column"]));
        let constrains = ["check", "references", "unique"];
        let word = statement.iter().find(|token| constrains.contains(&token.text.as_str()));
        word.filter(|_| adds && statement.first().is_some_and(|token| token.text == "alter"))
            .map(|word| format!("`add column` with `{}`: add a constraint after it", word.text))
    };
    statements(sql).iter().filter_map(added).collect()
}

#[test]
fn new_migrations_keep_the_rules() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    for file in std::fs::read_dir(folder).expect("migrations") {
        let path = file.expect("a file").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.split_once('_').and_then(|(number, _)| number.parse::<u32>().ok());
        if number.is_some_and(|number| number > RELEASED) {
            let faults = in_migration(&std::fs::read_to_string(&path).expect("a text"));
            assert!(faults.is_empty(), "{name}: {}", faults.join("\n"));
        }
    }
}

#[tokio::test]
async fn functions_keep_the_rules() {
    let test = TestDatabase::new().await;
    let names = test
        .rows("select proname from pg_proc where pronamespace = 'public'::regnamespace order by 1")
        .await;
    assert!(names.contains(&"record_usage".to_owned()));
    let mut connection = test.connect().await;
    for name in names {
        let body: (String,) = sqlx::query_as(
            "select coalesce(pg_get_function_sqlbody(oid), prosrc) from pg_proc
             where pronamespace = 'public'::regnamespace and proname = $1",
        )
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .expect("a body");
        // Asked by the function itself, in no statement, and not for business time: may a period
        // have been closed meanwhile?
        let body = body.0.replace("if clock_timestamp() < v_end then", "if null then");
        // An act of now, whose instant is the one at which the function has the org for itself.
        let body = body.replace("v_clock := clock_timestamp();", "");
        let mut faults = faults(&body);
        // A function runs where its org is, and asks no other machine whether a row exists.
        faults.retain(|fault| !fault.starts_with("`exists ("));
        assert!(faults.is_empty(), "function {name}: {}", faults.join("\n"));
    }
}

mod planted {
    //! Each rule finds the fault that it is there for, and only that.

    use super::{faults, in_migration};

    #[test]
    fn columns_and_constraints_are_added_apart() {
        let both = "alter table t add column c int check (c > 0);";
        assert_eq!(in_migration(both).len(), 1);
        assert_eq!(in_migration("alter table t add column c int references s (id)").len(), 1);
        let apart = "alter table t add column c int not null default 0;
                     alter table t add constraint t_c_range check (c > 0) not valid;
                     create table s (c int check (c > 0))";
        assert_eq!(in_migration(apart), Vec::<String>::new());
    }

    #[test]
    fn faults_are_found_wherever_they_stand() {
        for (sql, sentence) in [
            ("select id from organizations where due for update", "`for update` over several"),
            ("select 1 from packs where org_id = any($1) for share", "`for update` over several"),
            ("select 1 from a where x in (select 1 from b for no key update)", "over several orgs"),
            ("select clock_timestamp()", "clock_timestamp()"),
            ("update t set id = gen_random_uuid()", "gen_random_uuid in `update`"),
            ("with a as (UPDATE t SET x = Random()) select 1", "random in `update`"),
            ("update t set at = now() where id = $1", "now in `update`"),
            ("update t set at = current_timestamp", "current_timestamp in `update`"),
            ("insert into t values (1) on conflict (a) do update set at = now()", "do update`"),
            ("insert into t values (1) returning id, now()", "now in `returning`"),
            ("select case when a then now() end", "now in `case`"),
            ("select case when a then case when b then 1 end else now() end", "now in `case`"),
            ("select coalesce(at, now()) from t", "now in `coalesce`"),
            ("select date_trunc('month', at)", "date_trunc()"),
            ("select at at time zone 'UTC'", "at time zone"),
            ("update t set x = extract(epoch from at)", "extract() in `update`"),
            ("update t set x = o.id::text", "a column cast ::text"),
            ("update t set x = y::date from s", "a column cast ::date"),
            ("update t set x = cast(y as text)", "cast() in `update`"),
            ("update t set at = at + interval '1 day'", "`interval` in `update`"),
            ("update t set x = 'a' || y", "`||` in `update`"),
            ("select format('%s', 1)", "format()"),
            ("select to_jsonb(t) from t", "to_jsonb()"),
            ("select a, sum(b) from t group by rollup (a)", "rollup"),
            ("select 1 from t where org_id = $1 for update skip locked", "skip locked"),
            ("select pg_advisory_lock(1)", "pg_advisory_xact_lock"),
            ("select pg_try_advisory_lock(1)", "pg_try_advisory_xact_lock"),
            ("listen news", "`listen`"),
            ("notify news", "`notify`"),
            ("select pg_notify('news', '')", "pg_notify()"),
            ("create temp table t ()", "create temp"),
            ("begin if a then execute 'select 1'; end if; end", "`execute`"),
            ("begin x := 1; update t set at = now(); end", "now in `update`"),
            ("update t set x = s.a[1] from s", "a subscript in `set`"),
            ("update t set x = ($1::int[])[s.a : s.b] from s", "a subscript in `set`"),
            ("with a as (update t set x = (y)[2] where z) select 1", "a subscript in `set`"),
            ("update t set x = s.a::smallint[] from s", "a column cast to an array in `set`"),
            ("select exists (select from orgs o where o.parked)", "write `select 1`"),
            ("select exists (select from packs p join orgs o on o.id = p.org_id)", "`select 1`"),
        ] {
            let found = faults(sql);
            assert!(found.iter().any(|fault| fault.contains(sentence)), "{sql}: {found:?}");
        }
    }

    #[test]
    fn what_is_allowed_stays_allowed() {
        for sql in [
            "select now()",
            "select id from t where at < now() - interval '1 hour'",
            "insert into t (id, at) values (gen_random_uuid(), now()) on conflict do nothing",
            "select 1 from organizations o where o.id = $1 for update",
            "select 1 from overage_packs where org_id = p_org_id order by id for no key update",
            "select pg_advisory_xact_lock(1)",
            "update t set x = $1::text, y = p_name::text, z = ''::text where at <= $2",
            "with a as (update t set x = 1 returning id) select now() from a",
            "select count(*)::text, at::date from t",
            "update t set x = array[1, 2], y = $1::text::int[], z = '{}'::text[]",
            "update t set x = s.a from (select b[1] as a from c) s where t.y[1] = s.a",
            "select 1 from orgs o where exists (select from packs p where p.org_id = o.id)",
            "select exists (select 1 from orgs)",
            "-- update t set at = now()\nselect 'for update skip locked; execute'",
        ] {
            assert_eq!(faults(sql), Vec::<String>::new(), "{sql}");
        }
    }
}
