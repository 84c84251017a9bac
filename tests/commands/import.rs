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

const GOOD: &str = "\u{feff}key, org, feature, quantity, used_at, user
k1,acme,SMS_sent,1.5,2026-05-01T10:00:00+02:00,ann@ACME.example

k2,11111111-1111-1111-1111-111111111111,scrapes,-2,2026-05-02T00:00:00Z,
,bolt,scrapes,3,2026-05-03T00:00:00Z,
\"k,4\",bolt,scrapes,4,2026-05-04T00:00:00Z,
k1,acme,sms_sent,9,2026-05-05T00:00:00Z,
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
        (3, "there is no org `acne`"),
        (4, "there is no feature `faxes`"),
        (5, "has more than 6 decimals"),
        (6, "a quantity of 0 says nothing"),
        (7, "`yesterday` is no instant"),
        (8, "lies in the future"),
        (9, "there is no user `ann@acme.example` in `bolt`"),
        (10, "it has 3 fields, and the heading 6"),
        (11, "it is not text in UTF-8"),
        (12, "is no decimal number"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for ((line, why), (expected_line, part)) in told.iter().zip(expected) {
        assert!(*line == expected_line && why.contains(part), "{line}: {why}");
    }
    assert!(refused.stderr.contains("nothing was imported"), "{}", refused.stderr);
    assert_eq!(import.metrics().await, Vec::<String>::new());

    import.import(BAD, &["--dry-run"]).exits(3);
    let skipped = import.import(BAD, &["--skip-bad"]).exits(4).json();
    assert_eq!((&skipped["imported"], &skipped["bad"]), (&json!(1), &json!(10)));
    assert_eq!(import.metrics().await, ["acme sms_sent 1 2026-05-01T00:00:00Z - -"]);
}

#[tokio::test]
async fn a_file_that_is_none_is_refused_in_one_sentence() {
    let import = Import::new().await;
    for (text, sentence) in [
        ("org,feature,quantity\n", "the column `used_at` is missing"),
        ("org,feature,quantity,used_at,colour\n", "there is no column `colour`"),
        ("org,feature,quantity,used_at,org\n", "the column `org` stands there twice"),
        ("", "the column `org` is missing"),
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
    import.test.periodd(&["rollover", "--at", "2026-05-20T00:00:00Z"]).exits(0);
    import.test.periodd(&["rollover", "--at", "2026-06-02T00:00:00Z"]).exits(0);
    let closed = "select used from billing_period_usage order by used";
    assert_eq!(import.test.rows(closed).await, ["12500", "12500"]);
    import.test.check_invariants().await;
}
