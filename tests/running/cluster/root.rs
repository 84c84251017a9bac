//! Root's commands on state that is somebody else's: they are done as that user.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{Place, ask, is_root, sentence};

const NOBODY: u32 = 65_534;
/// No files at all.
pub(super) const TEMPORARY: [PathBuf; 0] = [];

/// The program on a place's state directory.
pub(super) fn command(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_periodd"));
    command.args(args).env("PERIODD__DAEMON__STATE_DIR", place.state());
    command.env("PERIODD__DAEMON__SOCKET_DIR", place.state().join("run"));
    command.env_remove("DATABASE_URL").env_remove("PERIODD_CONFIG");
    command.stdin(Stdio::null()).current_dir("/");
    command
}

pub(super) fn output(command: &mut Command) -> (ExitStatus, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&said).into_owned())
}

pub(super) fn periodd(place: &Place, args: &[&str]) -> (ExitStatus, String) {
    output(&mut command(place, args))
}

#[track_caller]
fn done(place: &Place, args: &[&str]) -> String {
    let (status, said) = periodd(place, args);
    assert!(status.success(), "{args:?}: {said}");
    said
}

/// Asks a process to end.
pub(super) fn terminate(child: &Child) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}

/// What below a directory, itself included, belongs to somebody else.
pub(super) fn not_of(uid: u32, dir: &Path) -> Vec<PathBuf> {
    let mut others = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        if found.uid() != uid {
            others.push(path);
        }
    }
    others
}

/// A state directory of nobody's.
fn of_nobody() -> Place {
    let place = Place::new();
    fs::create_dir(place.state()).unwrap();
    chown(place.state(), Some(NOBODY), Some(NOBODY)).unwrap();
    place
}

#[test]
fn state_of_another_user_gets_nothing_of_roots() {
    if !is_root() {
        return;
    }
    let place = of_nobody();
    done(&place, &["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"]);
    done(&place, &["packs", "grant", "--org", "acme", "--feature", "sms_sent", "--quantity", "10"]);
    done(&place, &["usage", "record", "--org", "acme", "--feature", "sms_sent", "--quantity", "9"]);
    done(&place, &["alerts", "run"]);
    done(&place, &["alerts", "test", "ann@example.com"]);
    let emails = fs::read_dir(place.state().join("mail")).unwrap().count();
    assert!(emails > 0, "an email was written");
    assert_eq!(not_of(NOBODY, &place.state()), TEMPORARY);
    // Its owner goes on where root was.
    let mut own = super::again(&place, "works_as_an_ordinary_user", &place.state());
    std::os::unix::process::CommandExt::uid(&mut own, NOBODY);
    assert!(own.status().unwrap().success());
}

#[test]
fn the_demos_directory_of_another_user_is_worked_in_as_that_user() {
    if !is_root() {
        return;
    }
    let place = of_nobody();
    let state = place.state();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_periodd"));
    demo.args(["demo", "--state-dir"]).arg(&state).current_dir("/");
    let (status, said) = output(&mut demo);
    assert!(status.success(), "{said}");
    assert_eq!(not_of(NOBODY, &state), TEMPORARY);
}

#[test]
fn where_nothing_is_anybodys_the_servers_user_gets_all_of_it() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    done(&place, &["alerts", "test", "ann@example.com"]);
    let owner = fs::metadata(place.state()).unwrap().uid();
    assert_ne!(owner, 0);
    assert_eq!(not_of(owner, &place.state()), TEMPORARY);

    // A state directory that is root's stays so; what is below becomes the user's.
    let place = Place::new();
    fs::create_dir(place.state()).unwrap();
    done(&place, &["alerts", "test", "ann@example.com"]);
    assert_eq!(not_of(owner, &place.state()), [place.state()]);
    done(&place, &["alerts", "test", "ann@example.com"]);
}

#[test]
fn links_in_the_owners_directory_lead_root_nowhere() {
    if !is_root() {
        return;
    }
    let place = of_nobody();
    let precious = place.dir.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    fs::set_permissions(&precious, Permissions::from_mode(0o600)).unwrap();
    let elsewhere = place.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o755)).unwrap();
    // The mail directory, the server's and the socket's lead out of the state directory.
    for name in ["postgresql", "run", "mail"] {
        let link = place.state().join(name);
        symlink(&elsewhere, &link).unwrap();
        let (status, said) = periodd(&place, &["alerts", "test", "ann@example.com"]);
        assert!(!status.success(), "{name}: {said}");
        fs::remove_file(link).unwrap();
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    let mode =
        |path: &Path| (fs::metadata(path).unwrap().uid(), fs::metadata(path).unwrap().mode());
    assert_eq!(mode(&elsewhere), (0, 0o040_755));
    assert_eq!(mode(&precious), (0, 0o100_600));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    done(&place, &["alerts", "test", "ann@example.com"]);
}

#[test]
fn root_that_cannot_become_the_owner_writes_nothing() {
    if !is_root() {
        return;
    }
    for state in [of_nobody(), Place::new()] {
        let mut bound = Command::new("setpriv");
        bound.args(["--bounding-set=-setuid", "--"]).arg(env!("CARGO_BIN_EXE_periodd"));
        bound.args(["alerts", "test", "ann@example.com"]).current_dir("/");
        bound.env("PERIODD__DAEMON__STATE_DIR", state.state());
        bound.env("PERIODD__DAEMON__SOCKET_DIR", state.state().join("run"));
        let before = not_of(NOBODY + 1, state.dir.path());
        let (status, said) = output(&mut bound);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("root cannot switch to that user here"), "{said}");
        assert_eq!(not_of(NOBODY + 1, state.dir.path()), before);
    }
}

#[test]
fn secrets_that_only_root_may_read_are_read_before() {
    if !is_root() {
        return;
    }
    // The database is a private cluster of the same user's, named like any other.
    let place = of_nobody();
    done(&place, &["db", "migrate"]);
    let cluster = place.open();
    let closed = place.dir.path().join("credstore");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    for (name, text) in [("url", cluster.url().as_str()), ("password", "hunter2")] {
        fs::write(closed.join(name), text).unwrap();
        fs::set_permissions(closed.join(name), Permissions::from_mode(0o600)).unwrap();
    }
    let other = of_nobody();
    let with_secrets = |args: &[&str]| {
        let mut command = command(&other, args);
        command.env("PERIODD__DATABASE__URL_FILE", closed.join("url"));
        command.env("PERIODD__MAIL__SMTP__PASSWORD_FILE", closed.join("password"));
        command.env("PERIODD__MAIL__SMTP__USERNAME", "periodd");
        output(&mut command)
    };
    let add = ["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"];
    let (status, said) = with_secrets(&add);
    assert!(status.success(), "{said}");
    assert_eq!(ask(&cluster, &["select slug from organizations"]), "acme");
    let (_, said) = with_secrets(&["doctor"]);
    assert!(!said.contains("credstore"), "{said}");
    let (status, said) = with_secrets(&["alerts", "test", "ann@example.com"]);
    assert!(status.success(), "{said}");
    assert_eq!(not_of(NOBODY, &other.state()), TEMPORARY);

    // Files that the command line names are root's to read and to write.
    let (csv, page) = (closed.join("may.csv"), closed.join("acme.html"));
    fs::write(&csv, "org,feature,quantity,used_at\n").unwrap();
    let (status, said) = with_secrets(&["usage", "import", csv.to_str().unwrap()]);
    assert!(status.success(), "{said}");
    let (status, said) = with_secrets(&["explain", "acme", "--html", page.to_str().unwrap()]);
    assert!(status.success(), "{said}");
    assert!(fs::read_to_string(&page).unwrap().contains("Acme"));
    let (status, _) = with_secrets(&["explain", "nobody", "--html", page.to_str().unwrap()]);
    assert!(!status.success() && fs::metadata(&page).unwrap().len() > 0, "it stays as it was");
    drop(cluster);
}

#[test]
fn data_moved_to_another_disk_by_a_link_are_used_or_are_one_sentence() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    place.open().close().unwrap();
    let home = place.state().join("postgresql");
    let disk = place.dir.path().join("disk");
    let owner = fs::metadata(&home).unwrap();
    fs::rename(&home, &disk).unwrap();
    symlink(&disk, &home).unwrap();
    assert_eq!(ask(&place.open(), &["select 'moved'"]), "moved");
    done(&place, &["db", "migrate"]);

    // A target that is root's is the administrator's, and is left as it is.
    let (empty, link) = (place.dir.path().join("empty"), Place::new());
    fs::create_dir(&empty).unwrap();
    fs::set_permissions(&empty, Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(link.state()).unwrap();
    symlink(&empty, link.state().join("postgresql")).unwrap();
    let said = sentence(&link.settings());
    assert!(said.contains("is a link to") && said.contains("chown"), "{said}");
    let (status, said) = periodd(&link, &["db", "migrate"]);
    assert!(status.code() == Some(69) && said.contains("is a link to"), "{said}");
    let found = fs::metadata(&empty).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o7777), (0, 0o755));
    // What the sentence says works.
    chown(&empty, Some(owner.uid()), Some(owner.gid())).unwrap();
    done(&link, &["db", "migrate"]);
}
