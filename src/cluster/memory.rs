//! How much memory a process started here may use: the machine's, or what its control groups or its
//! own limits leave of it.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// The least of them in bytes; `None` where nothing says it.
pub(super) fn limit() -> Option<u64> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let machine = total(&read("/proc/meminfo"));
    let groups = limit_files(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
    let groups =
        groups.iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    let own = getrlimit(Resource::As).current;
    machine.into_iter().chain(groups).chain(own).min()
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The files that may limit the memory of a process in these control groups, of both versions: its
/// own group's and those of every group above it, as far as they are seen here.
fn limit_files(groups: &str, mounts: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        // hierarchy:controllers:path; version 2 has the number 0 and no controllers.
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (kind, name) = match controllers {
            "" => ("cgroup2", "memory.max"),
            some if some.split(',').any(|one| one == "memory") => {
                ("cgroup", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for (root, mount) in mounts.lines().filter_map(|line| mounted(line, kind)) {
            // In a container the group's path may be the machine's: what is mounted is what there
            // is.
            let inside = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
            let inside = inside.strip_prefix("/").unwrap_or(inside);
            let top = Path::new(mount);
            let own = top.join(inside);
            files.extend(
                own.ancestors().take_while(|dir| dir.starts_with(top)).map(|dir| dir.join(name)),
            );
        }
    }
    files
}

/// Which part of a hierarchy is mounted where, if the line of `mountinfo` is about one of this kind
/// that counts memory.
fn mounted<'a>(line: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (mount, system) = line.split_once(" - ")?;
    let mut system = system.split(' ');
    let is_kind = system.next() == Some(kind);
    let options = system.nth(1).unwrap_or_default();
    let counts = kind == "cgroup2" || options.split(',').any(|option| option == "memory");
    let mut fields = mount.split(' ').skip(3);
    (is_kind && counts).then_some(())?;
    Some((fields.next()?, fields.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(groups: &str, mounts: &str) -> Vec<String> {
        let files = limit_files(groups, mounts);
        files.iter().map(|file| file.display().to_string()).collect()
    }

    #[test]
    fn every_group_on_the_way_up_counts() {
        let mounts = "24 20 0:21 / /proc rw - proc proc rw
29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(
            names("0::/system.slice/periodd.service\n", mounts),
            [
                "/sys/fs/cgroup/system.slice/periodd.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
    }

    #[test]
    fn a_container_sees_its_own_part_of_the_tree() {
        let mounts = "30 24 0:27 /docker/4f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
31 24 0:28 /docker/4f /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu";
        assert_eq!(
            names("5:cpu:/docker/4f\n4:memory:/docker/4f\n", mounts),
            ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        let mounts = "30 24 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup rw";
        assert_eq!(names("0::/\n", mounts), ["/sys/fs/cgroup/memory.max"]);
        assert!(names("0::/\n", "").is_empty());
    }

    #[test]
    fn what_sets_no_limit_is_no_number() {
        assert_eq!(total("MemTotal:       1024 kB\nMemFree: 1 kB\n"), Some(1 << 20));
        assert_eq!("max".parse::<u64>().ok(), None);
    }
}
