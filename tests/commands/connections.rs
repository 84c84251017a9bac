//! How many connections a command opens.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::support::{TestDatabase, server};

#[tokio::test]
async fn a_command_works_over_one_connection() {
    let test = TestDatabase::empty().await;
    let role = format!("owner_{}", Uuid::new_v4().simple());
    test.sql(&format!(
        "create role {role} login connection limit 1; grant create on schema public to {role}"
    ))
    .await;
    let url = format!("postgresql:///{}?host={}&user={role}", test.name, server());
    let config = format!("[database]\nurl = \"{url}\"\nsandbox = true\n");
    let left = format!("select count(*) from pg_stat_activity where usename = '{role}'");
    for command in [
        "db migrate",
        "orgs add acme --name Acme --zone UTC --tier free",
        "packs grant --org acme --feature sms_sent --quantity 5",
        "usage record --org acme --feature sms_sent --quantity 1",
        "rollover",
        "sync",
        "orgs list",
        "explain acme",
        "runs list",
        "runs show 1",
        "alerts list",
        "drift list",
        "users list",
        "limits set --org acme --feature sms_sent --included 5",
        "orgs set acme --tier pro",
        "orgs park acme --reason odd",
        "orgs unpark acme",
        "schedule list",
        "schedule next",
        "tiers apply",
    ] {
        // Whoever was last may not have left yet.
        let begun = Instant::now();
        while test.rows(&left).await != ["0"] {
            assert!(begun.elapsed() < Duration::from_mins(1), "somebody stays: {command}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let arguments: Vec<&str> = command.split(' ').collect();
        let answer = test.periodd_configured(&config, &arguments);
        assert_eq!(answer.code, 0, "{command}: {answer:?}");
    }
}

/// The test's server at an address of its own: whatever comes is handed on.
async fn at_loopback_six() -> u16 {
    let listener = tokio::net::TcpListener::bind("[::1]:0").await.expect("IPv6 on the loopback");
    let port = listener.local_addr().expect("an address").port();
    let socket = format!("{}/.s.PGSQL.5432", server());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut server = tokio::net::UnixStream::connect(socket).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_address_is_one_like_any_other() {
    let test = TestDatabase::new().await;
    let (port, name) = (at_loopback_six().await, &test.name);
    for url in [
        format!("postgres://postgres@[::1]:{port}/{name}"),
        format!("postgres://postgres@[0:0:0:0:0:0:0:1]:{port}/{name}?sslmode=disable"),
        format!("postgresql:///{name}?user=postgres&host=::1&port={port}"),
        format!("postgresql://postgres@localhost:{port}/{name}?hostaddr=::1"),
    ] {
        let answer =
            test.periodd_configured(&format!("[database]\nurl = \"{url}\"\n"), &["orgs", "list"]);
        assert_eq!(answer.code, 0, "{url}: {answer:?}");
    }
    // Nobody listens there: said with the address as it is written.
    let away = format!("[database]\nurl = \"postgres://postgres@[::1]:9/{name}\"\n");
    let answer = test.periodd_configured(&away, &["orgs", "list"]).exits(69);
    assert!(answer.stderr.contains("[::1]:9 (database"), "{answer:?}");
    // What is not this machine is a network, whatever its address looks like.
    let far = format!("[database]\nurl = \"postgres://a@[2001:db8::1]/{name}?sslmode=disable\"\n");
    let answer = test.periodd_configured(&far, &["orgs", "list"]).exits(78);
    assert!(answer.stderr.contains("verify-full"), "{answer:?}");
}

#[tokio::test]
async fn silent_hosts_leave_time_for_the_one_that_answers() {
    let test = TestDatabase::new().await;
    // Its queue is full: whoever connects is not answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    rustix::net::listen(&silent, 0).expect("it listens");
    let address = silent.local_addr().expect("an address");
    let _queued = std::net::TcpStream::connect(address).expect("the only one in the queue");
    let hosts = format!("{}{}", "127.0.0.1,".repeat(4), server());
    let ports = format!("{}5432", format!("{},", address.port()).repeat(4));
    let url = format!("postgresql:///{}?user=postgres&host={hosts}&port={ports}", test.name);
    let config = format!("[database]\nurl = \"{url}\"\n");
    test.periodd_configured(&config, &["orgs", "list"]).exits(0);
}

#[tokio::test]
async fn libpqs_variables_do_not_change_what_a_url_says() {
    let test = TestDatabase::new().await;
    let mut command = test.command(&["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"]);
    command.env("PGHOST", "/nowhere").env("PGPORT", "5433").env("PGDATABASE", "elsewhere");
    command.env("PGOPTIONS", "-c default_transaction_read_only=on");
    let output = command.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(test.rows("select slug from organizations").await, ["acme"]);
}
