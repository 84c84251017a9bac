//! The flows that are broken off: a name, what there is to do, and the command that does it.

use std::process::Command;

use super::{http, receiver};
use crate::support::{Answer, TestDatabase};

/// A flow.
pub(super) struct Flow {
    pub(super) name: &'static str,
    /// The command, word by word; empty for what is asked of the HTTP server.
    command: &'static str,
    /// What stands in the database before it, beside [`BASE`].
    sql: &'static str,
    /// Settings besides those of every test.
    settings: &'static str,
    /// Lets leases of the dead run out.
    pub(super) time_passes: &'static str,
    /// Exit codes of a run that was broken off, besides 0 and 69.
    pub(super) may_exit: &'static [i32],
    /// What it prints is what it is for.
    pub(super) has_output: bool,
    /// What its closes draw and leave uncovered, where that is what it is for.
    pub(super) closes: &'static [&'static str],
    /// The invariants hold after it alone: a restart leaves ends that a rollover has yet to
    /// compute, and an audit begins with what does not hold.
    pub(super) has_loose_ends: bool,
    /// It begins without a schema.
    is_empty: bool,
}

/// An org that missed May and June, with everything that a rollover can have to do: metrics that
/// nobody has counted, some of a user's, a pack that expires in May, one that does not pay for all
/// of June, one that lasts, one that an application inserted, a change of zone, and a tier to come.
const BASE: &str = "
    insert into tier_limits values ('pro', 'minutes_transcribed', 500),
                                   ('starter', 'minutes_transcribed', 100)
    on conflict (tier, feature) do update set included = excluded.included;
    insert into organizations (id, slug, name, time_zone, subscription_tier, current_period_start,
                               current_period_end)
    values ('00000000-0000-4000-8000-00000000000a', 'acme', 'Acme', 'Asia/Tokyo', 'pro',
            '2026-04-30T15:00:00Z', '2026-05-31T15:00:00Z');
    insert into users (id, organization_id, email, usage_this_month)
    select '00000000-0000-4000-8000-000000000001', id, 'ada@example.org', 7 from organizations;
    select grant_overage_pack(id, 'minutes_transcribed', 50, 'may', '2026-05-20', '2026-05-04')
    from organizations;
    select grant_overage_pack(id, 'minutes_transcribed', 300, 'lasts', null, '2026-05-04')
    from organizations;
    insert into overage_packs (id, org_id, feature, quantity, purchased_at, expires_at, reference)
    select '00000000-0000-4000-8000-0000000000b1', id, 'minutes_transcribed', 90, '2026-05-05',
           '2026-09-01', 'september' from organizations;
    select record_usage(id, 'minutes_transcribed', 480, null, '2026-05-10') from organizations;
    insert into usage_metrics (organization_id, user_id, metric_type, metric_value, created_at)
    select o.id, u.id, m.feature, m.value, m.at
    from organizations o, users u,
         (values ('minutes_transcribed', 40, timestamptz '2026-05-15'),
                 ('Minutes_Transcribed', 60, '2026-05-25'), ('scrapes', 3, '2026-05-26'),
                 ('minutes_transcribed', 333.25, '2026-06-10'),
                 ('scrapes', 5, '2026-07-01T12:00Z')) as m (feature, value, at);
";

/// A calendar that changes, and a tier to come.
const CHANGES: &str = "
    update organizations set time_zone = 'America/New_York', next_subscription_tier = 'starter'";

/// Everything is closed, and then more comes: within the grace, and back.
const LATE: &str = "
    select record_usage(id, 'minutes_transcribed', 77, null, '2026-05-11', 'late 1')
    from organizations;
    select record_usage(id, 'scrapes', 2, '00000000-0000-4000-8000-000000000001', '2026-06-11')
    from organizations;
    select record_usage(id, 'minutes_transcribed', -30, null, '2026-06-12') from organizations;
    insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
    select id, 'minutes_transcribed', 11, '2026-06-13' from organizations";

/// A counter and two copies that are wrong.
const DRIFT: &str = "
    update usage_counters set used = used + 9 where feature = 'scrapes';
    update usage_counters set used = used - 1 where feature = 'minutes_transcribed';
    update organizations set used_minutes = 4711, overage_minutes = overage_minutes + 5;
    update users set usage_this_month = 99";

/// Usage close to the limit in the open period.
const NEAR: &str = "
    select record_usage(id, 'minutes_transcribed', 640, null, '2026-07-01T20:00Z')
    from organizations";

const FLOW: Flow = Flow {
    name: "",
    command: "",
    sql: "",
    settings: "",
    time_passes: "",
    may_exit: &[],
    has_output: false,
    closes: &[],
    has_loose_ends: false,
    is_empty: false,
};

/// All of them. What is prepared by `periodd` itself is told by the first word of `sql`.
pub(super) const FLOWS: &[Flow] = &[
    Flow {
        name: "rollover",
        command: "--at 2026-07-02T00:00:00Z rollover",
        sql: CHANGES,
        settings: "[rollover]\nconnections = 1\n",
        closes: &["0 3", "80 0", "233.25 0"],
        ..FLOW
    },
    Flow {
        name: "restart",
        command: "--at 2026-07-02T00:00:00Z rollover",
        sql: "update organizations set next_period_ends =
                  array[timestamptz '2026-06-30T15:00Z', '2026-07-31T15:00Z', '2026-08-31T15:00Z'];
              select restart_billing_cycle(id, 'pro', 'evt_1', '2026-06-20T10:00:00Z')
              from organizations",
        settings: "[rollover]\nconnections = 1\n",
        has_loose_ends: true,
        ..FLOW
    },
    Flow {
        name: "catch-up",
        command: "--at 2027-09-15T00:00:00Z rollover",
        sql: CHANGES,
        settings: "[rollover]\nconnections = 1\nmax_periods_per_pass = 2\n",
        ..FLOW
    },
    Flow {
        name: "early",
        command: "--at 2026-07-02T00:00:00Z --yes rollover --org acme --early",
        sql: "closed",
        settings: "[rollover]\nconnections = 1\n",
        ..FLOW
    },
    Flow { name: "sync", command: "--at 2026-05-28T00:00:00Z sync", ..FLOW },
    Flow {
        name: "audit",
        command: "--at 2026-07-03T00:00:00Z sync --full --force",
        sql: "closed drift",
        has_loose_ends: true,
        ..FLOW
    },
    Flow { name: "late", command: "--at 2026-07-03T00:00:00Z sync", sql: "closed late", ..FLOW },
    Flow {
        name: "alerts",
        command: "--at 2026-07-02T00:00:00Z alerts run",
        sql: "closed near",
        settings: "[mail]\ntransport = \"none\"\n",
        ..FLOW
    },
    Flow {
        name: "deliver",
        command: "--at 2026-07-02T00:00:00Z alerts run",
        sql: "closed near",
        settings: "[mail]\ntransport = \"directory\"\n",
        time_passes: "update periodd_outbox
                      set leased_until = leased_until - interval '1 day',
                          next_attempt_at = next_attempt_at - interval '1 day'
                      where state = 'due'",
        // Emails that have to wait.
        may_exit: &[4],
        ..FLOW
    },
    Flow {
        name: "webhooks",
        command: "--at 2026-07-02T00:00:00Z alerts run",
        sql: "closed hooks near",
        settings: "[mail]\ntransport = \"none\"\n",
        time_passes: "update periodd_webhook_outbox
                      set leased_until = leased_until - interval '1 day',
                          next_attempt_at = next_attempt_at - interval '1 day'
                      where state = 'due';
                      update periodd_listeners set rests_until = rests_until - interval '1 day'",
        may_exit: &[4],
        ..FLOW
    },
    Flow {
        name: "import",
        command: "--at 2026-07-02T00:00:00Z usage import FILE",
        sql: "closed",
        // The lines are imported, and their counters are not synced yet: it says so.
        may_exit: &[2],
        ..FLOW
    },
    Flow {
        name: "export",
        command: "--at 2026-07-03T00:00:00Z export closes --hand-over july --format jsonl",
        sql: "closed",
        has_output: true,
        ..FLOW
    },
    Flow { name: "http batch", sql: "closed", ..FLOW },
    Flow { name: "migrate", command: "db migrate", is_empty: true, ..FLOW },
];

impl Flow {
    /// A database with what there is to do.
    pub(super) async fn prepare(&self) -> TestDatabase {
        if self.is_empty {
            return TestDatabase::empty().await;
        }
        let test = TestDatabase::new().await;
        test.sql(BASE).await;
        let is_closed = self.sql.starts_with("closed");
        if !is_closed {
            test.sql(self.sql).await;
            return test;
        }
        test.sql(CHANGES).await;
        test.periodd(&["--at", "2026-07-02T00:00:00Z", "rollover"]).exits(0);
        test.periodd(&["--at", "2026-07-02T00:00:00Z", "sync"]).exits(0);
        if self.command.is_empty() {
            http::prepare(&test);
        }
        for word in self.sql.split(' ').skip(1) {
            match word {
                "late" => test.sql(LATE).await,
                "drift" => test.sql(DRIFT).await,
                "near" => test.sql(NEAR).await,
                "hooks" => {
                    let directory = tempfile::tempdir().expect("a directory");
                    let file = directory.path().join("hooks.toml");
                    let url = test.url();
                    let text = format!("[database]\nurl = \"{url}\"\nsandbox = true\n{}", hooks());
                    std::fs::write(&file, text).expect("a file");
                    let file = file.to_str().expect("a path");
                    let mut apply = Command::new(env!("CARGO_BIN_EXE_periodd"));
                    apply.args(["--config", file, "webhooks", "apply"]).env("SECRET", SECRET);
                    let done = apply.output().expect("the binary runs");
                    assert!(done.status.success(), "{done:?}");
                }
                other => panic!("nothing is called {other}"),
            }
        }
        test
    }

    /// The invariants, where there is a schema.
    pub(super) async fn check_invariants(&self, test: &TestDatabase) {
        let orgs = "select from information_schema.tables where table_name = 'organizations'";
        if !self.is_empty || test.rows(orgs).await.len() == 1 {
            test.check_invariants().await;
        }
    }

    pub(super) fn settings(&self) -> String {
        let hooks = if self.name == "webhooks" { hooks() } else { String::new() };
        format!("{}{hooks}", self.settings)
    }

    /// Runs it on a test's database, which is reached by a URL.
    pub(super) async fn run(&self, test: &TestDatabase, url: &str) -> Answer {
        if self.command.is_empty() {
            return http::post(test, url).await;
        }
        let mut command = tokio::process::Command::from(self.command(test));
        command.env("PERIODD__DATABASE__URL", url);
        Answer::from(command.output().await.expect("the binary runs"))
    }

    fn command(&self, test: &TestDatabase) -> Command {
        let file = test.config().with_file_name("usage.csv");
        if self.command.contains("FILE") && !file.exists() {
            std::fs::write(&file, USAGE).expect("a file");
        }
        let file = file.display().to_string();
        let words = self.command.split(' ').map(|word| if word == "FILE" { &*file } else { word });
        let mut command = test.command(&words.collect::<Vec<_>>());
        command.env("SECRET", SECRET);
        command.env("PERIODD__MAIL__DIRECTORY", test.config().with_file_name("mail"));
        command
    }
}

fn hooks() -> String {
    format!(
        "[[webhooks]]\nname = \"app\"\nurl = \"{}\"\nsecret_env = \"SECRET\"\n",
        receiver::url()
    )
}

/// Of 32 bytes.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

const USAGE: &str = "org,feature,quantity,used_at,key
acme,minutes_transcribed,12.5,2026-07-01T21:00:00Z,line-1
acme,scrapes,3,2026-07-01T22:00:00Z,line-2
acme,minutes_transcribed,4,2026-06-20T00:00:00Z,line-3
";
