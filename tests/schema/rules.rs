//! A rule as a query that lists what breaks it, and as a fault that it finds when it is planted.

use crate::support::TestDatabase;

/// A rule of the schema.
pub(crate) struct Rule {
    /// One row, a sentence, for everything that breaks the rule.
    pub(crate) query: String,
    /// Each breaks the rule in one way, and the sentence that then stands there.
    pub(crate) faults: &'static [(&'static str, &'static str)],
}

impl Rule {
    /// Nothing breaks the rule, and every planted fault is found, and nothing else.
    pub(crate) async fn holds(self) {
        let test = TestDatabase::new().await;
        let broken = test.rows(&self.query).await;
        assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
        for (fault, sentence) in self.faults {
            let planted = TestDatabase::new().await;
            planted.sql(fault).await;
            assert_eq!(planted.rows(&self.query).await, [*sentence], "{fault}");
        }
    }
}
