//! Reads Rust source just closely enough to see which paths it names.
//!
//! Comments, strings and characters are left out, so a rule is never broken by talking about it.

/// A word or a sign of the source, with its line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

/// The source as tokens: identifiers and numbers, `::`, and single signs.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => block_comment(rest),
            _ if raw_string(rest).is_some() => raw_string(rest).unwrap_or(1),
            '"' => quoted(rest, '"'),
            '\'' => character(rest),
            _ if first.is_whitespace() => first.len_utf8(),
            _ => {
                let length = word(rest);
                tokens.push(Token { text: &rest[..length], line });
                length
            }
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// The texts in quotes, each with the line that it begins on.
pub(crate) fn literals(source: &str) -> Vec<(usize, String)> {
    let mut literals = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => block_comment(rest),
            _ if raw_string(rest).is_some() => {
                let length = raw_string(rest).unwrap_or(1);
                let text = rest[..length].trim_end_matches('#').trim_end_matches('"');
                literals.push((line, text.split_once('"').map_or("", |(_, text)| text).to_owned()));
                length
            }
            '"' => {
                let length = quoted(rest, '"');
                literals.push((line, continued(&rest[1..length - 1])));
                length
            }
            '\'' => character(rest),
            _ => first.len_utf8(),
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    literals
}

/// A text without the line breaks that stand after a `\\`.
fn continued(text: &str) -> String {
    let mut parts = text.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start())
}

fn word(rest: &str) -> usize {
    if rest.starts_with("::") {
        return 2;
    }
    let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
    if end > 0 { end } else { rest.chars().next().map_or(1, char::len_utf8) }
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest[at..];
        match (here.starts_with("/*"), here.starts_with("*/")) {
            (true, _) => (depth, at) = (depth + 1, at + 2),
            (_, true) => (depth, at) = (depth - 1, at + 2),
            _ => at += here.chars().next().map_or(1, char::len_utf8),
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a raw string (`r#"…"#`, `br"…"`) that begins here.
fn raw_string(rest: &str) -> Option<usize> {
    let marked = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r')?;
    let body = marked.trim_start_matches('#');
    let hashes = marked.len() - body.len();
    let text = body.strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = text.find(&close).map_or(text.len(), |end| end + close.len());
    Some(rest.len() - text.len() + end)
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, or only the tick of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted(rest, '\''),
        _ => 1,
    }
}

/// A path that the source names: its first segments, with the line.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// Every path of the source that begins with `crate`, `super` or one of `roots`, groups spelled
/// out, `crate` and `super` resolved: what lies in the crate begins with `crate`.
///
/// `module` is the file's own place in the crate, such as `["cli", "periods"]`.
pub(crate) fn named_paths(source: &str, module: &[String], roots: &[&str]) -> Vec<Named> {
    let tokens = tokens(source);
    let mut reader = Reader { tokens: &tokens, named: Vec::new() };
    // The modules written out in this file, and the depth of braces at which each began.
    let mut inner: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "{" => {
                depth += 1;
                if at >= 2 && tokens[at - 2].text == "mod" {
                    inner.push((tokens[at - 1].text.to_owned(), depth));
                }
            }
            "}" => {
                if inner.last().is_some_and(|(_, began)| *began == depth) {
                    inner.pop();
                }
                depth -= 1;
            }
            _ => {}
        }
        let continues = at > 0 && tokens[at - 1].text == "::";
        let path_begins = reader.text(at + 1) == "::" && !continues;
        if path_begins && (["crate", "super"].contains(&token.text) || roots.contains(&token.text))
        {
            let mut here = vec!["crate".to_owned()];
            here.extend(module.iter().cloned());
            here.extend(inner.iter().map(|(name, _)| name.clone()));
            reader.path(at, Base::Module(here));
        }
    }
    reader.named
}

/// What the next segment of a path continues.
#[derive(Clone)]
enum Base {
    /// Nothing yet: the path begins, in this module.
    Module(Vec<String>),
    /// The segments so far.
    Path(Vec<String>),
}

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    named: Vec<Named>,
}

impl Reader<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    /// Reads the path that begins or continues at a token; returns the position after it.
    fn path(&mut self, at: usize, base: Base) -> usize {
        let path = match (self.text(at), base) {
            ("{", base) => return self.group(at + 1, &base),
            ("crate", Base::Module(_)) => vec!["crate".to_owned()],
            ("super", Base::Module(mut here)) => {
                here.pop();
                here
            }
            // `super` in the midst of a path can only follow another one.
            ("super", Base::Path(mut path)) => {
                path.pop();
                path
            }
            (segment, Base::Module(_)) => vec![segment.to_owned()],
            (segment, Base::Path(mut path)) => {
                path.push(segment.to_owned());
                path
            }
        };
        if self.text(at + 1) == "::" {
            return self.path(at + 2, Base::Path(path));
        }
        self.named.push(Named { path, line: self.tokens[at].line });
        at + 1
    }

    fn group(&mut self, mut at: usize, base: &Base) -> usize {
        while at < self.tokens.len() {
            at = match self.text(at) {
                "}" => return at + 1,
                "," => at + 1,
                "as" => at + 2,
                _ => self.path(at, base.clone()),
            };
        }
        at
    }
}
