//! The Debian package: installed, upgraded, removed and purged by dpkg, over a copy of this
//! machine's own root that forgets everything afterwards.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
fn in_a_copy_of_this_machine(directory: &Path, script: &str) -> Output {
    let over = directory.join("over");
    std::fs::create_dir_all(&over).expect("a directory");
    let enter = format!(
        "set -e
         mount -t tmpfs none {over}
         mkdir {over}/upper {over}/work {over}/root
         mount -t overlay none -o lowerdir=/,upperdir={over}/upper,workdir={over}/work {over}/root
         mount --bind {packages} {over}/root/mnt
         mount -t proc none {over}/root/proc
         mount --bind /dev {over}/root/dev
         exec chroot {over}/root sh -ec '{script}'",
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
    let output = in_a_copy_of_this_machine(directory.path(), &script);
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
fn it_holds_what_a_package_holds_and_needs_little() {
    let directory = TempDir::new().expect("a directory");
    let file = package(directory.path(), "0.1.0");
    let field = |name: &str| {
        let output = Command::new("dpkg-deb").arg("-f").arg(&file).arg(name).output();
        text(&output.expect("dpkg-deb runs").stdout).trim().to_owned()
    };
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
