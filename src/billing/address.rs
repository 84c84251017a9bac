//! Email addresses: which can be written to without anybody guessing what they mean.

/// Is this a plain address: dotted words, `@`, a host name? Quoted local parts and address
/// literals are legal and used by nobody who is billed; lists, comments and anything that could
/// end a header are none.
#[must_use]
pub fn is_address(address: &str) -> bool {
    let Some((local, host)) = address.split_once('@') else { return false };
    let is_local = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let is_host = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let words = |text: &str, accepted: &dyn Fn(char) -> bool| {
        text.split('.').all(|word| (1..=63).contains(&word.len()) && word.chars().all(accepted))
    };
    let has_edge_hyphen = |label: &str| label.starts_with('-') || label.ends_with('-');
    address.len() <= 254
        && local.len() <= 64
        && words(local, &is_local)
        && words(host, &is_host)
        && !host.split('.').any(has_edge_hyphen)
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn one_plain_address_is_one() {
        for address in ["a@b", "billing+eu@example.com", "o'neil@example.co.uk"] {
            assert!(is_address(address), "{address}");
        }
        for other in [
            "a@example.com,b@example.com",
            "a@example.com, b@example.com",
            "a@example.com\r\nBcc: x@y",
            "<a@example.com>",
            "a b@example.com",
            "a@b@c",
            "a@",
            "@b",
            "a@-b",
            "",
        ] {
            assert!(!is_address(other), "{other}");
        }
    }
}
