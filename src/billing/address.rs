//! Email addresses: which ones are written to.

/// Checks an address before it is kept or written to.
///
/// Plain addresses alone: dotted words, `@`, a host name, all in ASCII. Quoted local parts,
/// address literals and comments are legal and used by nobody who gets invoices; a comma, a
/// space or a line break in an address would make two recipients or a header of one.
///
/// # Errors
/// [`InvalidAddress`] says what is wrong with it.
pub fn check(address: &str) -> Result<(), InvalidAddress> {
    fault(address).map_or(Ok(()), |why| {
        Err(InvalidAddress { address: address.escape_debug().to_string(), why })
    })
}

/// An address without the blanks around it that forms and spreadsheets leave. SQL trims the same
/// characters, so that both see the same address.
pub fn trimmed(address: &str) -> &str {
    address.trim_matches([' ', '\t', '\r', '\n'])
}

/// Is this an address that can be written to? See [`check`].
pub fn is_address(address: &str) -> bool {
    fault(address).is_none()
}

/// An address as logs show it, `j***@example.com`: enough to find the customer, too little to
/// write to anybody.
pub fn masked(address: &str) -> String {
    let (local, host) = address.rsplit_once('@').unwrap_or((address, ""));
    let first: String = local.chars().take(1).filter(|letter| !letter.is_control()).collect();
    let host: String = host.chars().filter(|letter| !letter.is_control()).collect();
    if host.is_empty() { format!("{first}***") } else { format!("{first}***@{host}") }
}

/// RFC 5321: what servers must take.
const LONGEST: usize = 254;
const LONGEST_LOCAL: usize = 64;
/// RFC 1035: a label of a host name.
const LONGEST_LABEL: usize = 63;

fn fault(address: &str) -> Option<&'static str> {
    if address.contains(char::is_control) {
        return Some("contains a control character");
    }
    if address.contains([',', ';']) {
        return Some("contains a comma or semicolon; add one address at a time");
    }
    if address.contains(char::is_whitespace) {
        return Some("contains a space");
    }
    if !address.is_ascii() {
        return Some("contains non-ASCII letters; write its host name in punycode");
    }
    let Some((local, host)) = address.split_once('@') else { return Some("has no @") };
    if host.contains('@') {
        return Some("has more than one @");
    }
    if address.len() > LONGEST || local.len() > LONGEST_LOCAL {
        return Some("is too long");
    }
    let is_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    if local.split('.').any(|word| word.is_empty() || !word.chars().all(is_local)) {
        return Some("has an invalid name before the @");
    }
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !host.split('.').all(is_label) {
        return Some("has no valid host name after the @");
    }
    None
}

/// Text that is no address to write to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{address}` {why}; write it as name@example.com")]
pub struct InvalidAddress {
    /// What was written, with control characters escaped.
    pub address: String,
    /// What is wrong with it.
    pub why: &'static str,
}

#[cfg(test)]
mod tests {
    use super::{check, masked};

    #[test]
    fn plain_addresses_are_accepted() {
        for address in ["a@b", "First.Last+tag@mail.example.com", "o'hara@xn--bcher-kva.example"] {
            assert_eq!(check(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn whatever_could_be_more_than_one_address_is_refused() {
        for (address, word) in [
            ("a@example.com,b@example.com", "comma"),
            ("a@example.com;b@example.com", "comma"),
            ("a@example.com\r\nBcc: x@y", "control"),
            ("a@example.com\0", "control"),
            ("a b@example.com", "space"),
            ("müller@example.com", "ASCII"),
            ("a@bücher.example", "ASCII"),
            ("example.com", "no @"),
            ("a@b@c", "more than one @"),
            ("@example.com", "before the @"),
            (".a@example.com", "before the @"),
            ("a..b@example.com", "before the @"),
            ("\"a\"@example.com", "before the @"),
            ("<a@example.com>", "before the @"),
            ("a@", "host name"),
            ("a@-b", "host name"),
            ("a@b..c", "host name"),
            ("a@[127.0.0.1]", "host name"),
            (&format!("{}@example.com", "a".repeat(65)), "too long"),
        ] {
            let error = check(address).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn logs_show_where_to_and_not_to_whom() {
        assert_eq!(masked("jane.doe@example.com"), "j***@example.com");
        assert_eq!(masked("a@b@c.example"), "a***@c.example");
        assert_eq!(masked("no address"), "n***");
        assert_eq!(masked(""), "***");
        assert_eq!(masked("é\n@x\r\ny"), "é***@xy");
    }
}
