//! What a mail server's refusal is about: the mailbox, us, or something that nobody can tell.
//!
//! This is the one place that reads sentences of others. Enhanced codes (RFC 3463) say it best and
//! are often missing or vague; the wordings here are those of real servers, and a test has them in
//! a table.

/// What a refusal for good is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum About {
    /// There is no such mailbox: the address is dead.
    Mailbox,
    /// The account that we send as, or its sender: no email would fare better.
    Account,
    /// Whether emails of ours are taken for this recipient: by relaying, SPF, HELO, a block list.
    Us,
    /// The mailbox takes no more for the time being.
    Full,
    /// Something that cannot be told.
    Unknown,
}

/// The account is at fault: these servers would refuse any email of ours.
const ACCOUNT: &[&str] = &[
    "sender identity",
    "address is not verified",
    "sender not verified",
    "sender is not verified",
    "sendasdenied",
    "send as this sender",
    "not allowed to send as",
    "not permitted to send as",
    "not owned by user",
    "not authorized to send",
    "unauthenticated senders",
    "sending limit exceeded",
    "sending limit",
    "daily message quota",
    "exceeded its 24-hour",
    "exceeded your messaging limits",
    "maximum credits",
    "unusual sending activity",
    "outgoing blocked",
    "outbound sender",
    "sending suspended",
    "account suspended",
    "account is suspended",
    "account has been disabled",
    "not authorized to perform",
];

/// Emails of ours are not taken.
const US: &[&str] = &[
    "relay",
    "rcpthosts",
    "authenticat",
    "not logged in",
    "log in first",
    "spf",
    "dkim",
    "dmarc",
    "helo",
    "ehlo",
    "ptr record",
    "reverse dns",
    "blocked using",
    "block list",
    "blocklist",
    "blacklist",
    "black list",
    "denylist",
    "spamhaus",
    "spamcop",
    "barracuda",
    "dnsbl",
    "rbl",
    "banned sending ip",
    "client host",
    "your ip",
    "the ip you're using",
    "sending mta",
    "sender rejected",
    "sender verify",
    "sender address rejected",
    "envelope sender",
    "badmailfrom",
    "sender denied",
];

/// There is no such mailbox.
const MAILBOX: &[&str] = &[
    "no such user",
    "no such mailbox",
    "no such recipient",
    "no such person",
    "no such address",
    "no such account",
    "no mailbox here",
    "no mailbox by that name",
    "user unknown",
    "unknown user",
    "unknown recipient",
    "recipient unknown",
    "unknown mailbox",
    "mailbox unknown",
    "mailbox not found",
    "mailbox does not exist",
    "user not found",
    "user does not exist",
    "user doesn't exist",
    "recipient not found",
    "recipientnotfound",
    "recipient does not exist",
    "account does not exist",
    "account that you tried to reach does not exist",
    "address does not exist",
    "does not have an account",
    "not a valid mailbox",
    "invalid mailbox",
    "invalid recipient",
    "unknown or illegal alias",
    "user not local",
];

/// What a refusal with this code and these words is about. `of_recipient`: it answers the naming of
/// the recipient; otherwise the whole email.
pub(super) fn about(code: u16, words: &str, of_recipient: bool) -> About {
    // A customer's address may hold any word.
    let said: Vec<&str> = words.split_whitespace().filter(|word| !word.contains('@')).collect();
    let said = said.join(" ").to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| contains(&said, phrase));
    let enhanced = enhanced(words);
    match enhanced {
        // The sender's address, of all things, has codes among those of addresses (7, 8). The
        // others are Gmail's limits, Exchange's refusal of a sender, of a tenant and of an account.
        Some([5, 1, 7 | 8] | [5, 4, 5] | [5, 2, 252] | [5, 7, 60 | 705 | 708 | 750]) => {
            return About::Account;
        }
        Some([5, 7, 23 | 25 | 26 | 27 | 54 | 57 | 64 | 606..=649]) => return About::Us,
        _ => {}
    }
    if says(ACCOUNT) {
        return About::Account;
    }
    if enhanced == Some([5, 2, 2]) || code == 552 && of_recipient {
        return About::Full;
    }
    // A code of its own for the mailbox outweighs words that only come along.
    if of_recipient && matches!(enhanced, Some([5, 1, 1 | 2 | 3 | 6 | 10])) {
        return About::Mailbox;
    }
    if says(US) {
        return About::Us;
    }
    let is_mailbox = matches!(enhanced, Some([5, 1, _])) || says(MAILBOX);
    if is_mailbox && (of_recipient || enhanced.is_some()) {
        return About::Mailbox;
    }
    // Of the recipient a policy is about us; of an email it may be about what it says.
    if of_recipient && matches!(enhanced, Some([5, 7, _])) {
        return About::Us;
    }
    About::Unknown
}

/// Does a text hold a phrase, at the beginning of a word? `rbl` is in `marble`, too.
fn contains(text: &str, phrase: &str) -> bool {
    let starts =
        |(at, _): (usize, &str)| !text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
    text.match_indices(phrase).any(starts)
}

/// The enhanced status code in a reply, wherever it stands: qmail has it at the end, `(#5.1.1)`.
fn enhanced(words: &str) -> Option<[u16; 3]> {
    let parts = words.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    parts.map(|part| part.trim_end_matches('.')).find_map(|part| {
        let numbers: Option<Vec<u16>> = part.split('.').map(|digits| digits.parse().ok()).collect();
        <[u16; 3]>::try_from(numbers?).ok().filter(|[class, ..]| *class == 5)
    })
}

/// A refusal without what differs from email to email: addresses, numbers and names in quotes.
/// Equal ones are said for the same reason.
pub fn alike(words: &str) -> String {
    let is_code = |word: &str| word.len() == 3 && word.chars().all(|c| c.is_ascii_digit());
    let differs = |word: &&str| {
        word.contains('@')
            || word.starts_with(['<', '"', '\''])
            || word.chars().any(|c| c.is_ascii_digit()) && !is_code(word)
    };
    let same = words.split_whitespace().filter(|word| !differs(word));
    let same = same.map(|word| word.trim_matches(|c: char| c.is_ascii_punctuation()));
    let same: Vec<String> = same.filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    same.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What servers say when they are told of the recipient, and what it is about.
    const OF_RECIPIENT: &[(&str, u16, &str, About)] = &[
        // Exim
        ("Exim", 550, "relay not permitted", About::Us),
        ("Exim", 550, "Unknown user", About::Mailbox),
        ("Exim", 550, "No such person at this address", About::Mailbox),
        ("Exim", 550, "Sender verify failed", About::Us),
        ("Exim", 550, "Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", About::Us),
        ("Exim", 550, "SPF check failed", About::Us),
        ("Exim", 550, "Administrative prohibition", About::Unknown),
        ("Exim", 550, "rejected because 192.0.2.7 is in a black list at zen.example", About::Us),
        // Postfix
        (
            "Postfix",
            550,
            "5.1.1 <a@x.example>: Recipient address rejected: User unknown in local recipient \
             table",
            About::Mailbox,
        ),
        ("Postfix", 550, "5.1.1 <relay@x.example>: Recipient address rejected", About::Mailbox),
        (
            "Postfix",
            550,
            "5.1.2 <a@x.example>: Recipient address rejected: Domain not found",
            About::Mailbox,
        ),
        ("Postfix", 554, "5.7.1 <a@x.example>: Relay access denied", About::Us),
        ("Postfix", 554, "Relay access denied", About::Us),
        (
            "Postfix",
            553,
            "5.7.1 <b@y.example>: Sender address rejected: not owned by user periodd",
            About::Account,
        ),
        (
            "Postfix",
            554,
            "5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org",
            About::Us,
        ),
        (
            "Postfix",
            504,
            "5.5.2 <x>: Helo command rejected: need fully-qualified hostname",
            About::Us,
        ),
        ("Postfix", 552, "5.2.2 mailbox full", About::Full),
        (
            "Postfix",
            554,
            "5.7.1 <a@x.example>: Recipient address rejected: Access denied",
            About::Us,
        ),
        // Exchange and Microsoft 365
        ("Exchange", 550, "5.1.1 User unknown", About::Mailbox),
        (
            "Exchange",
            550,
            "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            About::Mailbox,
        ),
        (
            "Exchange",
            550,
            "5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
            About::Us,
        ),
        ("Exchange", 550, "5.7.64 TenantAttribution; Relay Access Denied", About::Us),
        ("Exchange", 550, "5.7.1 Unable to relay", About::Us),
        ("Exchange", 550, "5.7.606 Access denied, banned sending IP [192.0.2.7]", About::Us),
        ("Exchange", 550, "5.1.8 Access denied, bad outbound sender", About::Account),
        ("Exchange", 550, "5.7.705 Access denied, tenant has exceeded threshold", About::Account),
        (
            "Exchange",
            550,
            "5.4.1 Recipient address rejected: Access denied. AS(201806281)",
            About::Unknown,
        ),
        // Gmail
        (
            "Gmail",
            550,
            "5.1.1 The email account that you tried to reach does not exist. Please try \
             double-checking the recipient's email address for typos",
            About::Mailbox,
        ),
        ("Gmail", 550, "5.7.1 Invalid credentials for relay [192.0.2.7].", About::Us),
        ("Gmail", 550, "5.4.5 Daily user sending limit exceeded.", About::Account),
        ("Gmail", 550, "5.7.0 Mail relay denied [192.0.2.7].", About::Us),
        (
            "Gmail",
            552,
            "5.2.2 The email account that you tried to reach is over quota",
            About::Full,
        ),
        ("Gmail", 553, "5.1.2 We weren't able to find the recipient domain.", About::Mailbox),
        (
            "Gmail",
            550,
            "5.2.1 The email account that you tried to reach is disabled.",
            About::Unknown,
        ),
        // qmail
        ("qmail", 550, "sorry, no mailbox here by that name. (#5.1.1)", About::Mailbox),
        ("qmail", 511, "sorry, no mailbox here by that name (#5.1.1 - chkuser)", About::Mailbox),
        (
            "qmail",
            553,
            "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
            About::Us,
        ),
        ("qmail", 553, "sorry, your envelope sender is in my badmailfrom list (#5.7.1)", About::Us),
        // Zoho
        ("Zoho", 553, "Relaying disallowed as billing@y.example", About::Us),
        ("Zoho", 553, "Relaying disallowed. Invalid Domain - y.example", About::Us),
        ("Zoho", 554, "5.1.8 Email Outgoing Blocked", About::Account),
        ("Zoho", 550, "5.4.6 Unusual sending activity detected.", About::Account),
        ("Zoho", 550, "5.1.1 User does not exist - <a@x.example>", About::Mailbox),
        // Others
        ("OVH", 550, "User periodd has exceeded its 24-hour sending limit.", About::Account),
        ("any", 551, "User not local; please try <b@y.example>", About::Mailbox),
        ("any", 556, "5.1.10 Recipient address has null MX", About::Mailbox),
        ("any", 550, "Requested action not taken: mailbox unavailable", About::Unknown),
        ("any", 550, "", About::Unknown),
    ];

    /// What servers say once they have the whole email.
    const OF_EMAIL: &[(&str, u16, &str, About)] = &[
        (
            "SendGrid",
            550,
            "The from address does not match a verified Sender Identity. Mail cannot be sent until \
             this error is resolved.",
            About::Account,
        ),
        ("SendGrid", 550, "Unauthenticated senders not allowed", About::Account),
        (
            "SES",
            554,
            "Message rejected: Email address is not verified. The following identities failed the \
             check in region EU-WEST-1: billing@y.example",
            About::Account,
        ),
        (
            "SES",
            554,
            "Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform \
             `ses:SendRawEmail'",
            About::Account,
        ),
        ("SES", 554, "Message rejected: Sending suspended for this account.", About::Account),
        (
            "Exchange",
            554,
            "5.2.252 SendAsDenied; a@x.example not allowed to send as b@x.example",
            About::Account,
        ),
        (
            "Exchange",
            550,
            "5.7.60 SMTP; Client does not have permissions to send as this sender",
            About::Account,
        ),
        (
            "Gmail",
            550,
            "5.7.26 Unauthenticated email from y.example is not accepted due to domain's DMARC \
             policy",
            About::Us,
        ),
        ("Gmail", 550, "5.4.5 Daily SMTP relay sending limit exceeded", About::Account),
        (
            "Gmail",
            550,
            "5.7.25 The IP address sending this message does not have a PTR record setup",
            About::Us,
        ),
        ("Zoho", 550, "5.4.6 Unusual sending activity detected. Please try later", About::Account),
        ("Exim", 550, "relay not permitted", About::Us),
        ("Postfix", 554, "5.7.1 looks like spam", About::Unknown),
        ("Postfix", 552, "5.3.4 Message size exceeds fixed limit", About::Unknown),
        ("Exchange", 550, "5.7.1 Message rejected as spam by Content Filtering.", About::Unknown),
        ("any", 554, "Transaction failed", About::Unknown),
    ];

    #[test]
    fn real_servers_mean_what_the_table_says() {
        for &(server, code, words, expected) in OF_RECIPIENT {
            assert_eq!(about(code, words, true), expected, "{server}: {code} {words}");
        }
        for &(server, code, words, expected) in OF_EMAIL {
            assert_eq!(about(code, words, false), expected, "{server}: {code} {words}");
        }
    }

    #[test]
    fn an_enhanced_code_is_found_wherever_it_stands_and_an_address_of_a_host_is_none() {
        assert_eq!(enhanced("5.1.1 no"), Some([5, 1, 1]));
        assert_eq!(enhanced("no mailbox (#5.1.1)"), Some([5, 1, 1]));
        assert_eq!(enhanced("denied. 5.7.1."), Some([5, 7, 1]));
        assert_eq!(enhanced("client [5.1.1.7] is blocked, version 4.1.1"), None);
    }

    #[test]
    fn refusals_are_alike_whoever_they_are_for() {
        let one = alike("550 5.1.1 <ann@a.example>: Relay denied (id 4F1)");
        assert_eq!(one, alike("550 5.1.1 <bob@b.example>: Relay denied (id 77A)"));
        assert_ne!(one, alike("550 5.1.1 <ann@a.example>: Mailbox full"));
        assert_ne!(alike("550 no"), alike("554 no"));
    }
}
