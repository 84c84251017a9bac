//! Orgs that are set aside: each with a code, by hand or by periodd, and taken back one by one or
//! together.

use crate::support::{Answer, TestDatabase};

fn run(test: &TestDatabase, line: &str) -> Answer {
    test.periodd(&line.split_whitespace().collect::<Vec<_>>())
}

const NOW: &str = "2026-05-16T12:00:00Z";

async fn three_orgs() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.configure("[daemon]\nstate_dir = \"/nowhere/periodd\"\n");
    for slug in ["acme", "bolt", "cork"] {
        run(&test, &format!("orgs add {slug} --name Org --zone UTC --at {NOW}")).exits(0);
    }
    test
}

#[tokio::test]
async fn each_kind_of_fault_has_its_code() {
    for (fault, code) in [
        (
            "time_zone = 'Mars/Phobos', current_period_start = '2026-04-01Z',
          current_period_end = '2026-05-01Z'",
            "unknown_zone",
        ),
        (
            "cycle = 'weekly', anchor_day = 12, current_period_start = '2026-04-01Z',
          current_period_end = '2026-05-01Z'",
            "invalid_cycle",
        ),
        ("current_period_end = current_period_start", "inverted_period"),
    ] {
        let test = three_orgs().await;
        test.sql(&format!("update organizations set {fault} where slug = 'bolt'")).await;
        let report = run(&test, &format!("rollover --at {NOW} --format json")).exits(4).json();
        assert_eq!(report["parked"][0]["code"], code);
        let codes = "select slug, parked_code from organizations order by 1";
        let bolt = format!("bolt {code}");
        assert_eq!(test.rows(codes).await, ["acme -", bolt.as_str(), "cork -"]);
    }
}

#[tokio::test]
async fn an_org_that_a_person_parked_is_a_note_and_no_problem() {
    let test = three_orgs().await;
    run(&test, &format!("orgs park bolt --reason moving --at {NOW}")).exits(0);
    let status = run(&test, &format!("status --at {NOW} --format json")).exits(0).json();
    let findings = status["findings"].as_array().expect("findings");
    let parked = findings.iter().find(|finding| finding["check"] == "parked_by_hand");
    let parked = parked.expect("it is told");
    assert_eq!(parked["severity"], "note");
    let mend = parked["mend"].as_str().expect("a command");
    assert_eq!(test.plain(mend), "periodd orgs unpark bolt");
    let explained = run(&test, &format!("explain bolt --at {NOW} --format json")).exits(0).json();
    assert_eq!(explained["org"]["parked_code"], "by_hand");
    assert_eq!(explained["findings"][0]["severity"], "note");
    run(&test, "orgs unpark bolt").exits(0);
    let left = "select count(*) from organizations where parked_code is not null";
    assert_eq!(test.rows(left).await, ["0"]);
}

#[tokio::test]
async fn orgs_that_one_cause_parked_are_taken_back_together() {
    let test = three_orgs().await;
    run(&test, &format!("orgs park acme --reason moving --at {NOW}")).exits(0);
    test.sql(
        "update organizations set parked_at = now(), parked_reason = 'why', parked_code = 'halted'
         where slug <> 'acme'",
    )
    .await;
    // More than one org: a person has to mean it.
    let asked = run(&test, "orgs unpark --all").exits(5);
    assert!(asked.stderr.contains("by_hand: 1"), "{}", asked.stderr);
    assert!(asked.stderr.contains("halted: 2"), "{}", asked.stderr);
    let parked = "select slug from organizations where parked_at is not null order by 1";
    assert_eq!(test.rows(parked).await, ["acme", "bolt", "cork"]);
    let answer = run(&test, "orgs unpark --all --code halted --yes --format json").exits(0).json();
    assert_eq!(answer["unparked"][0]["slug"], "bolt");
    assert_eq!(answer["unparked"][1]["code"], "halted");
    assert_eq!(test.rows(parked).await, ["acme"]);
    run(&test, "orgs unpark --all").exits(0);
    assert!(test.rows(parked).await.is_empty());
    run(&test, "orgs unpark --all").exits(0);
    // What cannot be meant is said.
    run(&test, "orgs unpark").exits(2);
    run(&test, "orgs unpark acme --all").exits(2);
    let unknown = run(&test, "orgs unpark --all --code halt").exits(2);
    assert!(unknown.stderr.contains("halted"), "{}", unknown.stderr);
}

#[tokio::test]
async fn an_org_parked_at_an_instant_that_cannot_be_read_is_listed_and_taken_back() {
    let test = three_orgs().await;
    test.sql(
        "alter table organizations drop constraint organizations_parked_at_range;
         update organizations set parked_at = 'infinity', parked_reason = 'odd', parked_code = 'gap'
         where slug = 'bolt'",
    )
    .await;
    let status = run(&test, &format!("status --at {NOW}")).exits(3).stdout;
    assert!(status.contains("bolt has been parked since ?: odd"), "{status}");
    run(&test, "orgs unpark bolt").exits(0);
    assert_eq!(test.rows("select count(parked_at) from organizations").await, ["0"]);
}
