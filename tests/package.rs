//! The Debian package: installed, upgraded, removed and purged by dpkg, over a copy of this
//! machine's own root that forgets everything afterwards; and the first hour with it, as the README
//! tells it.

mod support;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::TestDatabase;
use tempfile::TempDir;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Builds a package of the binary under test.
fn package(directory: &Path, version: &str) -> PathBuf {
    let built = Command::new(repository().join("scripts/debian-package"))
        .arg(env!("CARGO_BIN_EXE_periodd"))
        .arg(directory)
        .env("PERIODD_PACKAGE_VERSION", version)
        .env("PERIODD_PACKAGE_COMPRESSION", "none")
        .output()
        .expect("the script runs");
    assert!(built.status.success(), "{}", text(&built.stderr));
    PathBuf::from(text(&built.stdout).trim())
}

/// Runs a script as root of a machine of its own: mounts that end with it, over this one's root.
/// What lies in the directory is in /mnt there, and the test server's socket, if it is wanted, in
/// /srv.
fn in_a_copy_of_this_machine(directory: &Path, server: Option<&str>, script: &str) -> Output {
    let srv = server.map(|server| format!("mount --bind {server} $root/srv"));
    let srv = srv.unwrap_or_default();
    std::fs::write(directory.join("script"), script).expect("the script is written");
    let over = directory.join("over");
    std::fs::create_dir_all(&over).expect("a directory");
    let enter = format!(
        "set -e
         mount -t tmpfs none {over}
         root={over}/root; mkdir {over}/upper {over}/work $root
         mount -t overlay none -o lowerdir=/,upperdir={over}/upper,workdir={over}/work $root
         mount --bind {packages} $root/mnt
         mount -t proc none $root/proc
         mount --bind /dev $root/dev
         {srv}
         exec chroot $root sh -e /mnt/script",
        over = over.display(),
        packages = directory.display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--propagation", "private"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["sh", "-c", &enter]).env("DEBIAN_FRONTEND", "noninteractive");
    command.output().expect("unshare runs")
}

#[test]
fn it_is_installed_upgraded_with_its_configuration_kept_and_removed() {
    let directory = TempDir::new().expect("a directory");
    let first = package(directory.path(), "0.1.0");
    let second = package(directory.path(), "0.2.0");
    let name = |file: &Path| file.file_name().expect("a name").to_string_lossy().into_owned();
    let script = format!(
        "dpkg --force-depends -i /mnt/{first}
         echo installed; periodd --version; getent passwd periodd | cut -d: -f1,6
         cd /; for file in /lib/systemd/system/periodd.service /usr/share/man/man1/periodd.1.gz \\
             /usr/share/man/man1/periodd-packs-refund.1.gz /etc/periodd/periodd.toml \\
             /usr/share/bash-completion/completions/periodd; do test -s $file; done
         periodd --quiet config check
         bash -c \". /usr/share/bash-completion/completions/periodd && complete -p periodd\"
         echo \"[log]\" >> /etc/periodd/periodd.toml
         echo \"level = \\\"warn\\\"\" >> /etc/periodd/periodd.toml
         dpkg --force-depends -i /mnt/{second} < /dev/null
         echo upgraded; tail -1 /etc/periodd/periodd.toml
         mkdir -p /var/lib/periodd/postgresql
         dpkg -r periodd
         echo removed; test ! -e /usr/bin/periodd; tail -1 /etc/periodd/periodd.toml
         dpkg -P periodd
         echo purged; test ! -e /etc/periodd/periodd.toml; test -d /var/lib/periodd/postgresql
         echo kept",
        first = name(&first),
        second = name(&second),
    );
    let output = in_a_copy_of_this_machine(directory.path(), None, &script);
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    let mut rest = said.as_str();
    for expected in [
        "systemctl enable --now periodd",
        "installed",
        concat!("periodd ", env!("CARGO_PKG_VERSION")),
        "periodd:/var/lib/periodd",
        "complete ",
        "upgraded",
        "level = \"warn\"",
        "removed",
        "level = \"warn\"",
        "purged",
        "kept",
    ] {
        let at = rest.find(expected);
        let at = at.unwrap_or_else(|| panic!("{expected} in\n{rest}\n{complained}"));
        rest = &rest[at + expected.len()..];
    }
}

#[test]
fn the_same_sources_make_the_same_package() {
    let (first, second) = (TempDir::new().expect("a directory"), TempDir::new().expect("one"));
    let bytes =
        |directory: &TempDir| std::fs::read(package(directory.path(), "0.1.0")).expect("a package");
    // The second one is made in a later second.
    let one = bytes(&first);
    assert!(one == bytes(&second), "the packages differ");
    let unpacked = TempDir::new().expect("a directory");
    let file = package(first.path(), "0.1.0");
    let target = unpacked.path().join("root");
    let status = Command::new("dpkg-deb").arg("-x").arg(&file).arg(&target).status();
    assert!(status.expect("dpkg-deb runs").success());
    let mode = std::fs::metadata(&target).expect("there").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o755);
    let copyright = target.join("usr/share/doc/periodd/copyright");
    let copyright = std::fs::read_to_string(copyright).expect("there");
    assert!(copyright.starts_with("Format: https://www.debian.org/doc/packaging-manuals/"));
}

#[test]
fn it_holds_what_a_package_holds_and_needs_little() {
    let directory = TempDir::new().expect("a directory");
    let file = package(directory.path(), "0.1.0");
    let field = |name: &str| {
        let output = Command::new("dpkg-deb").arg("-f").arg(&file).arg(name).output();
        text(&output.expect("dpkg-deb runs").stdout).trim().to_owned()
    };
    assert_eq!(field("Suggests"), "postgresql", "the database may be on another machine");
    assert_eq!(field("Recommends"), "tzdata, ca-certificates");
    let depends = field("Depends");
    assert!(depends.contains("libc6 (>= "), "{depends}");
    let known = ["libc6", "libgcc-s1"];
    for package in depends.split(", ") {
        let name = package.split(' ').next().unwrap_or_default();
        assert!(known.contains(&name), "{package}: the program needs the C library and no other");
    }
    let contents = Command::new("dpkg-deb").arg("-c").arg(&file).output().expect("dpkg-deb runs");
    let contents = text(&contents.stdout);
    for line in contents.lines() {
        assert!(line.contains("root/root"), "{line}");
    }
    for path in ["./lib/systemd/system/periodd.service", "./usr/lib/sysusers.d/periodd.conf"] {
        assert!(contents.contains(path), "{contents}");
    }
}

/// A block of the README: its language and its lines.
struct Block {
    language: String,
    lines: Vec<String>,
}

/// The blocks of a chapter of the README.
fn blocks(heading: &str) -> Vec<Block> {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("the README");
    let lines = readme.lines().skip_while(|line| *line != heading).skip(1);
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in lines.take_while(|line| !line.starts_with("## ")) {
        match (line.strip_prefix("```"), inside) {
            (Some(language), false) => {
                blocks.push(Block { language: language.to_owned(), lines: Vec::new() });
                inside = true;
            }
            (Some(_), true) => inside = false,
            (None, true) => blocks.last_mut().expect("one").lines.push(line.to_owned()),
            (None, false) => {}
        }
    }
    blocks
}

/// When the first hour is.
const NOW: &str = "2026-11-22T12:00:00Z";

#[tokio::test]
async fn the_first_hour_goes_as_the_readme_says() {
    let test = TestDatabase::empty().await;
    let directory = TempDir::new().expect("a directory");
    let package = package(directory.path(), "0.1.0");
    let name = package.file_name().expect("a name").to_string_lossy().into_owned();
    // The package comes from here and not from where it was downloaded to, its day is not today,
    // and the database has a name of its own.
    let mut script = format!(
        "periodd() {{ command periodd --at {NOW} \"$@\"; }}
         date() {{ case \" $*\" in *\" -d \"*) command date \"$@\";; \
             *) command date -d {NOW} \"$@\";; esac; }}
         export HOME=/home/ann NO_COLOR=1 PERIODD__DATABASE__SANDBOX=true
         unset DATABASE_URL
         mkdir -p $HOME; cd $HOME; exec 2>&1\n"
    );
    let url = format!("postgresql:///{}?host=/srv&user=postgres", test.name);
    let mut expected: Vec<(String, String)> = Vec::new();
    for block in blocks("## The first hour") {
        let text = block.lines.join("\n");
        match block.language.as_str() {
            "toml" => writeln!(script, "cat >>$PERIODD_CONFIG <<'END'\n{text}\nEND"),
            "csv" => writeln!(script, "cat >usage.csv <<'END'\n{text}\nEND"),
            "console" => {
                let mut goes_on = false;
                for line in &block.lines {
                    let typed = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "));
                    if let Some(typed) = typed.filter(|_| !goes_on) {
                        let typed = if typed.starts_with("apt-get install ./periodd_") {
                            format!("dpkg --force-depends -i /mnt/{name} >/dev/null 2>&1")
                        } else {
                            typed.replace("postgresql:///app", &format!("'{url}'"))
                        };
                        expected.push((typed.clone(), String::new()));
                        writeln!(script, "echo '@@ next'\n{typed}").expect("memory");
                        goes_on = typed.ends_with('\\');
                    } else if goes_on {
                        writeln!(script, "{line}").expect("memory");
                        goes_on = line.ends_with('\\');
                    } else {
                        let (_, printed) = expected.last_mut().expect("a command comes first");
                        writeln!(printed, "{}", line.trim_end()).expect("memory");
                    }
                }
                Ok(())
            }
            other => panic!("a block of {other} is not for a terminal"),
        }
        .expect("memory");
    }
    assert!(expected.len() >= 13, "the first hour has {} steps", expected.len());
    let server = support::server();
    let output = in_a_copy_of_this_machine(directory.path(), Some(&server), &script);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    let printed: Vec<&str> = said.split("@@ next\n").skip(1).collect();
    assert_eq!(printed.len(), expected.len(), "{said}");
    for ((command, expected), printed) in expected.iter().zip(printed) {
        let lines = printed.trim_end().lines().map(str::trim_end);
        let printed = lines.collect::<Vec<_>>().join("\n");
        assert!(
            printed == expected.trim_end(),
            "`{command}` prints\n{printed}\nand the README says\n{expected}\nin all\n{said}"
        );
    }
    test.check_invariants().await;
}

/// Makes a release archive of the binary under test.
fn archive(directory: &Path) -> PathBuf {
    let made = Command::new(repository().join("scripts/dist"))
        .arg(env!("CARGO_BIN_EXE_periodd"))
        .arg(directory)
        .output()
        .expect("the script runs");
    assert!(made.status.success(), "{}", text(&made.stderr));
    PathBuf::from(text(&made.stdout).trim())
}

#[test]
fn a_release_archive_is_whole_and_the_same_each_time() {
    let directory = TempDir::new().expect("a directory");
    let [first, second] = ["one", "two"].map(|name| {
        let archive = archive(&directory.path().join(name));
        std::fs::read(&archive).map(|bytes| (archive, bytes)).expect("an archive")
    });
    assert!(first.1 == second.1, "the same program makes the same archive");
    let folder = first.0.parent().expect("a directory");
    let name = first.0.file_name().expect("a name").to_string_lossy().into_owned();
    let script = format!(
        "set -e; cd '{}'; sha256sum -c --quiet {name}.sha256; tar xzf {name}; cd periodd-*/
         for file in LICENSE-MIT LICENSE-APACHE README.md config/periodd.toml Containerfile \\
             .containerignore scripts/image \\
             systemd/periodd.service completions/periodd.bash man/man1/periodd-rollover.1 \\
             packaging/kubernetes/periodd.yaml docs/growing.md; do test -s $file; done
         ./periodd --version",
        folder.display()
    );
    let unpacked = Command::new("sh").args(["-c", &script]).output().expect("a shell");
    assert!(unpacked.status.success(), "{}", text(&unpacked.stderr));
    let version = concat!("periodd ", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&unpacked.stdout).trim(), version);
}

#[test]
fn kubernetes_knows_every_word_of_the_manifests() {
    let folder = repository().join("packaging/kubernetes");
    let validate = |file: &Path| {
        let script = repository().join("scripts/kubernetes-validate");
        Command::new(script).arg(file).output().expect("the script runs")
    };
    let held = validate(&folder.join("periodd.yaml"));
    assert!(held.status.success(), "{}{}", text(&held.stdout), text(&held.stderr));
    // And finds a word that it does not know.
    let directory = TempDir::new().expect("a directory");
    let manifest = std::fs::read_to_string(folder.join("periodd.yaml")).expect("a manifest");
    let misspelt = directory.path().join("misspelt.yaml");
    let fault = manifest.replace("terminationGracePeriodSeconds", "terminationGraceSeconds");
    std::fs::write(&misspelt, fault).expect("it is written");
    let refused = validate(&misspelt);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(text(&refused.stdout).contains("terminationGraceSeconds"), "{}", text(&refused.stdout));
}

/// The first whole number after a text.
fn number_after(file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(repository().join(file)).expect("a file");
    let rest = text.split(key).nth(1).unwrap_or_else(|| panic!("{file} has no {key}"));
    let digits: String = rest
        .trim_start()
        .trim_start_matches('"')
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or_else(|_| panic!("{file}: no number after {key}"))
}

#[test]
fn containers_agree_with_the_program_and_with_each_other() {
    let manifests = "packaging/kubernetes/periodd.yaml";
    let drain = number_after("config/periodd.toml", "drain_timeout = ");
    assert!(number_after(manifests, "terminationGracePeriodSeconds:") > drain);
    assert!(number_after("compose.yaml", "drain_timeout (30s).\n    stop_grace_period:") > drain);
    let user = number_after("Containerfile", "USER ");
    assert_eq!(number_after(manifests, "runAsUser:"), user);
    assert_eq!(number_after("scripts/image", "periodd:x:"), user);
    assert!(number_after(manifests, "replicas:") > 1);
    let manifest = std::fs::read_to_string(repository().join(manifests)).expect("manifests");
    let image = concat!("image: periodd:", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(manifest.matches(image).count(), 2, "the image of this version");
    // The configuration in it is one that the program takes.
    let toml = manifest.split("periodd.toml: |\n").nth(1).expect("a configuration");
    let toml = toml.split("---").next().unwrap_or_default();
    let toml: String = toml.lines().map(|line| [line.trim_start(), "\n"].concat()).collect();
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("periodd.toml");
    std::fs::write(&file, toml).expect("it is written");
    let checked = Command::new(env!("CARGO_BIN_EXE_periodd"))
        .arg("--config")
        .arg(&file)
        .args(["config", "show"])
        .output()
        .expect("the binary runs");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}
