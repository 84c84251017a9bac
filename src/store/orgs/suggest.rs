//! What a misspelt slug may have meant, looked up in a bounded number of index probes however many
//! orgs there are: every word one slip of the keyboard away is asked for by name, and the slugs
//! that stand nearest in the alphabet are compared.

use crate::command::Command;
use crate::store::db::database::Database;
use crate::store::db::error::StoreError;

/// Letters that a slip may have swapped in.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
/// Longer words than this are not put through every slip.
const LONGEST: usize = 40;
/// Slugs compared to either side in the alphabet.
const NEIGHBOURS: i64 = 100;
/// How alike a neighbour must be, from 0 to 1.
const ALIKE: f64 = 0.85;
/// Suggestions made at most.
const SUGGESTIONS: usize = 3;

/// The sentence for a slug or id that names nothing, with what it may have meant.
pub(in crate::store) async fn no_such_org(
    database: &Database,
    named: &str,
) -> Result<String, StoreError> {
    let similar = similar(database, named).await?;
    let similar: Vec<String> = similar.iter().map(|slug| format!("`{slug}`")).collect();
    let hint = match &similar[..] {
        [] => format!("`{}` shows them all", Command::periodd(["orgs", "list"])),
        [one] => format!("did you mean {one}?"),
        [most @ .., last] => format!("did you mean {} or {last}?", most.join(", ")),
    };
    Ok(format!("unknown org `{named}`; {hint}"))
}

async fn similar(database: &Database, named: &str) -> Result<Vec<String>, StoreError> {
    let slips = slips(named);
    let candidates = sqlx::query_scalar!(
        r#"select slug as "slug!" from organizations where slug = any($1)
           union
           (select slug from organizations where slug > $2 order by slug limit $3)
           union
           (select slug from organizations where slug < $2 order by slug desc limit $3)"#,
        &slips,
        named,
        NEIGHBOURS
    );
    let candidates = candidates.fetch_all(&mut *database.connection().await?).await?;
    let wanted = named.to_lowercase();
    let mut scored: Vec<(usize, f64, String)> = candidates
        .into_iter()
        .map(|slug| {
            let lower = slug.to_lowercase();
            let edits = strsim::damerau_levenshtein(&wanted, &lower);
            (edits, strsim::jaro_winkler(&wanted, &lower), slug)
        })
        .filter(|(edits, alike, _)| *edits <= 1 || *alike > ALIKE)
        .collect();
    scored.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
    // Where one slip explains it, more would only confuse.
    let fewest = scored.first().map_or(0, |(edits, ..)| *edits);
    scored.retain(|(edits, ..)| fewest > 1 || *edits <= 1);
    scored.truncate(SUGGESTIONS);
    Ok(scored.into_iter().map(|(_, _, slug)| slug).collect())
}

/// Every word that one slip may have turned into this one: a letter too many, too few, another
/// one, two swapped, capitals.
fn slips(named: &str) -> Vec<String> {
    let letters: Vec<char> = named.to_lowercase().chars().collect();
    let mut words = vec![letters.iter().collect::<String>()];
    if letters.len() > LONGEST {
        return words;
    }
    let mut push = |word: Vec<char>| words.push(word.into_iter().collect());
    for at in 0..=letters.len() {
        let (before, after) = letters.split_at(at);
        for letter in LETTERS.chars() {
            push([before, &[letter], after].concat());
            if let [_, rest @ ..] = after {
                push([before, &[letter], rest].concat());
            }
        }
        if let [_, rest @ ..] = after {
            push([before, rest].concat());
        }
        if let [one, two, rest @ ..] = after {
            push([before, &[*two, *one], rest].concat());
        }
    }
    words.sort_unstable();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::slips;

    #[test]
    fn one_slip_of_the_keyboard_is_among_them() {
        for typed in ["acm", "acmee", "amce", "acne", "ACME", "xacme", "cme"] {
            assert!(slips(typed).contains(&"acme".to_owned()), "{typed}");
        }
        assert!(!slips("acmexx").contains(&"acme".to_owned()));
        assert!(slips("").contains(&"a".to_owned()));
        assert_eq!(slips(&"x".repeat(200)).len(), 1);
    }
}
