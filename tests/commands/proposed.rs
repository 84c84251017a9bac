//! Every command that is proposed works as it is printed. Each check of the catalogue has a fixture
//! that makes its finding; what is proposed is pasted into a shell, or into psql, word for word, in
//! another directory and without the environment of the command that proposed it; and then the
//! finding is gone. [`fixture`] matches on the catalogue: a check without a fixture does not
//! compile.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use periodd::jobs::doctor;
use periodd::jobs::finding::{Check, Finding, Mend};
use periodd::jobs::status::{self, Disk, Surroundings};
use periodd::store::reports::doctor::Reach;
use periodd::tz::TzData;
use serde_json::Value;

use crate::support::{TestDatabase, at};

const NOW: &str = "2026-05-16T12:00:00Z";

/// Which command finds it.
#[derive(Clone, Copy)]
enum Look {
    Status,
    Doctor,
    Explain,
}

/// What a person does, where what is proposed is advice.
#[derive(Clone, Copy)]
enum Person {
    /// Nothing has to be done first.
    Nothing,
    Sql(&'static str),
    /// For a shell; `$DIR` is the directory of the configuration.
    Shell(&'static str),
}

/// What is proposed.
#[derive(Clone, Copy)]
enum Proposed {
    /// A command, executed.
    Command,
    /// A command that starts a daemon, which is stopped once the finding is gone.
    Daemon,
    /// A statement, executed.
    Sql,
    /// Advice, followed by this, and then the commands after it, if any, executed.
    Advice(Person),
    /// Nothing: it is only good to know.
    Nothing,
}

/// How a finding comes about.
enum Made {
    /// By commands of periodd's, lines of the configuration, and SQL, in this order.
    Database { commands: &'static [&'static str], config: &'static str, sql: &'static str },
    /// With a daemon that runs, and whose configuration changes.
    ConfigChanged,
    /// By a session that holds a lock for so long.
    Blocked,
    /// By files, written by a shell; `$DIR` is the directory of the configuration.
    Files(&'static str),
    /// By what is known besides the database: no command of ours changes it.
    Around(Box<dyn Fn() -> Surroundings + Send + Sync>),
    /// As a value: what it takes is not on this machine.
    Value(Vec<Finding>),
}

struct Fixture {
    look: Look,
    at: &'static str,
    made: Made,
    proposed: Proposed,
}

fn found_by(look: Look, proposed: Proposed, sql: &'static str) -> Fixture {
    let made = Made::Database { commands: &[], config: "", sql };
    Fixture { look, at: NOW, made, proposed }
}

/// Acme is on a tier with 10 messages, and has a pack of which 5 are left. 13 were used in May.
async fn acme() -> TestDatabase {
    let test = TestDatabase::new().await;
    let directory = test.config().parent().expect("a directory").to_owned();
    std::fs::create_dir(directory.join("state")).expect("a directory");
    test.configure(&format!(
        "[daemon]\nstate_dir = \"{0}/state\"\n[mail]\ndirectory = \"{0}/mail\"\n",
        directory.display()
    ));
    shell(&directory, "chmod 600 $DIR/periodd.toml").expect("its mode is set");
    test.sql(
        "insert into tier_limits values ('pro', 'sms_sent', 10), ('pro', 'minutes_transcribed', 9)",
    )
    .await;
    let run = |line: &str| {
        let line = format!("--at {NOW} {line}");
        test.periodd(&line.split_whitespace().collect::<Vec<_>>()).exits(0);
    };
    let start = "2026-03-31T22:00:00Z";
    run(&format!(
        "orgs add acme --name Acme --zone Europe/Berlin --tier pro --period-start {start}"
    ));
    test.sql(
        "insert into users (organization_id, email)
         select id, 'ann@acme.example' from organizations",
    )
    .await;
    let grant = "packs grant --org acme --feature sms_sent --quantity 10 --reference r";
    run(&format!("{grant} --purchased-at 2026-04-02T00:00:00Z"));
    let record = "usage record --org acme --feature sms_sent --quantity";
    run(&format!("{record} 15 --used-at 2026-04-12T09:00:00Z"));
    run("rollover");
    run(&format!("{record} 13 --used-at 2026-05-05T09:00:00Z"));
    run("sync --full");
    test
}

#[expect(clippy::too_many_lines, reason = "the catalogue")]
fn fixture(check: Check) -> Fixture {
    use Look::{Doctor, Explain, Status};
    use Person::{Nothing as AsIs, Shell, Sql};
    use Proposed::{Advice, Nothing};
    /// A schedule that stands there.
    const LATE: &str = "insert into periodd_schedules (job, trigger, seed, settled)
                        values ('rollover', 'schedule', 1, '2026-05-16T09:00Z')";
    const FAULTY: &str = "update periodd_outbox set state = 'due', settled_at = null,
                              recorded_at = now() - interval '1 minute',
                              next_attempt_at = now() + interval '5 hours', answer = '535 no', ";
    let emails = |look, proposed, sql| {
        let made = Made::Database { commands: &["alerts run"], config: "", sql };
        Fixture { look, at: NOW, made, proposed }
    };
    let configured = |look, proposed, config| {
        let made = Made::Database { commands: &[], config, sql: "select" };
        Fixture { look, at: NOW, made, proposed }
    };
    match check {
        Check::Overdue => found_by(
            Status,
            Proposed::Command,
            "update organizations set current_period_end = '2026-05-10T22:00Z',
                 current_period_end_date = null, next_period_ends = null",
        ),
        Check::NoPeriod => found_by(
            Doctor,
            Proposed::Command,
            "update organizations set current_period_end = null",
        ),
        Check::Parked => found_by(
            Status,
            Advice(AsIs),
            "update organizations set parked_at = '2026-05-15Z', parked_reason = 'odd'",
        ),
        Check::ParkedByHand => found_by(
            Status,
            Proposed::Command,
            "update organizations set parked_at = '2026-05-15Z', parked_reason = 'odd',
                 parked_code = 'by_hand'",
        ),
        Check::OrgPaused => found_by(
            Status,
            Proposed::Command,
            "update organizations set paused_from = '2026-05-15Z', pause_reason = 'odd'",
        ),
        Check::Uncounted => found_by(
            Status,
            Proposed::Command,
            "insert into usage_metrics
                 (organization_id, metric_type, metric_value, created_at, recorded_at)
             select id, 'sms_sent', 1, '2026-05-16Z', '2026-05-16Z' from organizations",
        ),
        Check::DatedAhead => found_by(
            Status,
            Advice(Sql("update usage_metrics set created_at = '2026-05-10Z'
                        where created_at > '2028-01-01Z'")),
            "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             select id, 'sms_sent', 1, '2030-05-16Z' from organizations",
        ),
        Check::Drift => found_by(
            Doctor,
            Proposed::Command,
            "update usage_counters set used = used + 1 where period_start > '2026-04-15Z'",
        ),
        Check::DriftRepaired => found_by(
            Status,
            Advice(Sql("delete from periodd_drift")),
            "insert into periodd_drift (org_id, feature, period_start, place, before, after,
                                        difference, reason, found_at)
             select id, 'scrapes', '2026-05-01Z', 'usage_counters', 1, 2, 1, 'odd', now()
             from organizations",
        ),
        Check::EmailsGivenUp => {
            emails(Status, Proposed::Command, "update periodd_outbox set state = 'given_up'")
        }
        Check::EmailsExpired => emails(
            Status,
            Advice(Sql("delete from periodd_outbox")),
            "update periodd_outbox set state = 'given_up', period_end = '2026-05-10Z'
             where kind = 'threshold'",
        ),
        Check::EmailsLate => emails(
            Status,
            Proposed::Command,
            "update periodd_outbox set state = 'due', settled_at = null,
                 recorded_at = now() - interval '2 hours',
                 next_attempt_at = now() + interval '5 hours'",
        ),
        Check::NoRecipient => Fixture {
            look: Status,
            at: NOW,
            made: Made::Database {
                commands: &["orgs set acme --contact a@b.example", "alerts run"],
                config: "",
                sql: "delete from org_contacts; delete from users;
                      delete from periodd_outbox; update periodd_alerts set state = 'waiting'",
            },
            proposed: Advice(Sql("insert into org_contacts (org_id, email)
                                  select id, 'ann@acme.example' from organizations")),
        },
        Check::DeadAddress => found_by(
            Status,
            Advice(AsIs),
            "insert into periodd_suppressions (org_id, email, reason)
             select id, 'ann@acme.example', '550 no such user' from organizations",
        ),
        Check::UnusableAddress => found_by(
            Doctor,
            Advice(Sql("update users set email = 'ann@acme.example'")),
            "update users set email = 'ann at acme.example'",
        ),
        Check::MailSettings => Fixture {
            look: Doctor,
            at: NOW,
            made: Made::Files(
                "mkdir -p $DIR/t/alert; echo '{% if %}' >$DIR/t/alert/subject.txt
                 sed -i '/^directory/a templates_dir = \"t\"' $DIR/periodd.toml",
            ),
            proposed: Advice(Shell("rm $DIR/t/alert/subject.txt")),
        },
        Check::MailLogin => emails(Status, Advice(AsIs), const_text(FAULTY, "fault = 'login'")),
        Check::MailServer => emails(Status, Advice(AsIs), const_text(FAULTY, "fault = 'server'")),
        Check::MailRefused => emails(Status, Advice(AsIs), const_text(FAULTY, "fault = 'refused'")),
        Check::WebhookOff => found_by(
            Status,
            Proposed::Command,
            "insert into periodd_listeners (channel, name, switched_off_at)
             values ('webhook', 'app', now())",
        ),
        Check::WebhookLate => found_by(
            Status,
            Advice(Sql("delete from periodd_webhook_outbox")),
            "insert into periodd_listeners (channel, name) values ('webhook', 'app');
             insert into periodd_webhook_outbox (org_id, endpoint, event_id, kind, body,
                                                 recorded_at)
             select id, 'app', id, 'period.closed', '{}', now() - interval '2 hours'
             from organizations",
        ),
        Check::WebhooksGivenUp => found_by(
            Status,
            Proposed::Command,
            "insert into periodd_listeners (channel, name) values ('webhook', 'app');
             insert into periodd_webhook_outbox (org_id, endpoint, event_id, kind, body, state,
                                                 settled_at)
             select id, 'app', id, 'period.closed', '{}', 'given_up', now() from organizations",
        ),
        Check::Listeners => configured(Status, Proposed::Command, "[events]\nenabled = true\n"),
        Check::NoToken => configured(
            Doctor,
            Proposed::Command,
            "[http]\nenabled = true\nlisten = \"0.0.0.0:7788\"\n",
        ),
        Check::EndlessTokens => Fixture {
            look: Doctor,
            at: NOW,
            made: Made::Database {
                commands: &["tokens add backend --scope read", "tokens add ci --scope record"],
                config: "[http]\nenabled = true\n",
                sql: "select",
            },
            proposed: Advice(AsIs),
        },
        Check::UnsubscribeLinks => configured(
            Doctor,
            Advice(Shell(
                "sed -i '/^enabled/a public_url = \"https://acme.example\"' $DIR/periodd.toml",
            )),
            "[http]\nenabled = true\n",
        ),
        Check::Paused => found_by(
            Status,
            Proposed::Command,
            "insert into periodd_schedules (job, trigger, seed, settled, paused_at, pause_reason)
             values ('rollover', 'schedule', 1, '2026-05-16T11:59Z', '2026-05-16Z', 'moving')",
        ),
        Check::ReplicaVanished => found_by(
            Status,
            Proposed::Daemon,
            "insert into periodd_schedules (job, trigger, seed, settled, running, run_token,
                                            replica, lease_until)
             values ('rollover', 'schedule', 1, '2026-05-16T11:59Z', '2026-05-16T11:59Z', 1,
                     'web-1', '2020-01-01Z')",
        ),
        Check::DaemonStopped => found_by(
            Status,
            Proposed::Daemon,
            "insert into periodd_daemons (replica, version, started_at, seen_at)
             values ('web-1:7', '0', now() - interval '2 hours', now() - interval '1 hour')",
        ),
        Check::ConfigOutdated => Fixture {
            look: Status,
            at: NOW,
            made: Made::ConfigChanged,
            proposed: Proposed::Command,
        },
        Check::Late => found_by(Status, Proposed::Daemon, LATE),
        Check::NoDaemon => found_by(Status, Proposed::Daemon, "select"),
        Check::Failed => found_by(
            Status,
            Advice(AsIs),
            "insert into periodd_runs
                 (job, trigger, outcome, replica, started_at, finished_at, error)
             values ('rollover', 'command', 'failed', 'web-1', now(), now(), 'oh')",
        ),
        Check::OverTime => found_by(
            Status,
            Advice(Sql("update periodd_runs set outcome = 'failed', finished_at = now()
                        where job = 'sync' and outcome = 'running'")),
            "insert into periodd_schedules
                 (job, trigger, seed, settled, running, run_token, replica, lease_until)
             values ('sync', 'schedule', 1, now(), now(), 1, 'here:1', now() + interval '1 hour');
             insert into periodd_runs
                 (job, trigger, occurrence, outcome, replica, token, started_at)
             select 'sync', 'schedule', running, 'running', 'here:1', 1,
                    now() - interval '16 minutes'
             from periodd_schedules where job = 'sync'",
        ),
        Check::Blocked => {
            Fixture { look: Status, at: NOW, made: Made::Blocked, proposed: Proposed::Sql }
        }
        Check::ClockHeld => Fixture {
            look: Status,
            at: NOW,
            made: Made::Database {
                commands: &["alerts run"],
                config: "",
                sql: "update periodd_clocks set database_at = database_at - interval '3 hours'",
            },
            proposed: Advice(AsIs),
        },
        Check::ClockSkew => around(|| {
            let host_clock = Some(at("2020-01-01T00:00:00Z"));
            Surroundings { host_clock, ..well() }
        }),
        Check::SettledAhead => found_by(
            Status,
            Proposed::Daemon,
            "insert into periodd_schedules (job, trigger, seed, settled)
             values ('rollover', 'schedule', 1, now() + interval '40 days')",
        ),
        Check::RunsAhead => found_by(
            Status,
            Advice(Sql("delete from periodd_runs where replica = 'web-1'")),
            "insert into periodd_runs (job, trigger, outcome, replica, started_at, finished_at)
             values ('rollover', 'command', 'done', 'web-1', now(), now() + interval '40 days')",
        ),
        Check::StaleTz => found_by(
            Status,
            Advice(Sql("delete from periodd_facts where name = 'tzdb_release'")),
            "insert into periodd_facts values ('tzdb_release', '2999z')
             on conflict (name) do update set value = excluded.value",
        ),
        Check::ReadOnly => found_by(
            Status,
            Advice(Sql("set transaction read write;
                        do $$ begin
                            execute format('alter database %I reset default_transaction_read_only',
                                           current_database());
                        end $$")),
            "do $$ begin
                 execute format('alter database %I set default_transaction_read_only = on',
                                current_database());
             end $$",
        ),
        Check::ZoneMonths => Fixture {
            at: "2026-12-16T12:00:00Z",
            ..found_by(
                Status,
                Proposed::Command,
                "update periodd_zone_months set starts = starts[1:3] where time_zone = 'UTC'",
            )
        },
        Check::ColumnLeftOut => Fixture {
            look: Status,
            at: NOW,
            made: Made::Database {
                commands: &[],
                config: "[[sync.derived]]\ntable = \"shop.accounts\"\ncolumn = \"minutes\"\n\
                         key = \"org\"\nfeature = \"sms_sent\"\nscope = \"org\"\n\
                         quantity = \"used\"\n",
                sql: "do $$ begin
                          create role proposed_shop;
                      exception when duplicate_object then null; end $$;
                      create schema shop authorization proposed_shop;
                      create table shop.accounts (org uuid primary key, minutes numeric);
                      insert into shop.accounts (org) select id from organizations;
                      create function shop.t() returns trigger language plpgsql
                          as 'begin return new; end';
                      alter table shop.accounts owner to proposed_shop;
                      create trigger t before update on shop.accounts for each row
                          execute function shop.t()",
            },
            proposed: Advice(Sql("drop trigger t on shop.accounts")),
        },
        Check::Disk => around(|| {
            let disk = Disk { path: "/srv".to_owned(), free: 1, size: 100 };
            Surroundings { disks: vec![disk], ..well() }
        }),
        Check::EndedTier => configured(
            Doctor,
            Proposed::Command,
            "[rollover]\nended_tier = \"hobby\"\n[[tiers]]\ncode = \"hobby\"\nname = \"Hobby\"\n\
             monthly_price_cents = 0\n",
        ),
        Check::Catalogue => configured(
            Doctor,
            Proposed::Command,
            "[[packs]]\ncode = \"sms-50\"\nfeature = \"sms_sent\"\nquantity = 50\n\
             price_cents = 900\n",
        ),
        Check::Migrations => found_by(
            Doctor,
            Proposed::Command,
            "drop table periodd_imports, periodd_import_sums, periodd_import_ids;
                 delete from periodd_migrations where version = 18",
        ),
        Check::Schema => found_by(
            Doctor,
            Proposed::Sql,
            "create function f() returns trigger language plpgsql as 'begin return new; end';
             create trigger \"Odd one\" after insert on users for each row execute function f();
             alter table users force row level security;
             alter table usage_metrics disable row level security;
             alter table users add \"Shoe\" numeric(3, 1)",
        ),
        Check::Unreadable => found_by(
            Doctor,
            Proposed::Sql,
            "alter table organizations drop constraint organizations_current_period_end_range;
             update organizations set current_period_end = 'infinity'",
        ),
        Check::Ranges => found_by(
            Doctor,
            Proposed::Command,
            "alter table usage_metrics drop constraint usage_metrics_created_at_range",
        ),
        Check::Rights => found_by(
            Doctor,
            Proposed::Sql,
            "grant truncate on usage_metrics to public;
             grant references on features, users to pg_monitor",
        ),
        Check::Tls | Check::Pooler => {
            let is_pooled = check == Check::Pooler;
            let reach = Reach { is_pooled, is_encrypted: false, is_local: false };
            let proposed = if is_pooled { Nothing } else { Advice(AsIs) };
            let made = Made::Value(doctor::of_reach(reach));
            Fixture { look: Doctor, at: NOW, made, proposed }
        }
        Check::FileMode => Fixture {
            look: Doctor,
            at: NOW,
            made: Made::Files("chmod 666 $DIR/periodd.toml"),
            proposed: Proposed::Command,
        },
        Check::Zone => found_by(
            Doctor,
            Proposed::Command,
            "update organizations set time_zone = 'Europe/Berln'",
        ),
        Check::TzCopies => {
            let (here, there) =
                (TzData::newest(), TzData::system(Path::new("/usr/share/zoneinfo")));
            let other = there.unwrap_or_else(TzData::bundled);
            let found = doctor::behind(&here, &other, &["America/Vancouver".to_owned()]);
            let made = Made::Value(found.into_iter().collect());
            Fixture { look: Doctor, at: NOW, made, proposed: Advice(AsIs) }
        }
        Check::InvertedPeriod => found_by(
            Doctor,
            Proposed::Command,
            "update organizations set current_period_end = '2026-04-10Z'",
        ),
        Check::InclusiveEnd => found_by(
            Doctor,
            Proposed::Command,
            "update organizations set current_period_end = '2026-05-31T21:59:59.999Z'",
        ),
        Check::NotTouching => found_by(
            Doctor,
            Proposed::Sql,
            "update organizations set current_period_start = '2026-05-02Z', slug = 'o''hara'",
        ),
        Check::Overlapping => found_by(
            Doctor,
            Proposed::Sql,
            "update organizations set current_period_start = '2026-05-03Z'",
        ),
        Check::FuturePeriod => found_by(
            Doctor,
            Advice(Sql("update organizations set current_period_start = '2026-04-30T22:00Z',
                            current_period_end = '2026-05-31T22:00Z'")),
            "update organizations set current_period_start = now() + interval '90 days',
                 current_period_end = now() + interval '120 days'",
        ),
        Check::ClosedAhead => found_by(
            Doctor,
            Advice(Sql("update billing_periods set closed_at = '2026-05-01Z'")),
            "update billing_periods set closed_at = now() + interval '90 days'",
        ),
        Check::ExpiredAhead => found_by(
            Doctor,
            Advice(Sql("delete from overage_entries where kind = 'expired'")),
            "insert into overage_entries
                 (org_id, pack_id, seq, kind, quantity, remaining, at, period_start)
             select org_id, id, 99, 'expired', 1, 4, now() + interval '90 days', '2026-04-30T22:00Z'
             from overage_packs",
        ),
        Check::Features => found_by(
            Doctor,
            Advice(Sql("delete from features where feature = 'faxes'")),
            "insert into features values ('faxes', 'faxes')",
        ),
        Check::BeforeFirstPeriod => found_by(
            Doctor,
            Nothing,
            "insert into usage_metrics
                 (organization_id, metric_type, metric_value, created_at, counted_at)
             select id, 'sms_sent', 1, '2026-01-01Z', now() from organizations",
        ),
        Check::Departures => found_by(
            Doctor,
            Proposed::Command,
            "insert into feature_usage
                 (organization_id, user_id, feature, period_start, period_end, usage_count)
             select id, '6f0c3a52-4d0e-4a4e-9c51-0c5a5c1a2b3d', 'sms_sent',
                    current_period_start, current_period_end, 0.5
             from organizations",
        ),
        Check::FollowingEnds => {
            found_by(Explain, Proposed::Command, "update organizations set next_period_ends = null")
        }
        Check::LateUsage => found_by(
            Doctor,
            Proposed::Command,
            "insert into usage_metrics
                 (organization_id, metric_type, metric_value, created_at, counted_at)
             select id, 'sms_sent', 1, '2026-04-20Z', now() from organizations;
             update usage_counters set used = used + 1 where period_start < '2026-04-15Z'",
        ),
        Check::Packs => found_by(
            Doctor,
            Advice(Sql("update overage_packs set remaining = remaining - 1")),
            "update overage_packs set remaining = remaining + 1",
        ),
        Check::Books => found_by(
            Doctor,
            Advice(Sql("delete from periodd_drift")),
            "insert into periodd_drift (org_id, feature, period_start, place, before, after,
                                        difference, reason, found_at)
             select id, 'scrapes', '2026-05-01Z', 'usage_counters', 1, 2, 5, 'odd', '2020-01-01Z'
             from organizations",
        ),
        Check::Doctor => found_by(
            Doctor,
            Advice(Sql("alter table gone rename to periodd_drift")),
            "alter table periodd_drift rename to gone",
        ),
        Check::Cycle => found_by(
            Explain,
            Proposed::Command,
            "update organizations set cycle = 'weekly', anchor_day = 9",
        ),
        Check::IrregularEnd => found_by(
            Explain,
            Nothing,
            "update organizations set current_period_end = '2026-05-20T22:00Z'",
        ),
        Check::PurchaseWithoutPack => found_by(
            Explain,
            Proposed::Command,
            "update organizations set overage_minutes = overage_minutes + 120",
        ),
        Check::LimitReached => found_by(
            Explain,
            Advice(AsIs),
            "insert into pack_offers (code, feature, quantity) values ('s', 'sms_sent', 10);
             select record_usage(id, 'sms_sent', 2, null, '2026-05-15Z') from organizations",
        ),
        Check::LimitNear => {
            found_by(Explain, Nothing, "update usage_metrics set created_at = '2026-03-01Z'")
        }
        Check::RunsOut => found_by(
            Explain,
            Advice(AsIs),
            "insert into pack_offers (code, feature, quantity) values ('s', 'sms_sent', 1000)",
        ),
        Check::ExpiredPack => found_by(
            Explain,
            Proposed::Command,
            "update overage_packs set expires_at = '2026-05-15Z'",
        ),
        Check::FuturePack => found_by(
            Explain,
            Nothing,
            "insert into overage_packs (org_id, feature, quantity, remaining, purchased_at)
             select id, 'sms_sent', 5, 5, '2026-05-20Z' from organizations",
        ),
        Check::PacksClaimed => found_by(
            Explain,
            Nothing,
            "select record_usage(id, 'sms_sent', 2, null, '2026-05-15Z') from organizations",
        ),
        Check::LeftOut => found_by(
            Explain,
            Advice(Sql("update overage_packs set quantity = 10")),
            "alter table overage_packs drop constraint overage_packs_quantity_range;
             update overage_packs set quantity = 1e30",
        ),
    }
}

/// Texts that are put together for a fixture live as long as the tests.
fn const_text(first: &str, second: &str) -> &'static str {
    Box::leak(format!("{first}{second}").into_boxed_str())
}

fn around(surroundings: impl Fn() -> Surroundings + Send + Sync + 'static) -> Fixture {
    let made = Made::Around(Box::new(surroundings));
    Fixture { look: Look::Status, at: NOW, made, proposed: Proposed::Advice(Person::Nothing) }
}

/// Nothing is wrong around the database.
fn well() -> Surroundings {
    Surroundings { tz_release: "9999z".to_owned(), ..Surroundings::default() }
}

/// A shell that knows the program by its name, and nothing of how it was called before.
fn sh(directory: &Path, script: &str) -> Command {
    let bin = PathBuf::from(env!("CARGO_BIN_EXE_periodd"));
    let bin = bin.parent().expect("a directory").display();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).env_clear().current_dir("/");
    command.env("PATH", format!("{bin}:{path}")).env("HOME", directory).env("DIR", directory);
    command.stdin(Stdio::null());
    command
}

fn shell(directory: &Path, script: &str) -> Result<String, String> {
    let output = sh(directory, script).output().expect("a shell");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(said(&output.stdout))
    } else {
        Err(format!("{}: {}{}", output.status, said(&output.stdout), said(&output.stderr)))
    }
}

/// A daemon that is stopped when it is not needed any more.
struct Daemon(Child);

impl Daemon {
    fn start(directory: &Path, command: &str) -> Self {
        // As it is printed; `exec` makes it the child itself.
        let script = format!("exec {command}");
        let mut command = sh(directory, &script);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("a daemon"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

struct Case {
    test: TestDatabase,
    check: Check,
    look: Look,
    at: &'static str,
}

impl Case {
    fn directory(&self) -> PathBuf {
        self.test.config().parent().expect("a directory").to_owned()
    }

    /// The findings of this check.
    fn found(&self) -> Vec<Value> {
        let look: &[&str] = match self.look {
            Look::Status => &["status"],
            Look::Doctor => &["doctor"],
            Look::Explain => &["explain", "acme"],
        };
        let answer = self.test.periodd(&[&["--at", self.at, "--format", "json"], look].concat());
        let answer = answer.json();
        let mut all: Vec<Value> = answer["findings"].as_array().cloned().unwrap_or_default();
        for check in answer["checks"].as_array().into_iter().flatten() {
            all.extend(check["findings"].as_array().expect("findings").iter().cloned());
        }
        all.retain(|finding| finding["check"] == self.check.name());
        all
    }

    /// Waits until nothing is found any more; what was proposed works, or fails within a minute.
    async fn is_gone_soon(&self) {
        let began = std::time::Instant::now();
        loop {
            let found = self.found();
            if found.is_empty() {
                return;
            }
            assert!(began.elapsed().as_secs() < 60, "{}: still there: {found:#?}", self.check);
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    }
}

/// Makes the finding. What has to stay alive for it is returned.
async fn make(case: &Case, made: &Made) -> Option<Held> {
    match made {
        Made::Database { commands, config, sql } => {
            for line in *commands {
                let line = format!("--at {NOW} {line}");
                case.test.periodd(&line.split_whitespace().collect::<Vec<_>>()).exits(0);
            }
            case.test.configure(config);
            case.test.sql(sql).await;
        }
        Made::Files(script) => {
            shell(&case.directory(), script).expect("the files are made");
        }
        Made::ConfigChanged => {
            let command = format!("periodd --config {} run", case.test.config().display());
            let daemon = Daemon::start(&case.directory(), &command);
            let alive = "select count(*) from periodd_daemons";
            case.test.until(alive, "1").await;
            case.test.configure("[log]\nlevel = \"warn\"\n");
            return Some(Held::Daemon { _daemon: daemon });
        }
        Made::Blocked => {
            let lock = async |application: &str| {
                let mut session = case.test.connect().await;
                let named = format!("set application_name = '{application}'; begin");
                sqlx::raw_sql(sqlx::AssertSqlSafe(named)).execute(&mut session).await.expect("it");
                session
            };
            let mut holder = lock("shop").await;
            let statement = "lock table billing_adjustments in access exclusive mode";
            sqlx::raw_sql(statement).execute(&mut holder).await.expect("locked");
            let mut waiter = lock("periodd").await;
            let waiting = tokio::spawn(async move {
                let _ = sqlx::raw_sql("lock table billing_adjustments in share mode")
                    .execute(&mut waiter)
                    .await;
            });
            // It is named once it has waited for longer than that.
            let long = "select count(*) from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock'
                          and query_start < now() - interval '31 seconds'";
            case.test.until(long, "1").await;
            return Some(Held::Sessions { _holder: Box::new(holder), _waiting: waiting });
        }
        Made::Around(_) | Made::Value(_) => {}
    }
    None
}

/// What keeps a finding alive.
enum Held {
    Daemon { _daemon: Daemon },
    Sessions { _holder: Box<sqlx::PgConnection>, _waiting: tokio::task::JoinHandle<()> },
}

/// Findings of a check that no database has: what is proposed is advice, and nothing to execute.
fn assert_advice(check: Check, findings: &[Finding], is_advised: bool) {
    let of_check: Vec<&Finding> =
        findings.iter().filter(|finding| finding.check == check).collect();
    assert!(!of_check.is_empty(), "{check} is not found: {findings:#?}");
    for finding in of_check {
        match &finding.mend {
            Some(Mend::Advice(advice)) => assert!(advice.then.0.is_empty(), "{finding:?}"),
            None => assert!(!is_advised, "{finding:?}"),
            Some(other) => panic!("{check}: {other} cannot be executed here"),
        }
    }
}

async fn try_out(check: Check) {
    let Fixture { look, at: when, made, proposed } = fixture(check);
    match &made {
        Made::Value(findings) => {
            return assert_advice(check, findings, matches!(proposed, Proposed::Advice(_)));
        }
        Made::Around(surroundings) => {
            let test = acme().await;
            let around = async |_: &[_]| surroundings();
            let status = status::status(&test.database, around, at(NOW)).await.expect("a status");
            return assert_advice(check, &status.findings, true);
        }
        _ => {}
    }
    let case = Case { test: acme().await, check, look, at: when };
    // Nothing runs here, and acme uses much.
    if !matches!(check, Check::NoDaemon | Check::RunsOut) {
        assert_eq!(case.found(), [] as [Value; 0], "{check}: it is found where nothing is wrong");
    }
    let held = make(&case, &made).await;
    let found = case.found();
    assert!(!found.is_empty(), "{check} is not found");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or("").to_owned();
    let by: Vec<String> = found.iter().map(|finding| text(finding, "by")).collect();
    let expected = match proposed {
        Proposed::Command | Proposed::Daemon => "command",
        Proposed::Sql => "sql",
        Proposed::Advice(_) => "advice",
        Proposed::Nothing => "",
    };
    assert!(by.iter().all(|by| by == expected), "{check}: {found:#?}");
    let directory = case.directory();
    match proposed {
        Proposed::Nothing => return,
        Proposed::Daemon => {
            let _daemon = Daemon::start(&directory, &text(&found[0], "mend"));
            case.is_gone_soon().await;
            return;
        }
        Proposed::Command => {
            for finding in &found {
                let pasted = text(finding, "mend");
                shell(&directory, &pasted).unwrap_or_else(|e| panic!("{check}: {pasted}: {e}"));
            }
        }
        Proposed::Sql => {
            for finding in &found {
                case.test.sql(&text(finding, "mend")).await;
            }
        }
        Proposed::Advice(person) => {
            match person {
                Person::Nothing => {}
                Person::Sql(statement) => case.test.sql(statement).await,
                Person::Shell(script) => {
                    shell(&directory, script).expect("the person's work");
                }
            }
            for finding in &found {
                let mend = text(finding, "mend");
                if let Some((_, then)) = mend.split_once("; then: ") {
                    shell(&directory, then).unwrap_or_else(|e| panic!("{check}: {then}: {e}"));
                }
            }
        }
    }
    case.is_gone_soon().await;
    drop(held);
}

#[tokio::test]
async fn what_a_failure_proposes_works_as_it_is_printed() {
    let test = acme().await;
    let directory = test.config().parent().expect("a directory").to_owned();
    for (line, code) in [
        ("orgs show pineapple", 2),
        ("packs list --org pineapple", 2),
        ("packs refund --org acme --pack 0bad1dea", 2),
        ("packs refund --org acme --reference unknown", 2),
        ("alerts resend 0bad1dea", 2),
        ("runs show 4711", 2),
    ] {
        let answer = test.periodd(&line.split(' ').collect::<Vec<_>>()).exits(code);
        assert_eq!(proposed_by(&answer.stderr).len(), 1, "{line}: {}", answer.stderr);
        for pasted in proposed_by(&answer.stderr) {
            shell(&directory, pasted).unwrap_or_else(|error| panic!("{line}: {pasted}: {error}"));
        }
    }
    test.sql("update periodd_api set checksum = 'older' where name = 'periodd percent'").await;
    let answer = test.periodd(&["status"]).exits(78);
    let [migrate] = proposed_by(&answer.stderr)[..] else { panic!("{}", answer.stderr) };
    shell(&directory, migrate).expect("it migrates");
    test.periodd(&["orgs", "show", "acme"]).exits(0);
}

#[tokio::test]
async fn a_run_that_parks_orgs_says_what_takes_each_back() {
    let test = acme().await;
    let directory = test.config().parent().expect("a directory").to_owned();
    let break_zone = "update organizations set time_zone = 'Europe/Berln',
                                               current_period_end = '2026-05-10Z'";
    test.sql(break_zone).await;
    let page = test.periodd(&["--at", NOW, "rollover"]).exits(4).stdout;
    let [explain] = proposed_by(&page)[..] else { panic!("{page}") };
    let explained = shell(&directory, explain).expect("it explains");
    assert!(explained.contains("orgs set acme --zone"), "{explained}");
    test.sql("update organizations set time_zone = 'Europe/Berlin'").await;
    let (_, unpark) = page.split_once("; then: ").expect("a command");
    shell(&directory, unpark.lines().next().expect("a line")).expect("it takes the org back");
    assert_eq!(test.rows("select slug from organizations where parked_at is null").await, ["acme"]);
}

/// The commands of periodd's in a text, in their marks.
fn proposed_by(text: &str) -> Vec<&str> {
    text.split('`').filter(|part| part.starts_with("periodd ")).collect()
}

/// So many at once: each has a database, and some a daemon.
const AT_ONCE: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proposed_works_as_it_is_printed_and_the_finding_is_gone() {
    use futures_util::{StreamExt, stream};
    let cases = stream::iter(Check::ALL).map(|check| async move {
        let tried = tokio::spawn(try_out(check)).await;
        println!("{check}: {}", if tried.is_ok() { "gone" } else { "failed" });
        tried.err().map(|error| {
            let panic = error.into_panic();
            let said = panic.downcast_ref::<String>().cloned();
            said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()))
                .map_or_else(|| check.to_string(), |said| format!("{check}: {said}"))
        })
    });
    let failed: Vec<String> =
        cases.buffer_unordered(AT_ONCE).filter_map(async |failed| failed).collect().await;
    assert!(
        failed.is_empty(),
        "{} of {}:\n{}",
        failed.len(),
        Check::ALL.len(),
        failed.join("\n\n")
    );
}
