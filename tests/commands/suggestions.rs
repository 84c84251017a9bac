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
        ("zerba", "unknown org `zerba`; did you mean `zebra`?"),
        ("ebra", "unknown org `ebra`; did you mean `zebra`?"),
        ("xebra", "unknown org `xebra`; did you mean `zebra`?"),
        ("zebra-lab", "unknown org `zebra-lab`; did you mean `zebra-labs`?"),
        ("zebra-labor", "unknown org `zebra-labor`; did you mean `zebra-labs` or `zebra`?"),
        ("org-1234", "did you mean `org-"),
        ("pineapple", "unknown org `pineapple`; `periodd orgs list` shows them all"),
    ] {
        let answer = test.periodd(&["orgs", "show", typed]).exits(2);
        let said = test.plain(&answer.stderr);
        assert!(said.contains(sentence), "{typed}: {said}");
    }
}
