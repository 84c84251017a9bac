//! Every SQLSTATE that the functions raise is in docs/refusals.md, with the functions that do.

use std::collections::{BTreeMap, BTreeSet};

use crate::sql::{Token, tokens};
use crate::support::TestDatabase;

const DOCUMENT: &str = include_str!("../../docs/refusals.md");

type Codes = BTreeSet<String>;

/// The codes that a text raises. What it catches as well is its own affair.
fn raised(text: &str) -> Codes {
    let after = |word: &str| -> Codes {
        let parts = text.split(word).skip(1);
        parts.filter_map(|part| part.split('\'').next()).map(str::to_owned).collect()
    };
    let (raised, caught) = (after("errcode = '"), after("exception when sqlstate '"));
    raised.difference(&caught).cloned().collect()
}

/// The names that a text calls.
fn called(text: &str) -> BTreeSet<String> {
    let is_call = |pair: &[Token]| pair[1].text == "(";
    let tokens = tokens(text);
    let calls = tokens.windows(2).filter(|pair| is_call(pair));
    calls.map(|pair| pair[0].text.clone()).collect()
}

/// The rows of a table of the document: what stands in the first cell, and the codes in another.
fn documented(heading: &str, codes: usize) -> BTreeMap<String, Codes> {
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with(heading)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let in_ticks =
        |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Codes>();
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let name = in_ticks(cells[1]).pop_first().expect("a name in ticks");
        (name, in_ticks(cells[codes]))
    })
    .collect()
}

#[tokio::test]
async fn every_refusal_is_documented_with_the_functions_that_raise_it() {
    let test = TestDatabase::new().await;
    let functions: Vec<(String, String)> = sqlx::query_as(
        "select proname::text, pg_get_functiondef(oid) from pg_proc
         where pronamespace = 'public'::regnamespace and prokind = 'f'",
    )
    .fetch_all(&mut test.connect().await)
    .await
    .expect("the functions");
    let mut codes: BTreeMap<&str, Codes> = BTreeMap::new();
    for (name, text) in &functions {
        codes.entry(name).or_default().extend(raised(text));
    }
    // What is called raises its own, until nothing is added any more.
    loop {
        let before = codes.clone();
        for (name, text) in &functions {
            let of_called = called(text).into_iter().filter_map(|name| before.get(&*name));
            let of_called: Codes = of_called.flatten().cloned().collect();
            codes.entry(name).or_default().extend(of_called);
        }
        if codes == before {
            break;
        }
    }
    let shown = |(name, codes): (&&str, &Codes)| {
        let is_for_others = !name.starts_with("periodd_") && !codes.is_empty();
        is_for_others.then(|| ((*name).to_owned(), codes.clone()))
    };
    let expected: BTreeMap<String, Codes> = codes.iter().filter_map(shown).collect();
    let row = |(name, codes): (&String, &Codes)| {
        let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
        format!("| `{name}` | {} |", codes.join(", "))
    };
    let rows: Vec<String> = expected.iter().map(row).collect();
    let documented_codes = documented("| Function", 2);
    assert_eq!(documented_codes, expected, "docs/refusals.md should say\n{}\n", rows.join("\n"));
    let all: Codes = expected.into_values().flatten().collect();
    let described: Codes = documented("| SQLSTATE", 1).into_keys().collect();
    assert_eq!(described, all, "docs/refusals.md describes other codes than functions raise");
}

#[test]
fn what_is_caught_is_not_raised() {
    let text = "raise exception 'a' using errcode = 'PB000'; raise exception 'b'
                using errcode = 'PB002', hint = 'c'; exception when sqlstate 'PB000' then null;";
    assert_eq!(raised(text), Codes::from(["PB002".to_owned()]));
    assert_eq!(called("perform f(1), 'g(2)' -- h(3)\n"), BTreeSet::from(["f".to_owned()]));
}
