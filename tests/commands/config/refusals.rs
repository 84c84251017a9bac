//! What is wrong is refused: with its file, line and column, all of it at once.

use crate::config::{load, refusal, with_file, written};
use periodd::config::values::Limit;

/// Files with one thing wrong, and what is said about each.
const REFUSED: [(&str, &str); 26] = [
    (
        "[notices.pack_expires]\ndays = [0]\n",
        "F:2:9: each of `days` must be a whole number from 1 to 90, not 0\n    days = [0]\n    \
         \x20       ^",
    ),
    (
        "[notices.runs_out]\nrecipients = [\"boss\"]\n",
        "F:2:15: `recipients` must be \"billing\", \"technical\" or \"owner\", not the text \
         \"boss\"\n    recipients = [\"boss\"]\n                  ^^^^^^",
    ),
    (
        "[rollover]\nbatchsize = 500\n",
        "F:2:1: unknown key `batchsize` in [rollover]; did you mean `batch_size`?\n    batchsize \
         = 500\n    ^^^^^^^^^",
    ),
    (
        "[rolover]\n",
        "F:1:2: unknown section `rolover`; did you mean `rollover`?\n    [rolover]\n     ^^^^^^^",
    ),
    (
        "[rollover]\ndrain_timeout = \"5s\"\n",
        "F:2:1: unknown key `drain_timeout` in [rollover]; it belongs to [daemon]\n    \
         drain_timeout = \"5s\"\n    ^^^^^^^^^^^^^",
    ),
    (
        "[log]\nzzz = 1\n",
        "F:2:1: unknown key `zzz` in [log]; there are level, format\n    zzz = 1\n    ^^^",
    ),
    (
        "[rollover]\nbatch_size = 80.5\n",
        "F:2:14: `batch_size` must be a whole number from 1 to 10000, not 80.5\n    \
             batch_size = 80.5\n                 ^^^^",
    ),
    (
        "[rollover]\nbatch_size = \"42\"\n",
        "F:2:14: `batch_size` must be a whole number from 1 to 10000, not the text \"42\"; remove \
         the quotes\n    batch_size = \"42\"\n                 ^^^^",
    ),
    (
        "[rollover]\nbatch_size = 0\n",
        "F:2:14: `batch_size` must be a whole number from 1 to 10000, not 0\n    \
             batch_size = 0\n                 ^",
    ),
    (
        "[rollover]\ncatch_up = \"replai\"\n",
        "F:2:12: `catch_up` must be \"replay\", \"collapse\" or \"halt\", not the text \
             \"replai\"; did you mean `replay`?\n    \
             catch_up = \"replai\"\n               ^^^^^^^^",
    ),
    (
        "[rollover]\nended_tier = 7\n",
        "F:2:14: `ended_tier` must be text in quotes, not 7\n    \
             ended_tier = 7\n                 ^",
    ),
    (
        "[rollover]\nended_tier = \"\"\n",
        "F:2:14: `ended_tier` is empty; omit it instead\n    ended_tier = \"\"\n                 \
         ^^",
    ),
    (
        "[schedule.sync]\nenabled = \"yes\"\n",
        "F:2:11: `enabled` must be true or false, not the text \"yes\"\n    \
             enabled = \"yes\"\n              ^^^^^",
    ),
    (
        "[schedule.sync]\ncron = \"61 * * * * *\"\n",
        "F:2:8: invalid cron expression `61 * * * * *`: invalid second `61`; write second minute \
         hour day month weekday\n    cron = \"61 * * * * *\"\n           ^^^^^^^^^^^^^^",
    ),
    (
        "[schedule.sync]\n\ttime_zone = \"Europe/Berln\"\n",
        "F:2:14: unknown time zone `Europe/Berln`; did you mean Europe/Berlin?\n    \ttime_zone = \
         \"Europe/Berln\"\n    \t            ^^^^^^^^^^^^^^",
    ),
    (
        "[schedule.sync]\r\ntimeout = \"1 month\"\r\n",
        "F:2:11: invalid duration `1 month`; write a number with its unit, such as \"30s\", \
         \"5m\" or \"72h\"\n    timeout = \"1 month\"\n              ^^^^^^^^^",
    ),
    (
        "[alerts]\nthresholds = [80, 80.5]\n",
        "F:2:19: each of `thresholds` must be a whole number from 1 to 100, not 80.5\n    \
             thresholds = [80, 80.5]\n                      ^^^^",
    ),
    (
        "[alerts]\nthresholds = [80, 90, 90]\n",
        "F:2:23: `thresholds` must be in ascending order, but 90 follows 90\n    thresholds = \
         [80, 90, 90]\n                          ^^",
    ),
    (
        "[alerts]\nthresholds = [1,2,3,4,5,6,7,8,9,10,11]\n",
        "F:2:14: `thresholds` has 11 entries; at most 10 are allowed\n    thresholds = \
         [1,2,3,4,5,6,7,8,9,10,11]\n                 ^^^^^^^^^^^^^^^^^^^^^^^^^",
    ),
    (
        "[sync]\nmax_fix_ratio = nan\n",
        "F:2:17: `max_fix_ratio` must be a number from 0 to 1, not nan\n    \
             max_fix_ratio = nan\n                    ^^^",
    ),
    (
        "[mail]\nfrom = \"billing at example.com\"\n",
        "F:2:8: invalid email address `billing at example.com`; write name@example.com or Some \
         Name <name@example.com>\n    from = \"billing at example.com\"\n           \
         ^^^^^^^^^^^^^^^^^^^^^^^^",
    ),
    (
        "[mail]\nfrom = \"A\\r\\nBcc: x@y <a@b>\"\n",
        "F:2:8: `from` contains a control character or is not UTF-8\n    from = \"A\\r\\nBcc: x@y \
         <a@b>\"\n           ^^^^^^^^^^^^^^^^^^^^^",
    ),
    (
        "[retention]\nmetrics_keep = \"36h\"\n",
        "F:2:16: invalid calendar duration `36h`; write \"25 months\", \"90 days\" or \
         \"forever\"\n    metrics_keep = \"36h\"\n                   ^^^^^",
    ),
    (
        "[[packs]]\ncode = \"p\"\nfeature = \"scrapes\"\nprice_cents = 1\n",
        "F:1:1: a [[packs]] block needs the key `quantity`\n    [[packs]]\n    ^^^^^^^^^",
    ),
    (
        "[rollover\nbatch_size = 1\n",
        "F:1:10: invalid TOML: unclosed table, expected `]`\n    [rollover\n             ^",
    ),
    (
        "[log]\nlevel = \"info\"\nlevel = \"warn\"\n",
        "F:3:1: invalid TOML: duplicate key\n    level = \"warn\"\n    ^^^^^",
    ),
];

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (toml, said) in REFUSED {
        assert_eq!(refusal(toml), said, "for\n{toml}");
    }
}

#[test]
fn quantities_are_exact_or_refused() {
    let tier = |limit: &str| {
        format!(
            "[[tiers]]\ncode = \"t\"\nname = \"T\"\nmonthly_price_cents = 0\n\
             limits = {{ scrapes = {limit} }}\n"
        )
    };
    let limit = |text: &str| with_file(&tier(text), &[]).map(|c| c.tiers[0].limits["scrapes"]);
    let exactly = |text: &str| Ok(Limit::Included(text.parse().unwrap()));
    assert_eq!(limit("600"), exactly("600"));
    assert_eq!(limit("\"12.000001\""), exactly("12.000001"));
    assert_eq!(limit("0"), exactly("0"));
    assert_eq!(limit("\"unlimited\""), Ok(Limit::Unlimited));
    for (text, said) in [
        ("1.5", "not 1.5; decimals need quotes to be exact"),
        ("\"0.1234567\"", "`0.1234567` has more than 6 decimals"),
        ("-1", "`-1` is negative; a limit is 0 or more"),
        ("\"lots\"", "`lots` is not a decimal number; write a quantity or \"unlimited\""),
        ("true", "must be a whole number, a decimal in quotes (\"12.5\") or \"unlimited\""),
    ] {
        let message = limit(text).unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
    }
}

#[test]
fn all_problems_are_said_at_once_in_the_order_of_the_file() {
    let toml = "x = 1\n[log]\nlevel = \"loud\"\n[mail]\ntransport = \"smtp\"\n[rollover]\n\
                batch_size = 0\n";
    let (_directory, file) = written(toml);
    let variables = [("PERIODD__LOG__COLOR", "no"), ("PERIODD__ROLLOVER__CONNECTIONS", "-1")];
    let error = load(Some(&file), &variables).unwrap_err();
    let places: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| problem.replace(file.to_str().unwrap(), "F"))
        .map(|problem| problem.split(": ").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        places,
        [
            "F:1:1",
            "F:3:9",
            "F:5:13",
            "F:5:13",
            "F:7:14",
            "environment variable PERIODD__LOG__COLOR",
            "environment variable PERIODD__ROLLOVER__CONNECTIONS",
        ]
    );
}

#[test]
fn a_syntax_error_hides_only_what_follows_from_it() {
    let said = refusal("[log]\nlevl = 1\n[mail.smtp\nhost = 3\n[mail]\ntransport = \"smtp\"\n");
    assert!(said.contains("F:2:1: unknown key `levl` in [log]"), "{said}");
    assert!(said.contains("F:3:11: invalid TOML"), "{said}");
    assert!(!said.contains("needs `host`"), "the host was lost by the syntax error:\n{said}");
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for (toml, said) in [
        ("[mail]\ntransport = \"smtp\"\nfrom = \"a@b\"\n", "F:2:13: \"smtp\" needs `host`"),
        (
            "mail.transport = \"smtp\"\nmail.smtp.host = \"h\"\n",
            "F:1:18: \"smtp\" needs `from` in [mail]",
        ),
        (
            "[database]\nurl = \"postgres:///a\"\nurl_file = \"b\"\n",
            "F:2:7: `url` and `url_file` both name a database; remove one",
        ),
        (
            "[rollover]\nconnections = 2\n[database]\nmax_connections = 2\n",
            "F:2:15: `connections` in [rollover] (2) must be",
        ),
        (
            "[mail.smtp]\nhost = \"mail.example.com\"\ntls = \"none\"\nusername = \"u\"\n\
             password_file = \"p\"\n",
            "F:3:7: tls = \"none\" would send the password in the clear",
        ),
        (
            "mail.from = \"a@b\"\nmail.transport = \"smtp\"\n\
             mail.smtp.host = \"h\"\nmail.smtp.tls = \"none\"\n",
            "F:4:17: tls = \"none\" would send emails in the clear",
        ),
        (
            "[[features]]\nname = \"calls\"\ntemplate = \"../calls\"\n",
            "F:3:12: invalid template folder `../calls`",
        ),
        ("[mail.smtp]\nusername = \"u\"\n", "F:2:12: `username` needs `password_file`"),
        ("[schedule.sync]\ntimeout = \"0s\"\n", "F:2:11: `timeout` must be greater than 0"),
        (
            "[[webhooks]]\nname = \"app\"\nurl = \"https://a.example/\"\nsecret_env = \"S\"\n\
             timeout = \"61s\"\n",
            "F:5:11: `timeout` must be 60s or shorter",
        ),
        (
            "[[features]]\nname = \"Calls\"\n[[features]]\nname = \"calls\"\n",
            "F:4:8: `calls` is given twice, first at F:2:8",
        ),
        (
            "[[packs]]\ncode = \"p\"\nfeature = \"scrap\"\nquantity = 1\nprice_cents = 1\n",
            "F:3:11: unknown feature `scrap`; did you mean `scrapes`?",
        ),
        (
            "[[sync.derived]]\ntable = \"users\"\ncolumn = \"c\"\nkey = \"id\"\n\
             feature = \"scrapes\"\nscope = \"user\"\nquantity = \"purchased_remaining\"\n",
            "F:7:12: packs belong to orgs",
        ),
    ] {
        let message = refusal(toml);
        assert!(message.starts_with(said), "{message}\nfor\n{toml}");
    }
}

#[test]
fn limits_name_features_in_any_case_of_letters() {
    let tier = "[[tiers]]\ncode = \"t\"\nname = \"T\"\nmonthly_price_cents = 0\n";
    let named = |limits: &str| with_file(&format!("{tier}limits = {limits}\n"), &[]);
    assert!(named("{ SCRAPES = 1, \"Sms_Sent\" = 2 }").is_ok());
    let unknown = named("{ faxes = 1 }").unwrap_err().to_string();
    assert!(
        unknown.contains(":5:12: unknown feature `faxes`; add a [[features]] block"),
        "{unknown}"
    );
    let twice = named("{ SCRAPES = 1, scrapes = 1 }").unwrap_err().to_string();
    assert!(twice.contains("`scrapes` and `SCRAPES` are the same feature"), "{twice}");
}

#[test]
fn a_file_without_an_end_is_not_read_to_its_end() {
    let (directory, file) = written("");
    std::fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
    assert!(made.success());
    let sentence = |file: &std::path::Path| {
        let error = load(Some(file), &[]).expect_err("this must be refused");
        error.to_string().replace(file.to_str().unwrap(), "F")
    };
    assert_eq!(sentence(&file), "F cannot be read: it is not a regular file");
    let endless = std::path::Path::new("/dev/zero");
    assert_eq!(sentence(endless), "F cannot be read: it is not a regular file");
    assert_eq!(sentence(directory.path()), "F cannot be read: it is a directory");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "#".repeat(1024 * 1024 + 1)).unwrap();
    assert_eq!(sentence(&file), "F cannot be read: it is larger than 1024 KiB, the limit");
}

#[test]
fn a_secret_without_an_end_is_not_read_to_its_end() {
    let config = with_file("[database]\nurl_file = \"/dev/zero\"\n", &[]).unwrap();
    let error = config.database_url().expect_err("this must be refused");
    assert_eq!(
        error.to_string(),
        "the secret in /dev/zero cannot be read: it is not a regular file"
    );
}

/// Each problem costs work for its sentence; a hundred of them are worth it.
#[test]
fn of_very_many_problems_the_first_hundred_are_told() {
    let keys = |n: i32| [String::from("k"), n.to_string(), "=1\n".to_owned()].concat();
    let keys: String = (0..100_000).map(keys).collect();
    let tiers = |n| format!("[[tiers]]\ncode=\"t{n}\"\nnmae=1\n");
    let tiers: String = (0..20_000).map(tiers).collect();
    let broken = "= 1\n".repeat(50_000);
    for text in [keys, tiers, broken] {
        let said = refusal(&text);
        assert_eq!(said.matches("\nF:").count(), 99, "{}", &said[..2000]);
        assert!(said.ends_with("\nonly the first 100 problems are shown"));
    }
}

#[test]
fn an_address_that_no_email_can_hold_is_refused_before_one_does() {
    let refused = |url: &str| refusal(format!("[mail]\nunsubscribe_url = \"{url}\"\n"));
    for (url, sentence) in [
        ("http://e.example/{token}", "requires https"),
        ("https://e.example/ü/{token}", "contains `ü`, which is not allowed in a URL"),
        ("https://e.example/a b/{token}", "contains ` `, which is not allowed in a URL"),
        ("https://e.example/<{token}>", "contains `<`, which is not allowed in a URL"),
        ("https://e.example/{TOKEN}", "contains `{`, which is not allowed in a URL"),
        ("https://e.example/u", "has no placeholder for the recipient; put {token} where"),
    ] {
        let said = refused(url);
        assert!(said.starts_with("F:2:19: ") && said.contains(sentence), "{said}");
    }
    with_file("[mail]\nunsubscribe_url = \"https://e.example/u?t={token}&l=%C3%BC\"\n", &[])
        .unwrap();
}
