//! The units under a real systemd, booted beside everything else: `make test-systemd`, as root.

// Helpers stand outside of test functions, where the lint does not look for its exception.
#![allow(clippy::unwrap_used)]

mod machine;

use machine::Machine;

/// The daemon, ready, on a private cluster.
fn with_daemon() -> Machine {
    let machine = Machine::boot(&[]);
    machine.run(&["systemctl", "start", "periodd"]);
    machine
}

#[test]
fn starting_ends_when_the_daemon_is_ready() {
    let machine = with_daemon();
    assert_eq!(machine.show("ActiveState"), "active");
    assert_eq!(machine.show("User"), "periodd");
    let status = machine.show("StatusText");
    assert!(!status.is_empty(), "it says what it is about");
    assert_eq!(machine.run(&["stat", "-c", "%U:%G %a", "/run/periodd"]), "periodd:periodd 750\n");
    machine.run(&["periodd", "db", "status"]);

    // The group is the gate to the socket.
    let ask = "psql 'postgresql:///periodd?host=/run/periodd' -Atc 'select 1 + 1' 2>&1";
    let as_app = |group: &str| {
        let ids = format!("--reuid=4711 --regid=4711 {group}");
        machine.sh(&format!("setpriv {ids} sh -c \"{}\"", ask.replace('"', "\\\"")))
    };
    machine.run(&["useradd", "--uid", "4711", "app"]);
    // The daemon's role makes no roles; root is the cluster's superuser as well.
    let url = "postgresql:///periodd?host=/run/periodd&user=postgres";
    machine.run(&["psql", url, "-c", "create role app login"]);
    assert!(as_app("--clear-groups").1.contains("Permission denied"), "{:?}", as_app(""));
    let group = machine.run(&["id", "-g", "periodd"]);
    let (_, answer) = as_app(&format!("--groups={}", group.trim()));
    assert_eq!(answer, "2\n");

    // Root's commands leave nothing of root's where the service works.
    machine.run(&["rm", "-rf", "/var/lib/periodd/mail"]);
    machine.run(&["periodd", "alerts", "run"]);
    machine.run(&["periodd", "alerts", "test", "ann@example.com"]);
    assert_eq!(machine.run(&["find", "/var/lib/periodd", "!", "-user", "periodd"]), "");

    // The events are in the journal with fields of their own.
    let events = machine.journal("periodd", &["_TRANSPORT=journal"]);
    let started = events.iter().find(|event| event["MESSAGE"] == "started").expect("an event");
    assert!(started["PERIODD_JOBS"].as_str().is_some_and(|jobs| jobs.contains("rollover")));
    assert_eq!(started["PRIORITY"], "6");
    assert_eq!(started["SYSLOG_IDENTIFIER"], "periodd");
}

#[test]
fn a_reload_takes_all_of_the_file_or_nothing() {
    let machine = with_daemon();
    machine.write("/etc/periodd/periodd.toml", "[schedule.rollover]\ncron = \"* * * * * *\"\n");
    machine.run(&["systemctl", "reload", "periodd"]);
    machine.until("it was read", || machine.says("the configuration was reloaded"));
    let pid = machine.show("MainPID");

    machine.write("/etc/periodd/periodd.toml", "[schedule.rollover]\nenabled = false\n[rolover]\n");
    machine.run(&["systemctl", "reload", "periodd"]);
    let place =
        "/etc/periodd/periodd.toml:3:2: unknown section `rolover`; did you mean `rollover`?";
    machine.until("the place is said", || machine.says(place));
    machine.until("it is active again", || machine.show("ActiveState") == "active");
    machine.until("the status says it", || {
        machine.says("the configuration is unchanged") && machine.show("MainPID") == pid
    });
    // The schedule of each second goes on.
    let runs = || machine.journal("periodd", &["PERIODD_OUTCOME=done"]).len();
    let before = runs();
    machine.until("it goes on", || runs() > before + 1);
}

#[test]
fn a_stopped_process_is_noticed_and_started_anew() {
    let machine = with_daemon();
    // The unit's own half a minute is long for a test.
    machine.configure("[Service]\nWatchdogSec=2s\n");
    machine.run(&["systemctl", "restart", "periodd"]);
    let pid = machine.show("MainPID");
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(machine.show("MainPID"), pid, "a loop that turns is left alone");
    machine.run(&["kill", "-STOP", &pid]);
    machine.until("another process is ready", || {
        let another = machine.show("MainPID");
        another != pid && another != "0" && machine.show("ActiveState") == "active"
    });
    assert!(machine.says("Watchdog timeout"), "{}", machine.text());
}

#[test]
fn a_killed_daemon_comes_back_with_everything_that_was_acknowledged() {
    let machine = with_daemon();
    let add = "orgs add acme --name Acme --zone Europe/Berlin";
    machine.run(&["sh", "-c", &format!("periodd {add}")]);
    for _ in 0..2 {
        let pid = machine.show("MainPID");
        machine.run(&["kill", "-KILL", &pid]);
        machine.until("another process is ready", || {
            let another = machine.show("MainPID");
            another != pid && another != "0" && machine.show("ActiveState") == "active"
        });
        assert!(machine.run(&["periodd", "orgs", "list"]).contains("acme"));
    }
    assert_eq!(machine.show("NRestarts"), "2", "{}", machine.text());

    // What trying again does not mend is not tried again.
    machine.write("/etc/periodd/periodd.toml", "[rolover]\n");
    let (code, _) = machine.sh("systemctl restart periodd");
    assert_ne!(code, 0);
    assert_eq!(machine.show("ActiveState"), "failed");
    assert_eq!(machine.show("ExecMainStatus"), "78");
}

#[test]
fn stopping_takes_its_bound_at_most_and_leaves_nothing_running() {
    let machine = with_daemon();
    let orgs = 200_000;
    machine.ask(&format!(
        "insert into organizations
             (slug, name, time_zone, current_period_start, current_period_end)
         select 'org-' || i, 'Org', 'UTC', now() - interval '40 days', now() - interval '10 days'
         from generate_series(1, {orgs}) i"
    ));
    machine.write("/etc/periodd/periodd.toml", "[schedule.rollover]\ncron = \"* * * * * *\"\n");
    machine.run(&["systemctl", "reload", "periodd"]);
    machine.until("it is amid a rollover", || {
        machine.ask("select count(*) > 2000 from billing_periods") == "t"
    });
    let begun = std::time::Instant::now();
    machine.run(&["systemctl", "stop", "periodd"]);
    let bound = machine.show("TimeoutStopUSec");
    assert_eq!(bound, "1min 30s");
    assert!(begun.elapsed() < std::time::Duration::from_secs(90));
    assert_eq!(
        (machine.show("Result"), machine.show("ActiveState")),
        ("success".into(), "inactive".into())
    );
    assert_eq!(machine.sh("pgrep postgres").0, 1, "its server has gone with it");
    assert!(!machine.says("Killing process"), "{}", machine.text());
    machine.run(&["test", "-d", "/run/periodd"]);

    // It was amid its work, and no org is half done; the next process goes on.
    machine.write("/etc/periodd/periodd.toml", "[schedule.rollover]\nenabled = false\n");
    machine.run(&["systemctl", "start", "periodd"]);
    let amid = format!("select count(*) between 2001 and {} from billing_periods", orgs - 1);
    assert_eq!(machine.ask(&amid), "t");
    let halves = "select count(*) from organizations o
                  left join billing_periods b on b.org_id = o.id
                  where (o.current_period_end > now()) <> (b.org_id is not null)";
    assert_eq!(machine.ask(halves), "0");
}

#[test]
fn credentials_reach_the_daemon_and_nobody_else() {
    let machine = Machine::boot(&[]);
    // Only inside: whoever tries the daemon on this machine by hand leaves something there.
    machine.run(&["rm", "-rf", "/var/lib/periodd"]);
    machine.run(&["sh", "-c", "mkdir -m 700 /etc/credstore; useradd --system other"]);
    // A database of somebody else's, which wants a password.
    machine.run(&[
        "sh",
        "-c",
        "
        set -e
        bin=$(dirname $(ls /usr/lib/postgresql/*/bin/initdb | tail -1))
        mkdir /srv/pg && chown postgres /srv/pg && cd /srv/pg
        as='setpriv --reuid=postgres --regid=postgres --clear-groups'
        echo hunter2 >/tmp/pw
        $as $bin/initdb -D /srv/pg/data -A scram-sha-256 -U app --pwfile=/tmp/pw >/dev/null
        $as $bin/pg_ctl -D /srv/pg/data -w -l /srv/pg/log -o '-h 127.0.0.1 -k /srv/pg' start
        cp /srv/pg/log /tmp/log",
    ]);
    let url = "postgresql://app:hunter2@127.0.0.1/postgres";
    machine.write("/etc/credstore/periodd-database-url", &format!("{url}\n"));
    machine.write("/etc/credstore/periodd-smtp-password", "hunter2-mail\n");
    machine.run(&["sh", "-c", "chmod 600 /etc/credstore/*"]);
    machine.write(
        "/etc/periodd/periodd.toml",
        "[mail]\ntransport = \"smtp\"\nfrom = \"a@example.com\"\n[mail.smtp]\n\
         host = \"127.0.0.1\"\nusername = \"periodd\"\n\
         [schedule.rollover]\nenabled = false\n",
    );
    // Root's commands find the credentials where the service gets them from.
    machine.run(&["periodd", "--quiet", "db", "migrate"]);
    machine.run(&["systemctl", "start", "periodd"]);
    assert_eq!(machine.sh("test -e /var/lib/periodd/postgresql").0, 1, "no cluster of its own");

    let pid = machine.show("MainPID");
    let seen = machine.run(&["sh", "-c", &format!("cat /proc/{pid}/cmdline /proc/{pid}/environ")]);
    assert!(seen.contains("CREDENTIALS_DIRECTORY=") && !seen.contains("hunter2"), "{seen}");
    let other = "setpriv --reuid=other --regid=other --clear-groups";
    let (code, _) =
        machine.sh(&format!("{other} cat /run/credentials/periodd.service/database-url"));
    assert_ne!(code, 0);

    // The one-shot unit works on the same database, with the daemon there and without.
    machine.run(&[
        "sh",
        "-c",
        &format!(
            "PERIODD__DATABASE__URL={url} \
        PERIODD__MAIL__SMTP__PASSWORD=x periodd orgs add acme --name Acme --zone UTC \
        --period-start 2020-01-01T00:00:00Z"
        ),
    ]);
    machine.run(&["systemctl", "start", "periodd-rollover@acme"]);
    let closed = "select p.closed > 70,
                         p.closed = (select sum((counts ->> 'periods_closed')::int)
                                     from periodd_runs where job = 'rollover')
                  from (select count(*) as closed from billing_periods) p";
    let ask = format!("psql '{url}' -qAtc \"{closed}\"");
    assert_eq!(machine.run(&["sh", "-c", &ask]), "t|t\n", "the unit closed them");
    assert!(!machine.text().contains("hunter2"), "{}", machine.text());
}

#[test]
fn the_one_shot_unit_shares_the_private_cluster() {
    let machine = with_daemon();
    let add = "periodd orgs add acme --name Acme --zone UTC --period-start";
    machine.write("/etc/periodd/periodd.toml", "[schedule.rollover]\nenabled = false\n");
    machine.run(&["systemctl", "restart", "periodd"]);
    machine.run(&["sh", "-c", &format!("{add} 2026-01-01T00:00:00Z")]);
    machine.run(&["systemctl", "start", "periodd-rollover@acme"]);
    assert_eq!(machine.run(&["sh", "-c", "periodd --quiet rollover"]), "nothing is due\n");
    assert_eq!(machine.show("ActiveState"), "active", "the daemon is as it was");
    machine.run(&["test", "-S", "/run/periodd/.s.PGSQL.5432"]);
    let (code, _) = machine.sh("systemctl start periodd-rollover@nobody");
    assert_ne!(code, 0, "an org that is none fails the unit");
    assert!(machine.text().contains("`nobody`"), "{}", machine.text());

    // Without a daemon it starts the cluster by itself, and stops it.
    machine.run(&["systemctl", "stop", "periodd"]);
    machine.run(&["systemctl", "start", "periodd-rollover@acme"]);
    assert_eq!(machine.sh("pgrep postgres").0, 1, "nobody needs it any more");
}
