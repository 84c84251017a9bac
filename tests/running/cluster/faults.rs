//! What befalls a private cluster on its machine, and heals.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use periodd::cluster::{Cluster, Settings};

use super::root::{self, TEMPORARY};
use super::{Place, ask, ask_at, assert_stopped, is_alive, url_as, wait_until};

/// Long enough for a start, and for a fault to be seen as one.
fn soon(place: &Place) -> Settings {
    Settings { start_timeout: Duration::from_secs(20), ..place.settings() }
}

#[test]
fn a_lock_file_that_names_another_server_does_not_keep_it_down() {
    let place = Place::new();
    ask(&place.open(), &["create table kept (a int)"]);
    let owner = fs::metadata(place.data()).unwrap();
    // As in Docker's image: a server that is told its directory by the environment. It has to be of
    // the server's own user, or the server would not mind it.
    let mut other = Command::new("sleep");
    other.arg0("postgres").arg("600").uid(owner.uid()).current_dir("/");
    let mut other = other.spawn().unwrap();
    let data = place.data();
    let socket_dir = fs::canonicalize(place.state()).unwrap().join("run");
    let stale = format!(
        "{}\n{}\n1700000000\n5432\n{}\n\n\nready   \n",
        other.id(),
        data.display(),
        socket_dir.display()
    );
    for file in [data.join("postmaster.pid"), socket_dir.join(".s.PGSQL.5432.lock")] {
        fs::write(&file, &stale).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let cluster = Cluster::open(&soon(&place));
    let is_left_alone = is_alive(other.id());
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(ask(&cluster.unwrap(), &["select count(*)::text from kept"]), "0");
    assert!(is_left_alone);
}

#[test]
fn a_server_whose_socket_is_gone_is_restarted() {
    let place = Place::new();
    let cluster = place.open();
    ask(&cluster, &["create table kept (a int)"]);
    let postmaster = place.postmaster().unwrap();
    for file in [".s.PGSQL.5432", ".s.PGSQL.5432.lock"] {
        fs::remove_file(cluster.socket_dir().join(file)).unwrap();
    }
    let next = Cluster::open(&soon(&place)).unwrap();
    assert_eq!(ask(&next, &["select count(*)::text from kept"]), "0");
    assert_ne!(place.postmaster(), Some(postmaster));
    // The one that was there before finds it gone, and revives it the same way.
    for file in [".s.PGSQL.5432", ".s.PGSQL.5432.lock"] {
        fs::remove_file(cluster.socket_dir().join(file)).unwrap();
    }
    assert!(cluster.revive().unwrap());
    assert!(!cluster.revive().unwrap());
    assert_eq!(ask(&cluster, &["select count(*)::text from kept"]), "0");
}

#[test]
fn a_socket_whose_lock_file_was_swept_away_is_still_its_servers() {
    let place = Place::new();
    let cluster = place.open();
    let postmaster = place.postmaster().unwrap();
    fs::remove_file(cluster.socket_dir().join(".s.PGSQL.5432.lock")).unwrap();
    let next = Cluster::open(&soon(&place)).unwrap();
    assert_eq!(ask(&next, &["select 'served'"]), "served");
    assert_eq!(place.postmaster(), Some(postmaster));
    next.close().unwrap();
    cluster.close().unwrap();
    assert_stopped(&place, postmaster);
}

#[test]
fn what_applications_write_into_the_log_is_bounded_while_it_runs() {
    let place = Place::new();
    let mut daemon = root::command(&place, &["run"]).spawn().unwrap();
    let cluster = place.open();
    let log = |name: &str| place.state().join("postgresql").join(name);
    let length = |name: &str| fs::metadata(log(name)).map_or(0, |found| found.len());
    let limit = 16 << 20;
    // A mebibyte of an application's for each call, and more than twice what the log may hold.
    let flood =
        "do $$ begin for i in 1..20 loop raise log '%', repeat('x', 1 << 20); end loop; end $$";
    for _ in 0..2 {
        ask_at(&url_as(&cluster, "postgres"), &[flood]).unwrap();
        wait_until("the log is set aside", || length("server.log") < limit);
        let total = length("server.log") + length("server.log.1");
        assert!(length("server.log.1") > 0 && total <= 2 * limit, "{total}");
    }
    assert_eq!(fs::metadata(log("server.log.1")).unwrap().mode() & 0o077, 0);
    // A refused statement is said, without the statement and what is in it.
    let refused = ask_at(&cluster.url(), &["select 1 / 0 as secret_of_an_application"]);
    assert!(refused.unwrap_err().to_string().contains("division by zero"));
    let said = fs::read_to_string(log("server.log")).unwrap();
    assert!(said.contains("division by zero") && !said.contains("secret_of"), "{said}");
    root::terminate(&daemon);
    assert!(daemon.wait().unwrap().success());
    cluster.close().unwrap();
}

#[test]
fn libpqs_variables_are_not_for_the_private_cluster() {
    let place = Place::new();
    let mut command =
        root::command(&place, &["orgs", "add", "acme", "--name", "A", "--zone", "UTC"]);
    command
        .env("PGHOST", "/nowhere")
        .env("PGPORT", "5433")
        .env("PGUSER", "somebody")
        .env("PGDATABASE", "elsewhere")
        .env("PGOPTIONS", "-c default_transaction_read_only=on -c search_path=nowhere")
        .env("PGSERVICE", "unknown");
    let (status, said) = root::output(&mut command);
    assert!(status.success(), "{said}");
    // They are left alone for whoever connects by the URL, too.
    let (_, url) = root::periodd(&place, &["db", "url"]);
    assert!(url.trim().ends_with("&user=periodd&port=5432"), "{url}");
}

#[test]
fn no_program_is_needed_to_know_who_one_is() {
    let place = Place::new();
    let empty = place.dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let mut command = root::command(&place, &["db", "migrate"]);
    let (status, said) = root::output(command.env("PATH", &empty));
    assert!(status.success(), "{said}");
    let owner = fs::metadata(place.data()).unwrap().uid();
    assert_eq!(root::not_of(owner, &place.data()), TEMPORARY);
    let (status, said) = root::periodd(&place, &["orgs", "list"]);
    assert!(status.success(), "{said}");
}
