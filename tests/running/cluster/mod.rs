//! The private cluster, on real servers in temporary directories.
//!
//! Two `Cluster`s in one process are like two processes: the locks belong to open files. Where a
//! process has to die or to be another user, the test runs its own executable again.
#![allow(clippy::unwrap_used, reason = "a helper that fails, fails its test")]

mod faults;
mod rights;
mod root;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use periodd::cluster::{Cluster, ClusterError, Settings};
use sqlx::{Connection, PgConnection};

/// Tells a test that it runs inside a child, and on which state directory.
const CHILD: &str = "PERIODD_TEST_CHILD";

/// A state directory that is removed at the end. The directory above is one that every user may
/// walk through, as real ones are.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("pd-").tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn settings(&self) -> Settings {
        Settings::new(self.state())
    }

    fn open(&self) -> Cluster {
        Cluster::open(&self.settings()).unwrap()
    }

    fn data(&self) -> PathBuf {
        self.state().join("postgresql/data")
    }

    fn postmaster(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }
}

impl Drop for Place {
    /// A test that failed leaves no server behind: joining and leaving as the last stops it.
    fn drop(&mut self) {
        if self.data().join("postmaster.pid").exists() {
            drop(Cluster::open(&self.settings()));
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A process that has ended may stay in the table until its parent asks for it.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

/// The server's lock file is gone at once, its process a moment later.
fn assert_stopped(place: &Place, postmaster: u32) {
    assert_eq!(place.postmaster(), None);
    wait_until("the stopped server is gone", || !is_alive(postmaster));
}

fn kill(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(status.success());
    wait_until("the killed process is gone", || !is_alive(pid));
}

/// Waits for what must come, and says what did not.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs statements as periodd would and returns the last one's text.
fn ask(cluster: &Cluster, statements: &[&str]) -> String {
    ask_at(&cluster.url(), statements).unwrap()
}

/// The cluster's URL for another role.
fn url_as(cluster: &Cluster, role: &str) -> String {
    cluster.url().replace("user=periodd", &format!("user={role}"))
}

fn ask_at(url: &str, statements: &[&str]) -> Result<String, sqlx::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(url).await?;
        let mut answer = String::new();
        for statement in statements {
            let statement = sqlx::query_scalar(sqlx::AssertSqlSafe(*statement));
            answer = statement.fetch_optional(&mut connection).await?.unwrap_or_default();
        }
        connection.close().await?;
        Ok(answer)
    })
}

fn sentence(settings: &Settings) -> String {
    let error = Cluster::open(settings).err().unwrap();
    let text = error.to_string();
    assert!(!text.contains('\n'), "more than a sentence: {text}");
    text
}

/// Executables are written by a process of their own: had this one an executable open for writing
/// while another test starts a process, that would inherit it, and "text file busy" would follow.
fn shell(script: &str, args: &[&Path]) {
    let script = format!("{script} && chmod 755 \"$2\"");
    let status = Command::new("sh").args(["-c", &script, "sh"]).args(args).status().unwrap();
    assert!(status.success());
}

/// This test's executable in a place that every user can reach, ready to run one test alone.
fn again(place: &Place, test: &str, state: &Path) -> Command {
    let copy = place.dir.path().join("again");
    if !copy.exists() {
        shell("cp \"$1\" \"$2\"", &[&std::env::current_exe().unwrap(), &copy]);
    }
    let module = module_path!().split_once("::").unwrap().1;
    let test = format!("{module}::{test}");
    let mut command = Command::new(copy);
    command.args(["--exact", &test, "--nocapture"]).env(CHILD, state).current_dir("/");
    command
}

fn child_state() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// The body of a child that joins the cluster and stays until it is killed.
fn hold(state: PathBuf) {
    let cluster = Cluster::open(&Settings::new(state)).unwrap();
    println!("\nholding");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    drop(cluster);
}

/// Starts such a child and waits until it holds the cluster. Its output stays open, for it goes on
/// writing.
fn holder(place: &Place, test: &str) -> (Child, impl Sized) {
    let mut command = again(place, test, &place.state());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let held = lines.by_ref().map_while(Result::ok).any(|line| line == "holding");
    assert!(held, "the child did not get the cluster: {:?}", child.wait());
    (child, lines)
}

#[test]
fn the_first_open_makes_a_database_and_the_last_to_leave_stops_the_server() {
    let place = Place::new();
    let cluster = place.open();
    assert_eq!(cluster.socket_dir(), fs::canonicalize(place.state()).unwrap().join("run"));
    assert_eq!((cluster.port(), cluster.database(), cluster.user()), (5432, "periodd", "periodd"));
    let who = "select current_user || ' ' || current_database() || ' ' || rolsuper || rolcreaterole
               || rolcreatedb from pg_roles where rolname = current_user";
    assert_eq!(ask(&cluster, &[who]), "periodd periodd falsefalsefalse");
    for (setting, value) in [
        ("listen_addresses", ""),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("TimeZone", "UTC"),
        ("max_wal_size", "4GB"),
    ] {
        assert_eq!(ask(&cluster, &[&format!("show {setting}")]), value, "{setting}");
    }
    let compression = "select case when 'lz4' = any (enumvals) then 'lz4' else 'pglz' end
                       from pg_settings where name = 'wal_compression'";
    let best = ask(&cluster, &[compression]);
    assert_eq!(ask(&cluster, &["show wal_compression"]), best);
    let sized = "select (pg_size_bytes(current_setting('shared_buffers')) / 1048576
                         between 128 and 2048)::text";
    assert_eq!(ask(&cluster, &[sized]), "true", "an eighth of the machine's memory, within bounds");
    // periodd owns its database: it makes tables there, and nothing beside it.
    ask(&cluster, &["create table t (a int)"]);
    for beside in ["create database beside", "create role beside"] {
        let refused = ask_at(&cluster.url(), &[beside]).unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{refused}");
    }
    let second = place.open();
    let postmaster = place.postmaster().unwrap();
    cluster.close().unwrap();
    assert!(is_alive(postmaster));
    assert_eq!(ask(&second, &["select count(*)::text from t"]), "0");
    second.close().unwrap();
    assert_stopped(&place, postmaster);
}

#[test]
fn many_at_once_share_one_server_from_the_first_moment() {
    let place = Place::new();
    let opened: Vec<Cluster> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| place.open())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let postmaster = place.postmaster().unwrap();
    std::thread::scope(|scope| {
        for cluster in opened {
            scope.spawn(|| cluster.close().unwrap());
        }
    });
    assert_stopped(&place, postmaster);
    // Coming while the last one leaves is fine as well.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let cluster = place.open();
                    assert_eq!(ask(&cluster, &["select 'served'"]), "served");
                    cluster.close().unwrap();
                }
            });
        }
    });
    assert!(place.postmaster().is_none());
}

#[test]
fn an_acknowledged_row_outlives_a_killed_server() {
    let place = Place::new();
    let cluster = place.open();
    ask(&cluster, &["create table kept (a text)", "insert into kept values ('here')"]);
    kill(place.postmaster().unwrap());
    let next = place.open();
    assert_eq!(ask(&next, &["select a from kept"]), "here");
    // Killed between two users, too: nobody is there to leave.
    kill(place.postmaster().unwrap());
    drop(cluster);
    drop(next);
    assert_eq!(ask(&place.open(), &["select a from kept"]), "here");
}

#[test]
fn the_server_of_a_killed_process_is_used_and_stopped_by_the_next() {
    if let Some(state) = child_state() {
        return hold(state);
    }
    let place = Place::new();
    let (mut child, _output) =
        holder(&place, "the_server_of_a_killed_process_is_used_and_stopped_by_the_next");
    let postmaster = place.postmaster().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_alive(postmaster));
    let next = place.open();
    assert_eq!(place.postmaster(), Some(postmaster));
    // Had the server inherited the dead process's lock, nobody would be the last.
    next.close().unwrap();
    assert_stopped(&place, postmaster);
}

#[test]
fn a_process_that_still_uses_the_server_keeps_it() {
    if let Some(state) = child_state() {
        return hold(state);
    }
    let place = Place::new();
    let cluster = place.open();
    let (mut child, _output) = holder(&place, "a_process_that_still_uses_the_server_keeps_it");
    let postmaster = place.postmaster().unwrap();
    cluster.close().unwrap();
    assert!(is_alive(postmaster));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_stopped(&place, postmaster);
}

#[test]
fn a_server_to_be_kept_runs_on() {
    let place = Place::new();
    let settings = Settings { keep_running: true, ..place.settings() };
    Cluster::open(&settings).unwrap().close().unwrap();
    let postmaster = place.postmaster().unwrap();
    assert!(is_alive(postmaster));
    place.open().close().unwrap();
    assert_stopped(&place, postmaster);
}

#[test]
fn a_lock_file_that_names_a_strangers_process_does_not_keep_the_server_down() {
    let place = Place::new();
    ask(&place.open(), &["create table kept (a int)"]);
    place.open().close().unwrap();
    // As after a crash, when the number of the old server belongs to someone else by now. The
    // stranger has to be of the server's own user, or the server would not mind it.
    let owner = fs::metadata(place.data()).unwrap();
    let mut stranger = Command::new("sleep");
    stranger.arg("600").uid(owner.uid());
    let mut stranger = stranger.spawn().unwrap();
    let data = place.data();
    let stale = format!("{}\n{}\n1700000000\n5432\n\n\n\n", stranger.id(), data.display());
    for file in [data.join("postmaster.pid"), place.state().join("run/.s.PGSQL.5432.lock")] {
        fs::write(&file, &stale).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let cluster = Cluster::open(&place.settings());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert_eq!(ask(&cluster.unwrap(), &["select count(*)::text from kept"]), "0");
}

#[test]
fn an_initdb_that_was_killed_is_repaired_by_the_next_open() {
    if let Some(state) = child_state() {
        return hold(state);
    }
    let place = Place::new();
    let test = "an_initdb_that_was_killed_is_repaired_by_the_next_open";
    let mut child = again(&place, test, &place.state()).stdin(Stdio::piped()).spawn().unwrap();
    let home = place.state().join("postgresql");
    let unfinished = || {
        let entries = fs::read_dir(&home).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).find(|path| path.join("PG_VERSION").exists())
    };
    wait_until("initdb is at work", || unfinished().is_some());
    let fresh = unfinished().unwrap();
    // The tool itself dies in the middle; what it leaves is what a power cut would leave.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(fresh, place.data(), "made in place");
    let cluster = place.open();
    assert_eq!(ask(&cluster, &["select 'whole'"]), "whole");
    cluster.close().unwrap();
    // A child of the dead process may have gone on for a moment; the next attempt clears it up.
    assert_eq!(ask(&place.open(), &["select 'whole'"]), "whole");
}

#[test]
fn half_a_data_directory_never_gets_the_name() {
    let place = Place::new();
    let home = place.state().join("postgresql");
    place.open().close().unwrap();
    // As if the first attempt had been killed: its sibling is there, the data are not.
    let half = home.join("data.new-1");
    fs::rename(place.data(), &half).unwrap();
    fs::remove_file(half.join("global/pg_control")).unwrap();
    place.open().close().unwrap();
    assert!(!half.exists(), "left behind");
    assert!(place.data().join("global/pg_control").exists());
}

#[test]
fn a_server_left_with_its_socket_elsewhere_is_taken_over_unless_it_is_used() {
    let place = Place::new();
    let other = Settings { socket_dir: Some(place.dir.path().join("s")), ..place.settings() };
    let kept = Settings { keep_running: true, ..other.clone() };
    let cluster = Cluster::open(&kept).unwrap();
    assert!(cluster.url().contains("/s&user=periodd"), "{}", cluster.url());
    let said = sentence(&place.settings());
    assert!(said.contains("with its socket in") && said.contains("stop them first"), "{said}");
    cluster.close().unwrap();
    assert_eq!(ask(&place.open(), &["select 'moved'"]), "moved");
}

#[test]
fn a_socket_of_another_cluster_is_left_alone() {
    let (one, two) = (Place::new(), Place::new());
    let cluster = one.open();
    let socket_dir = Some(cluster.socket_dir().to_owned());
    let said = sentence(&Settings { socket_dir, ..two.settings() });
    assert!(said.contains("Another PostgreSQL server already listens on"), "{said}");
    assert_eq!(ask(&cluster, &["select 'untouched'"]), "untouched");
}

#[test]
fn the_socket_directory_is_the_gate_and_the_owning_roles_are_proven() {
    let place = Place::new();
    let cluster = place.open();
    let mode = fs::metadata(cluster.socket_dir()).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o750);
    let home = fs::metadata(place.state().join("postgresql")).unwrap();
    assert_eq!(home.mode() & 0o7777, 0o700);
    assert_eq!(home.uid(), fs::metadata(place.data()).unwrap().uid());
    let url = |user: &str| url_as(&cluster, user);
    ask_at(&url("postgres"), &["create role app login"]).unwrap();
    assert_eq!(ask_at(&url("app"), &["select current_user::text"]).unwrap(), "app");
    assert_eq!(ask_at(&url("postgres"), &["select current_user::text"]).unwrap(), "postgres");
    // What someone wrote over our rules is gone at the next start.
    cluster.close().unwrap();
    fs::write(place.data().join("pg_hba.conf"), "local all all reject\n").unwrap();
    assert_eq!(ask(&place.open(), &["select 'in'"]), "in");
}

#[test]
fn a_data_directory_of_another_major_version_is_refused() {
    let place = Place::new();
    place.open().close().unwrap();
    fs::write(place.data().join("PG_VERSION"), "14\n").unwrap();
    let said = sentence(&place.settings());
    assert!(said.contains("was created by PostgreSQL 14, but only PostgreSQL 1"), "{said}");
    assert!(said.contains(place.data().to_str().unwrap()) && said.contains("pg_upgrade"), "{said}");
}

#[test]
fn something_else_in_place_of_the_data_is_refused_and_kept() {
    let place = Place::new();
    fs::create_dir_all(place.data()).unwrap();
    fs::write(place.data().join("precious"), "").unwrap();
    let said = sentence(&place.settings());
    assert!(said.contains("not a PostgreSQL data directory"), "{said}");
    assert!(place.data().join("precious").exists());
}

#[test]
fn no_server_binaries_is_one_sentence() {
    let place = Place::new();
    let nowhere = Settings { search: Some(vec![place.dir.path().into()]), ..place.settings() };
    let said = sentence(&nowhere);
    assert!(said.contains("No PostgreSQL server was found"), "{said}");
    assert!(said.contains("apt install postgresql"), "{said}");
    let empty = Settings { bin_dir: Some(place.dir.path().into()), ..place.settings() };
    let said = sentence(&empty);
    assert!(said.contains("No PostgreSQL server in"), "{said}");
    assert!(said.contains(place.dir.path().to_str().unwrap()), "{said}");
}

#[test]
fn a_server_that_is_too_old_or_does_not_run_is_one_sentence() {
    let place = Place::new();
    let with = |script: &str| {
        for name in ["initdb", "postgres", "pg_ctl"] {
            let program = place.dir.path().join(name);
            shell("printf %s \"$1\" > \"$2\"", &[Path::new(script), &program]);
        }
        sentence(&Settings { search: Some(vec![place.dir.path().into()]), ..place.settings() })
    };
    let said = with("#!/bin/sh\necho 'postgres (PostgreSQL) 12.9'\n");
    assert!(said.contains("Found only PostgreSQL 12 (") && said.contains("15 to 18"), "{said}");
    let said = with("#!/bin/sh\necho 'libicu.so: not found' >&2; exit 127\n");
    assert!(said.contains("does not run as user") && said.contains("libicu.so"), "{said}");
}

#[test]
fn a_state_directory_that_cannot_be_written_is_one_sentence() {
    let place = Place::new();
    let file = place.dir.path().join("file");
    fs::write(&file, "").unwrap();
    for state in [file.join("state"), file.clone(), "/proc/periodd".into()] {
        let said = sentence(&Settings::new(&state));
        assert!(said.contains("The state directory cannot be used"), "{said}");
        assert!(said.contains(state.to_str().unwrap()), "{said}");
    }
}

#[test]
fn a_path_that_cannot_work_is_refused_before_anything_is_made() {
    let place = Place::new();
    let long = place.dir.path().join("x".repeat(100));
    let said = sentence(&Settings::new(&long));
    assert!(said.contains("bytes and must stay below 108"), "{said}");
    let awkward = place.dir.path().join("a$(b)");
    let said = sentence(&Settings::new(&awkward));
    assert!(said.contains("cannot be used for a database"), "{said}");
    assert!(!long.exists() && !awkward.exists());
}

#[test]
fn blanks_quotes_and_letters_in_a_path_are_fine() {
    let place = Place::new();
    let state = place.dir.path().join("it's a, größe");
    let cluster = Cluster::open(&Settings::new(&state)).unwrap();
    assert_eq!(ask(&cluster, &["select 'there'"]), "there");
    cluster.close().unwrap();
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let place = Place::new();
    place.open().close().unwrap();
    let local = place.data().join("local.conf");
    fs::write(&local, "shared_buffers = 'plenty'\n").unwrap();
    fs::set_permissions(&local, Permissions::from_mode(0o644)).unwrap();
    let error = Cluster::open(&place.settings()).err().unwrap();
    assert!(matches!(error, ClusterError::Start { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("server.log") && said.contains("plenty"), "{said}");
}

#[test]
fn a_directory_that_the_server_may_not_enter_is_named() {
    let place = Place::new();
    let closed = fs::canonicalize(place.dir.path()).unwrap().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let settings = Settings::new(closed.join("state"));
    if is_root() {
        let said = sentence(&settings);
        assert!(said.contains(&format!("chmod a+x {}", closed.display())), "{said}");
    } else {
        // For an ordinary user the server is one's own, and so is the directory.
        Cluster::open(&settings).unwrap().close().unwrap();
    }
}

#[test]
fn works_as_an_ordinary_user() {
    if let Some(state) = child_state() {
        assert!(!is_root());
        let cluster = Cluster::open(&Settings::new(&state)).unwrap();
        assert_eq!(ask(&cluster, &["select 'mine'"]), "mine");
        return cluster.close().unwrap();
    }
    let place = Place::new();
    let mut command = again(&place, "works_as_an_ordinary_user", &place.state());
    if !is_root() {
        assert!(command.status().unwrap().success());
        return;
    }
    let nobody = 65_534;
    fs::create_dir(place.state()).unwrap();
    chown(place.state(), Some(nobody), Some(nobody)).unwrap();
    command.uid(nobody).gid(nobody);
    assert!(command.status().unwrap().success());
    // Root's commands on that user's cluster run the server as that user, who can go on after.
    let cluster = place.open();
    assert_eq!(ask(&cluster, &["select 'root''s turn'"]), "root's turn");
    let postmaster = place.postmaster().unwrap();
    let owner = fs::metadata(format!("/proc/{postmaster}")).unwrap().uid();
    assert_eq!(owner, nobody);
    assert!(command.status().unwrap().success());
    assert!(is_alive(postmaster));
    cluster.close().unwrap();
    assert!(command.status().unwrap().success());
}

#[test]
fn as_root_the_server_runs_as_another_user() {
    let place = Place::new();
    let cluster = place.open();
    let postmaster = place.postmaster().unwrap();
    let owner = fs::metadata(format!("/proc/{postmaster}")).unwrap().uid();
    let own = fs::metadata("/proc/self").unwrap().uid();
    assert_ne!(owner, 0);
    assert!(is_root() || owner == own);
    // Nothing of our environment reaches the server: it may hold secrets.
    let environ = fs::read(format!("/proc/{postmaster}/environ")).unwrap();
    let environ = String::from_utf8_lossy(&environ);
    assert!(!environ.contains("CARGO"), "{environ}");
    cluster.close().unwrap();
}
