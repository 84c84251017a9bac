//! `usage import`.

use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Answer, TestDatabase};

struct Import {
    test: TestDatabase,
    directory: TempDir,
}

impl Import {
    async fn new() -> Self {
        let test = TestDatabase::new().await;
        test.sql(
            "insert into organizations (id, slug, name, time_zone)
             values ('11111111-1111-1111-1111-111111111111', 'acme', 'Acme', 'UTC'),
                    ('22222222-2222-2222-2222-222222222222', 'bolt', 'Bolt', 'UTC');
             insert into users (organization_id, email)
             values ('11111111-1111-1111-1111-111111111111', 'Ann@acme.example')",
        )
        .await;
        Self { test, directory: TempDir::new().expect("a directory") }
    }

    fn file(&self, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.directory.path().join("usage.csv");
        std::fs::write(&file, text).expect("the file is written");
        file
    }

    fn import(&self, text: impl AsRef<[u8]>, flags: &[&str]) -> Answer {
        let file = self.file(text);
        let file = file.to_str().expect("UTF-8");
        self.test.periodd(&[&["usage", "import", file, "--format", "json"], flags].concat())
    }

    async fn metrics(&self) -> Vec<String> {
        self.test
            .rows(
                "select o.slug, m.metric_type, m.metric_value, m.created_at, u.email, m.counted_at
                 from usage_metrics m join organizations o on o.id = m.organization_id
                 left join users u on u.id = m.user_id order by m.created_at, 1, 2, 3",
            )
            .await
    }
}

const GOOD: &str = "\u{feff}key, org, feature, quantity, used_at, user, correction
k1,acme,SMS_sent,1.5,2026-05-01T10:00:00+02:00,ann@ACME.example,

k2,11111111-1111-1111-1111-111111111111,scrapes,2,2026-05-02T00:00:00Z,,yes
,bolt,scrapes,3,2026-05-03T00:00:00Z,,no
\"k,4\",bolt,scrapes,4,2026-05-04T00:00:00Z,,
k1,acme,sms_sent,1.50,2026-05-01T08:00:00Z,ann@acme.example,
";

#[tokio::test]
async fn a_file_is_imported_once_however_often_it_is_tried() {
    let import = Import::new().await;
    let dry = import.import(GOOD, &["--dry-run"]).exits(0).json();
    assert_eq!(
        (&dry["lines"], &dry["imported"], &dry["written"]),
        (&json!(5), &json!(0), &json!(false))
    );
    assert_eq!(import.metrics().await, Vec::<String>::new());
    let first = import.import(GOOD, &[]).exits(0).json();
    assert_eq!((&first["imported"], &first["known"]), (&json!(4), &json!(1)));
    let metrics = [
        "acme sms_sent 1.5 2026-05-01T08:00:00Z Ann@acme.example -",
        "acme scrapes -2 2026-05-02T00:00:00Z - -",
        "bolt scrapes 3 2026-05-03T00:00:00Z - -",
        "bolt scrapes 4 2026-05-04T00:00:00Z - -",
    ];
    assert_eq!(import.metrics().await, metrics);
    assert_eq!((&first["counted"], &first["uncounted"]), (&json!(0), &json!(4)));
    let second = import.import(GOOD, &[]).exits(0).json();
    assert_eq!((&second["imported"], &second["known"]), (&json!(0), &json!(5)));
    assert_eq!(import.metrics().await, metrics);
}

const BAD: &[u8] = b"org,feature,quantity,used_at,user,key
acme,sms_sent,1,2026-05-01T00:00:00Z,,good
acne,sms_sent,1,2026-05-01T00:00:00Z,,
acme,faxes,1,2026-05-01T00:00:00Z,,
acme,sms_sent,1.0000001,2026-05-01T00:00:00Z,,
acme,sms_sent,0,2026-05-01T00:00:00Z,,
acme,sms_sent,1,yesterday,,
acme,sms_sent,1,2999-01-01T00:00:00Z,,
bolt,sms_sent,1,2026-05-01T00:00:00Z,ann@acme.example,
acme,sms_sent,1
acme,sms_sent,\xff,2026-05-01T00:00:00Z,,
acme,sms_sent,NaN,2026-05-01T00:00:00Z,,
acme,sms_sent,-1,2026-05-01T00:00:00Z,,
acme,sms_sent,1,1970-01-21T10:06:55Z,,
acme,sms_sent,1,1764415200000,,
acme,sms_sent,1,2026-05-01T00:00:00Z,,periodd:x
acme,sms_sent,1,2026-05-01T00:00:00Z,,\"good
acme,sms_sent,1,2026-05-01T00:00:00Z,,other
";

#[tokio::test]
async fn a_bad_line_is_told_with_its_number_and_nothing_is_written() {
    let import = Import::new().await;
    let refused = import.import(BAD, &[]).exits(1);
    let report = refused.json();
    let faults = report["faults"].as_array().expect("faults");
    let told: Vec<(u64, &str)> = faults
        .iter()
        .map(|fault| {
            (fault["line"].as_u64().expect("a number"), fault["why"].as_str().expect("why"))
        })
        .collect();
    let expected = [
        (3, "unknown org `acne`"),
        (4, "unknown feature `faxes`"),
        (5, "has more than 6 decimals"),
        (6, "quantity must not be 0"),
        (7, "invalid time `yesterday`"),
        (8, "is in the future"),
        (9, "unknown user `ann@acme.example` in `bolt`"),
        (10, "it has 3 fields, but the header has 6"),
        (11, "it is not UTF-8 text"),
        (12, "is not a decimal number"),
        (13, "quantity -1 is negative; mark corrections in a column `correction`"),
        (14, "is before 2000-01-01"),
        (15, "looks like a Unix time"),
        (16, "keys that start with periodd: are for internal use"),
        (17, "a quotation mark is not closed"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for ((line, why), (expected_line, part)) in told.iter().zip(expected) {
        assert!(*line == expected_line && why.contains(part), "{line}: {why}");
    }
    assert!(refused.stderr.contains("nothing was imported"), "{}", refused.stderr);
    assert_eq!(import.metrics().await, Vec::<String>::new());

    import.import(BAD, &["--dry-run"]).exits(3);
    let skipped = import.import(BAD, &["--skip-bad"]).exits(4).json();
    assert_eq!((&skipped["imported"], &skipped["bad"]), (&json!(1), &json!(15)));
    assert_eq!(import.metrics().await, ["acme sms_sent 1 2026-05-01T00:00:00Z - -"]);
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_in_one_sentence() {
    let import = Import::new().await;
    for (text, sentence) in [
        ("org,feature,quantity\n", "missing column `used_at`"),
        ("org,feature,quantity,used_at,colour\n", "unknown column `colour`"),
        ("org,feature,quantity,used_at,org\n", "duplicate column `org`"),
        ("", "missing column `org`"),
        ("\n\nsep=;\norg;feature\n", "line 4: missing column `quantity`"),
    ] {
        let answer = import.import(text, &[]).exits(2);
        assert!(answer.stderr.contains(sentence), "{}", answer.stderr);
    }
    for file in ["/nowhere/usage.csv", "/"] {
        let answer = import.test.periodd(&["usage", "import", file]).exits(2);
        assert!(answer.stderr.contains(&format!("cannot read {file}")), "{}", answer.stderr);
    }
}

#[tokio::test]
async fn more_lines_than_a_batch_are_imported_and_counted() {
    use std::fmt::Write;
    let import = Import::new().await;
    let mut text = "org,feature,quantity,used_at\n".to_owned();
    for line in 0..25_000 {
        writeln!(
            text,
            "{},scrapes,1,2026-05-0{}T00:00:00Z",
            ["acme", "bolt"][line % 2],
            1 + line % 9
        )
        .expect("text");
    }
    let report = import.import(&text, &[]).exits(0).json();
    assert_eq!(report["imported"], json!(25_000));
    let sums = "select o.slug, sum(metric_value), count(distinct idempotency_key)
                from usage_metrics m join organizations o on o.id = m.organization_id
                group by 1 order by 1";
    assert_eq!(import.test.rows(sums).await, ["acme 12500 12500", "bolt 12500 12500"]);
    assert_eq!((&report["counted"], &report["uncounted"]), (&json!(0), &json!(25_000)));
    // Nobody has opened a period for them yet; the next rollover counts.
    import.test.periodd(&["rollover", "--at", "2026-05-20T00:00:00Z"]).exits(0);
    import.test.periodd(&["rollover", "--at", "2026-06-02T00:00:00Z"]).exits(0);
    let closed = "select used from billing_period_usage order by used";
    assert_eq!(import.test.rows(closed).await, ["12500", "12500"]);
    import.test.check_invariants().await;
}

#[tokio::test]
async fn a_key_that_no_index_takes_is_a_bad_line_before_anything_is_written() {
    let import = Import::new().await;
    let long = "k".repeat(1025);
    let file = format!(
        "org,feature,quantity,used_at,key\nacme,scrapes,1,2026-05-03T00:00:00Z,good\n\
         acme,scrapes,1,2026-05-03T00:00:00Z,{long}\nacme,scrapes,1,2026-05-03T00:00:00Z,a\0b\n"
    );
    let answer = import.import(file, &[]).exits(1);
    assert!(
        answer.stdout.contains("the key has 1025 bytes; at most 1024 are allowed"),
        "{answer:?}"
    );
    assert!(answer.stdout.contains("the key contains a NUL character"), "{answer:?}");
    assert_eq!(import.metrics().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_pipe_that_nobody_writes_to_is_not_waited_for() {
    let import = Import::new().await;
    let pipe = import.directory.path().join("pipe.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("run").success());
    let pipe = pipe.to_str().expect("UTF-8");
    let answer = import.test.periodd(&["usage", "import", pipe]).exits(2);
    assert!(answer.stderr.contains("it is not a regular file; to read from a pipe"), "{answer:?}");
}

const SEVEN: &str = "org,feature,quantity,used_at
acme,sms_sent,1,2026-05-01T10:00:00Z
acme,sms_sent,2,2026-05-01T10:00:00Z
acme,sms_sent,2,2026-05-01T10:00:00Z
acne,sms_sent,2,2026-05-01T10:00:00Z
acme,sms_sent,4,2026-05-03
bolt,scrapes,2,2026-05-01T10:00:00Z
bolt,scrapes,8.5,2026-05-01T10:00:00Z
";

#[tokio::test]
async fn a_file_that_was_corrected_after_skip_bad_counts_once() {
    let import = Import::new().await;
    let skipped = import.import(SEVEN, &["--skip-bad"]).exits(4).json();
    assert_eq!((&skipped["imported"], &skipped["bad"]), (&json!(6), &json!(1)));
    let mended = SEVEN.replace("acne", "acme");
    let again = import.import(&mended, &[]).exits(0).json();
    assert_eq!((&again["imported"], &again["known"]), (&json!(1), &json!(6)));
    let sums = "select metric_type, sum(metric_value) from usage_metrics group by 1 order by 1";
    let whole = ["scrapes 10.5", "sms_sent 11"];
    assert_eq!(import.test.rows(sums).await, whole);
    // Saved by a spreadsheet: other line ends, separators, notations, columns, order; as UTF-16.
    let mut lines: Vec<&str> = mended.lines().skip(1).collect();
    lines.reverse();
    let saved = lines.join("\r\n").replace(',', "\t").replace("8.5", "8,50");
    let saved = saved.replace("2026-05-01T10:00:00Z", "2026-05-01 12:00:00.000+02:00");
    let saved = format!("ORG\tFeature\tQuantity\tUsed_at\tUser\tKey\r\n{saved}\r\n\t\t\t\r\n");
    let saved = saved.replace("\r\n", "\t\t\r\n").replace("Key\t\t", "Key");
    let bytes: Vec<u8> =
        format!("\u{feff}{saved}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let known = import.import(&bytes, &[]).exits(0).json();
    assert_eq!((&known["imported"], &known["known"]), (&json!(0), &json!(7)), "{saved}");
    assert_eq!(import.test.rows(sums).await, whole);
    // Tomorrow's export has the same lines, and one that says once more what two have said.
    let longer = format!("{mended}acme,sms_sent,2,2026-05-01T10:00:00Z\n");
    let more = import.import(&longer, &[]).exits(0).json();
    assert_eq!((&more["imported"], &more["known"]), (&json!(1), &json!(7)));
    import.test.check_invariants().await;
}

#[tokio::test]
async fn a_key_that_says_two_things_is_a_bad_line() {
    let import = Import::new().await;
    let head = "org,feature,quantity,used_at,key\n";
    let told = |answer: &Answer| -> Vec<(u64, String)> {
        let report = answer.json();
        let faults = report["faults"].as_array().expect("faults").iter();
        let fault = |fault: &serde_json::Value| {
            let why = fault["why"].as_str().expect("why").to_owned();
            (fault["line"].as_u64().expect("a number"), why)
        };
        faults.map(fault).collect()
    };
    // Within the file; in another org it is another key.
    let file = format!(
        "{head}acme,sms_sent,1,2026-05-01T10:00:00Z,job
bolt,sms_sent,2,2026-05-01T10:00:00Z,job
acme,sms_sent,1,2026-05-01T10:00:00Z,job
acme,scrapes,1,2026-05-01T10:00:00Z,job
acme,sms_sent,1,2026-05-02T10:00:00Z,job
"
    );
    let faults = told(&import.import(&file, &["--dry-run"]).exits(3));
    assert_eq!(faults.iter().map(|fault| fault.0).collect::<Vec<_>>(), [5, 6]);
    assert!(faults.iter().all(|fault| fault.1.contains("the key `job` is in line 2, too")));
    import.import(&file, &[]).exits(1);
    assert_eq!(import.metrics().await, Vec::<String>::new());

    // Numbers that a spreadsheet has shortened, even where they stand alone.
    let shortened = format!("{head}acme,sms_sent,1,2026-05-01T10:00:00Z,4.68769E+17\n");
    let faults = told(&import.import(&shortened, &[]).exits(1));
    assert!(faults[0].1.contains("a spreadsheet has shortened"), "{faults:?}");

    // What stands in the database.
    import
        .test
        .sql(
            "select record_usage(id, 'scrapes', 3, null, now(), 'k') from organizations
             where slug = 'acme'",
        )
        .await;
    let before = import.test.contents().await;
    let line = |quantity: &str| format!("{head}acme,scrapes,{quantity},2026-05-01T10:00:00Z,k\n");
    let faults = told(&import.import(line("4"), &[]).exits(1));
    assert!(faults[0].1.contains("was used before for 3 scrapes, recorded at "), "{faults:?}");
    import.import(line("4"), &["--skip-bad"]).exits(4);
    assert_eq!(import.import(line("3.0"), &[]).exits(0).json()["known"], json!(1));
    assert_eq!(import.test.contents().await, before);
}

#[tokio::test]
async fn what_is_imported_is_counted_at_once() {
    let import = Import::new().await;
    for org in ["acme", "bolt"] {
        import.test.periodd(&["rollover", "--org", org, "--at", "2026-05-10T00:00:00Z"]).exits(0);
    }
    import.test.periodd(&["orgs", "park", "bolt", "--reason", "odd"]).exits(0);
    let lines = "org,feature,quantity,used_at
acme,scrapes,2,2026-05-01T10:00:00Z
acme,scrapes,3,2026-05-02T10:00:00Z
bolt,scrapes,5,2026-05-02T10:00:00Z
";
    let report = import.import(lines, &["--at", "2026-05-10T00:00:00Z"]).exits(0).json();
    // Also of an org that is parked, as `record_usage` does.
    assert_eq!((&report["counted"], &report["uncounted"]), (&json!(3), &json!(0)));
    let counters = "select o.slug, c.used from usage_counters c join organizations o
                    on o.id = c.org_id where c.used <> 0 order by 1";
    assert_eq!(import.test.rows(counters).await, ["acme 5", "bolt 5"]);
    import
        .test
        .sql(
            "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
         select id, 'scrapes', 1, '2026-05-03T00:00:00Z' from organizations where slug = 'bolt'",
        )
        .await;
    let file = import.directory.path().join("usage.csv");
    let file = file.to_str().expect("UTF-8");
    let page = import.test.periodd(&["usage", "import", file]).exits(0).stdout;
    assert!(page.contains("3 lines: 0 imported, 3 already known, 0 bad"), "{page}");
    assert!(page.contains("0 metrics counted, 1 not counted yet"), "{page}");
    import.test.check_invariants().await;
}

#[tokio::test]
async fn columns_have_other_names_and_others_are_ignored() {
    let import = Import::new().await;
    let text = "date,username,sku,Org ID,quantity,organization,cost
2026-05-12,ann,SCRAPES,7,14,acme,0.04
";
    let unknown = import.import(text, &[]).exits(2);
    assert!(unknown.stderr.contains("--ignore-columns"), "{}", unknown.stderr);
    let maps = ["--map", "org=Organization", "--map", "feature=sku", "--map", "used_at=date"];
    let report = import.import(text, &[&maps[..], &["--ignore-columns"]].concat()).exits(0);
    assert!(report.stderr.contains("ignored columns: username, Org ID, cost"), "{report:?}");
    assert_eq!(import.metrics().await, ["acme scrapes 14 2026-05-12T12:00:00Z - -"]);
    for (flags, sentence) in [
        (&["--map", "org=Customer"][..], "missing column `Customer`, which --map takes for org"),
        (&["--map", "colour=sku"], "unknown column `colour`"),
        (&["--map", "org"], "write it as COLUMN=NAME"),
    ] {
        let flags = [flags, &["--ignore-columns"]].concat();
        let answer = import.import(text, &flags).exits(2);
        assert!(answer.stderr.contains(sentence), "{}", answer.stderr);
    }
}

#[tokio::test]
async fn a_date_is_midday_in_the_zone_of_the_org() {
    let import = Import::new().await;
    import
        .test
        .sql(
            "update organizations set time_zone = 'America/New_York' where slug = 'acme';
             update organizations set time_zone = 'Mars/Phobos' where slug = 'bolt'",
        )
        .await;
    let head = "org,feature,quantity,used_at\n";
    let lines = format!("{head}acme,scrapes,1,2026-03-08\nacme,scrapes,1,2026-12-01\n");
    import.import(&lines, &["--at", "2026-12-24T00:00:00Z"]).exits(0);
    let days =
        ["acme scrapes 1 2026-03-08T16:00:00Z - -", "acme scrapes 1 2026-12-01T17:00:00Z - -"];
    assert_eq!(import.metrics().await, days);
    // Today's is now before midday, and the same line in the evening; tomorrow is not over.
    let today = format!("{head}acme,scrapes,1,2026-12-24\n");
    import.import(&today, &["--at", "2026-12-24T12:00:00Z"]).exits(0);
    let again = import.import(&today, &["--at", "2026-12-24T23:00:00Z"]).exits(0).json();
    assert_eq!(again["known"], json!(1));
    assert_eq!(import.metrics().await[2], "acme scrapes 1 2026-12-24T12:00:00Z - -");
    let tomorrow = format!("{head}acme,scrapes,1,2026-12-25\n");
    let refused = import.import(&tomorrow, &["--at", "2026-12-24T12:00:00Z"]).exits(1);
    assert!(refused.stdout.contains("is in the future"), "{refused:?}");
    let nowhere = format!("{head}bolt,scrapes,1,2026-12-01\n");
    let refused = import.import(&nowhere, &["--at", "2026-12-24T12:00:00Z"]).exits(1);
    assert!(refused.stdout.contains("unknown time zone `Mars/Phobos`"), "{refused:?}");
}

#[tokio::test]
async fn decimal_commas_are_read_where_they_cannot_be_mistaken() {
    let import = Import::new().await;
    let text = "org;feature;quantity;used_at\r\nacme;sms_sent;2,5;2026-05-10T10:00:00Z\r\n";
    import.import(text, &[]).exits(0);
    assert_eq!(import.metrics().await, ["acme sms_sent 2.5 2026-05-10T10:00:00Z - -"]);
    let file = "org;feature;quantity;used_at
acme;sms_sent;1,234;2026-05-10T10:00:00Z
acme;sms_sent;1.234,5;2026-05-10T10:00:00Z
";
    let refused = import.import(file, &[]).exits(1);
    assert!(refused.stdout.contains("quantity 1,234 may mean 1.234 or 1234"), "{refused:?}");
    assert_eq!(refused.json()["bad"], json!(2));
    let quoted = "org,feature,quantity,used_at\nacme,sms_sent,\"1,234\",2026-05-10T10:00:00Z\n";
    import.import(quoted, &[]).exits(1);
}

#[tokio::test]
async fn a_negative_quantity_is_meant_where_the_flag_says_so() {
    let import = Import::new().await;
    let text = "org,feature,quantity,used_at\nacme,sms_sent,-4,2026-05-10T10:00:00Z\n";
    import.import(text, &[]).exits(1);
    import.import(text, &["--correction"]).exits(0);
    assert_eq!(import.metrics().await, ["acme sms_sent -4 2026-05-10T10:00:00Z - -"]);
    let text = "org,feature,quantity,used_at,correction
acme,sms_sent,-5,2026-05-11T10:00:00Z,TRUE
acme,sms_sent,6,2026-05-12T10:00:00Z,perhaps
";
    let refused = import.import(text, &["--skip-bad"]).exits(4);
    assert!(refused.stdout.contains("`perhaps` is neither yes nor no"), "{refused:?}");
    assert_eq!(import.metrics().await[1], "acme sms_sent -5 2026-05-11T10:00:00Z - -");
}

#[tokio::test]
async fn the_standard_input_is_a_file_as_well() {
    use std::io::Write;
    use std::process::Stdio;
    let import = Import::new().await;
    let mut command = import.test.command(&["usage", "import", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("the binary runs");
    let mut stdin = running.stdin.take().expect("a pipe");
    stdin.write_all(SEVEN.replace("acne", "acme").as_bytes()).expect("written");
    drop(stdin);
    let answer = Answer::from(running.wait_with_output().expect("it ends")).exits(0);
    assert!(answer.stdout.contains("7 lines: 7 imported"), "{answer:?}");
}

#[tokio::test]
async fn lines_have_the_numbers_that_editors_show() {
    let import = Import::new().await;
    let rows = [
        "org,feature,quantity,used_at,key",
        "",
        "acme,sms_sent,1,2026-05-02T00:00:00Z,\"two\nlines\"",
        ",,,,",
        "acne,sms_sent,1,2026-05-04T00:00:00Z,",
    ];
    for end in ["\n", "\r\n", "\r"] {
        for last in [end, ""] {
            let text = format!("{}{last}", rows.join("\n").replace('\n', end));
            let report = import.import(&text, &["--dry-run"]).exits(3).json();
            assert_eq!(report["faults"][0]["line"], json!(6), "{text:?}");
            assert_eq!(report["lines"], json!(2), "{text:?}");
        }
    }
}
