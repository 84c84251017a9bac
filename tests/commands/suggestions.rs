//! A misspelt org among many is recognised, in a bounded number of looks into an index.

use crate::support::TestDatabase;

#[tokio::test]
async fn one_slip_is_recognised_among_many_orgs() {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into organizations (slug, name, time_zone)
         select 'org-' || i, 'Org', 'UTC' from generate_series(10000, 40000) as i;
         insert into organizations (slug, name, time_zone)
         values ('zebra', 'Z', 'UTC'), ('zebra-labs', 'Z', 'UTC'), ('Bolt.io', 'B', 'UTC')",
    )
    .await;
    for (typed, sentence) in [
        ("zerba", "there is no org `zerba`; did you mean `zebra`?"),
        ("ebra", "there is no org `ebra`; did you mean `zebra`?"),
        ("xebra", "there is no org `xebra`; did you mean `zebra`?"),
        ("zebra-lab", "there is no org `zebra-lab`; did you mean `zebra-labs`?"),
        ("zebra-labor", "there is no org `zebra-labor`; did you mean `zebra-labs` or `zebra`?"),
        ("org-1234", "did you mean `org-"),
        ("pineapple", "there is no org `pineapple`; `periodd orgs list` shows them all"),
    ] {
        let answer = test.periodd(&["orgs", "show", typed]).exits(2);
        assert!(answer.stderr.contains(sentence), "{typed}: {}", answer.stderr);
    }
}
