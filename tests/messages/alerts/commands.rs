//! The commands, as a person types them.
#![allow(clippy::unwrap_used, reason = "helpers of tests, outside the functions clippy excuses")]

use crate::alerts::story::{FEATURE, NOON, ORG, Story};

const AT: [&str; 2] = ["--at", NOON];

fn with_at<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&AT[..], arguments].concat()
}

async fn in_directory() -> (Story, tempfile::TempDir) {
    let story = Story::new().await;
    let mail = tempfile::tempdir().unwrap();
    story.test.configure(&format!("[mail]\ndirectory = \"{}\"\n", mail.path().display()));
    (story, mail)
}

fn emls(mail: &tempfile::TempDir) -> Vec<String> {
    let files = std::fs::read_dir(mail.path()).unwrap().map(|file| file.unwrap().path());
    let emls = files.filter(|path| path.extension().is_some_and(|e| e == "eml"));
    emls.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[tokio::test]
async fn run_looks_for_alerts_and_sends_what_is_due_before_it_exits() {
    let (story, mail) = in_directory().await;
    let answer = story.test.periodd(&with_at(&["alerts", "run"])).exits(0);
    assert_eq!(answer.stdout, "no threshold was newly crossed\n");
    story.uses("570").await;
    let answer = story.test.periodd(&with_at(&["alerts", "run"])).exits(0);
    assert_eq!(answer.stdout, "1 alert, 1 email queued\n1 email sent\n");
    let [eml] = &emls(&mail)[..] else { panic!("one email") };
    assert!(eml.contains("X-Periodd-Threshold: 90\r\n"), "{eml}");
    assert!(eml.contains("To: billing@acme.example\r\n"), "{eml}");

    let answer = story.test.periodd(&["--format", "json", "alerts", "list"]).exits(0).json();
    let email = &answer["emails"][0];
    assert_eq!((&email["state"], &email["threshold"]), (&"sent".into(), &90.into()));
    let message_id = email["message_id"].as_str().unwrap();
    assert!(eml.contains(&format!("Message-ID: <{message_id}>")), "{eml}");

    // Once more: the same message.
    let id = email["id"].as_str().unwrap();
    std::fs::remove_dir_all(mail.path()).unwrap();
    story.test.periodd(&with_at(&["alerts", "resend", id])).exits(0);
    assert_eq!(&emls(&mail)[0], eml);
    let list = story.test.periodd(&["alerts", "list", "--state", "sent"]).exits(0).stdout;
    assert!(list.contains("billing@acme.example"), "{list}");
    let nobody = "00000000-0000-0000-0000-000000000001";
    let refused = story.test.periodd(&with_at(&["alerts", "resend", nobody])).exits(2);
    assert!(refused.stderr.contains("there is no email"), "{}", refused.stderr);
}

#[tokio::test]
async fn what_cannot_be_sent_before_the_period_ends_is_given_up_and_listed() {
    let (story, mail) = in_directory().await;
    story.uses_and_passes("570").await;
    let late = ["--at", "2026-06-01T00:00:00Z", "alerts", "run"];
    let answer = story.test.periodd(&late).exits(4);
    assert!(answer.stdout.contains("1 email given up because the period has ended"));
    story.test.periodd(&late).exits(0);
    assert!(emls(&mail).is_empty());
    let listed = story.test.periodd(&["alerts", "list", "--state", "given_up"]).exits(0).stdout;
    assert!(listed.contains("the period ended before it could be sent"), "{listed}");
    // A person may still mean it.
    let id = story.test.rows("select id from periodd_outbox").await.pop().unwrap();
    story.test.periodd(&["--at", "2026-06-01T00:00:00Z", "alerts", "resend", &id]).exits(0);
    assert_eq!(emls(&mail).len(), 1);
}

#[tokio::test]
async fn preview_writes_and_sends_nothing() {
    let (story, mail) = in_directory().await;
    story.uses("480").await;
    story
        .test
        .sql(&format!(
            "insert into usage_metrics (organization_id, metric_type, metric_value, created_at,
                                        counted_at)
             select id, '{FEATURE}', 20, d, now() from organizations,
                    generate_series(timestamptz '2026-04-12Z', '2026-04-30Z', '1 day') d;
             insert into pack_offers (code, feature, quantity, price_cents)
             values ('minutes-300', '{FEATURE}', 300, 1900)"
        ))
        .await;
    let text = story.test.periodd(&with_at(&["alerts", "preview", "acme"])).exits(0).stdout;
    assert!(text.starts_with("To: billing@acme.example\nSubject: "), "{text}");
    assert!(text.contains("480") && text.contains("600"), "{text}");
    assert!(text.contains("minutes-300") || text.contains("19.00"), "{text}");
    let html = story.test.periodd(&with_at(&["alerts", "preview", "acme", "--html"])).exits(0);
    assert!(html.stdout.trim_start().to_lowercase().starts_with("<!doctype html"), "{html:?}");
    let json = ["--format", "json", "alerts", "preview", "acme", "--threshold", "100"];
    let json = story.test.periodd(&with_at(&json)).exits(0).json();
    assert_eq!(json["threshold"], 100);
    assert!(emls(&mail).is_empty() && story.alerts().await.is_empty());
    for (arguments, said) in [
        (&["alerts", "preview", "acne"][..], "did you mean `acme`?"),
        (&["alerts", "preview", "acme", "--feature", "sms"], "has neither usage of `sms`"),
    ] {
        let refused = story.test.periodd(&with_at(arguments)).exits(2).stderr;
        assert!(refused.contains(said), "{refused}");
    }
}

#[tokio::test]
async fn preview_goes_by_the_basis_and_the_thresholds_that_hold_for_the_org() {
    let (story, _mail) = in_directory().await;
    story
        .test
        .sql(&format!(
            "select grant_overage_pack('{ORG}', '{FEATURE}', 300, null, null, '2026-05-02Z')"
        ))
        .await;
    story.uses("570").await;
    let preview = || {
        let arguments = ["--format", "json", "alerts", "preview", "acme"];
        story.test.periodd(&with_at(&arguments)).exits(0).json()
    };
    assert_eq!(preview()["threshold"], 80, "570 of 900: the first that will be told");
    let own = |columns: &str| format!("insert into org_alert_settings {columns}");
    story.test.sql(&own(&format!("(org_id, basis) values ('{ORG}', 'included')"))).await;
    let email = preview();
    assert_eq!(email["threshold"], 90, "570 of 600");
    assert!(email["subject"].as_str().unwrap().contains("95%"), "{email}");
    let own =
        own(&format!("(org_id, feature, thresholds) values ('{ORG}', '{FEATURE}', '{{55,99}}')"));
    story.test.sql(&own).await;
    assert_eq!(preview()["threshold"], 55);
    story.test.sql("delete from org_alert_settings").await;
    story.test.configure("[alerts]\nbasis = \"included\"\n");
    assert_eq!(preview()["threshold"], 90, "570 of 600");
    let none =
        format!("insert into org_alert_settings (org_id, thresholds) values ('{ORG}', '{{}}')");
    story.test.sql(&none).await;
    let refused = story.test.periodd(&with_at(&["alerts", "preview", "acme"])).exits(2).stderr;
    assert!(refused.contains("acme has no thresholds for minutes_transcribed"), "{refused}");
    let asked = ["alerts", "preview", "acme", "--threshold", "90"];
    story.test.periodd(&with_at(&asked)).exits(0);
}

#[tokio::test]
async fn test_sends_one_or_says_why_not() {
    let (story, mail) = in_directory().await;
    story.test.periodd(&["alerts", "test", "me@example.com"]).exits(0);
    assert_eq!(emls(&mail).len(), 1);
    let refused =
        story.test.periodd(&["alerts", "test", "me@example.com,you@example.com"]).exits(2);
    assert!(refused.stderr.contains("comma"), "{}", refused.stderr);
    let down = format!(
        "[database]\nurl = \"{}\"\n[mail]\ntransport = \"smtp\"\nfrom = \"a@example.com\"\n\
         [mail.smtp]\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\n",
        story.test.url()
    );
    let arguments = ["alerts", "test", "me@example.com"];
    story.test.periodd_configured(&down, &arguments).exits(69);
    // An email waits for the server to come back; nothing is given up.
    story.uses("570").await;
    let config = format!("{down}\n").replace("[mail]", "sandbox = true\n[mail]");
    let answer = story.test.periodd_configured(&config, &with_at(&["alerts", "run"])).exits(69);
    assert!(answer.stdout.contains("1 email to be retried"), "{}", answer.stdout);
    let none =
        format!("[database]\nurl = \"{}\"\n[mail]\ntransport = \"none\"\n", story.test.url());
    story.test.periodd_configured(&none, &arguments).exits(5);
}
