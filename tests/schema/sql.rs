//! Reads SQL just closely enough to see which clauses call what. Comments and the text of strings
//! are left out, so a rule is never broken by talking about it.

/// A word or a sign, in lower case, with how many parentheses it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) depth: usize,
}

/// The tokens of a statement, or of several.
pub(crate) fn tokens(sql: &str) -> Vec<Token> {
    let (mut tokens, mut rest, mut depth) = (Vec::new(), sql, 0_usize);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            _ if first.is_whitespace() => first.len_utf8(),
            '\'' | '"' => quoted(rest, first),
            _ => sign_or_word(rest),
        };
        let (read, left) = rest.split_at(length);
        rest = left;
        if read.starts_with("--") || read.starts_with("/*") || first.is_whitespace() {
            continue;
        }
        let text = if first == '\'' { "''".to_owned() } else { read.to_lowercase() };
        depth -= usize::from(text == ")" && depth > 0);
        tokens.push(Token { text: text.clone(), depth });
        depth += usize::from(text == "(");
    }
    tokens
}

/// The length of a quoted text; a doubled quote inside is two texts side by side, which is as well.
fn quoted(rest: &str, quote: char) -> usize {
    rest[1..].find(quote).map_or(rest.len(), |end| end + 2)
}

fn sign_or_word(rest: &str) -> usize {
    for sign in ["::", ":=", "||", "<=", ">=", "<>", "!="] {
        if rest.starts_with(sign) {
            return sign.len();
        }
    }
    let part = |c: char| c == '_' || c == '$' || c.is_alphanumeric();
    let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
    if end > 0 { end } else { rest.chars().next().map_or(1, char::len_utf8) }
}

/// Splits a text at its semicolons: a function's body into its statements.
pub(crate) fn statements(sql: &str) -> Vec<Vec<Token>> {
    let tokens = tokens(sql);
    let parts = tokens.split(|token| token.text == ";").filter(|part| !part.is_empty());
    parts.map(<[Token]>::to_vec).collect()
}

/// From a token to the end of the parentheses that it stands in.
pub(crate) fn to_the_end_of_its_level(statement: &[Token], at: usize) -> &[Token] {
    let depth = statement[at].depth;
    let rest = &statement[at..];
    let end = rest.iter().position(|token| token.depth < depth).unwrap_or(rest.len());
    &rest[..end]
}

#[cfg(test)]
mod tests {
    use super::{statements, to_the_end_of_its_level, tokens};

    fn words(sql: &str) -> Vec<String> {
        tokens(sql).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_texts_are_left_out() {
        assert_eq!(words("a -- now()\n/* now() */ 'now()' \"b c\""), ["a", "''", "\"b c\""]);
        assert_eq!(words("X=$1::text||'it''s'"), ["x", "=", "$1", "::", "text", "||", "''", "''"]);
    }

    #[test]
    fn levels_end_where_their_parenthesis_does() {
        let all = tokens("with a as (update t set x = (f(1))) select now()");
        let at = all.iter().position(|token| token.text == "update").expect("it is there");
        let level = to_the_end_of_its_level(&all, at);
        assert_eq!(level.first().map(|token| token.text.as_str()), Some("update"));
        assert!(!level.iter().any(|token| token.text == "now"));
        assert!(level.iter().any(|token| token.text == "f"));
        assert_eq!(statements("a; b;").len(), 2);
    }
}
