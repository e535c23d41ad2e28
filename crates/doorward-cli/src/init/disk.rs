//! Whether what boot needs is on a disk of this host: the rules are loaded before there is a network.

use super::{Host, Start};
use crate::exit::{Exit, Failure};
use rustix::fs::{major, minor, stat};
use std::path::Path;

/// File systems that are somewhere else, as the kernel calls them.
const ELSEWHERE: [&str; 16] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "coda",
    "lustre",
    "beegfs",
    "gpfs",
    "orangefs",
    "pvfs2",
    "glusterfs",
    "davfs",
    "ncpfs",
];
/// The same among those that a program serves.
const SERVED: [&str; 9] =
    ["sshfs", "glusterfs", "ceph", "s3fs", "rclone", "curlftpfs", "davfs2", "moosefs", "juicefs"];

/// Refuses what is not there before the network is.
pub(crate) fn is_here(host: &Host, start: &Start) -> Result<(), Failure> {
    // Where nobody can tell, nothing is refused.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for (path, way_out) in [
        (start.program.as_str(), "install the program on a disk of this host, and run that one"),
        (start.state(), "keep the state on a disk of this host, and name that folder with --state"),
    ] {
        if let Some(kind) = kind_at(&host.path(path), &mounts).filter(|kind| is_elsewhere(kind)) {
            let message = format!(
                "`{path}` is on a disk of another host ({kind}): boot loads rules before the network"
            );
            return Err(Failure::new(Exit::Refused, message).way_out(way_out));
        }
    }
    Ok(())
}

fn is_elsewhere(kind: &str) -> bool {
    match kind.strip_prefix("fuse.") {
        Some(served) => SERVED.contains(&served),
        None => ELSEWHERE.contains(&kind),
    }
}

/// The kind of file system that a path is on.
fn kind_at<'m>(path: &Path, mounts: &'m str) -> Option<&'m str> {
    let device = stat(path).ok()?.st_dev;
    kind_of(&format!("{}:{}", major(device), minor(device)), mounts)
}

/// `36 35 0:41 / /mnt rw,noatime shared:1 - nfs4 server:/export rw,vers=4.2`
fn kind_of<'m>(device: &str, mounts: &'m str) -> Option<&'m str> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (before.split(' ').nth(2) == Some(device)).then(|| after.split(' ').next())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        36 22 0:41 / /srv rw,noatime shared:9 master:2 - nfs4 server:/export rw,vers=4.2\n\
        37 22 0:42 / /var/lib/doorward rw - cifs //server/share rw\n\
        38 22 0:43 / /home/USER/far rw,nosuid - fuse.sshfs USER@example.com: rw,user_id=0\n\
        39 22 0:44 / /media/stick rw - fuse.ntfs-3g /dev/sdb1 rw\n";

    #[test]
    fn disks_of_other_hosts() {
        for (device, kind, elsewhere) in [
            ("254:0", "ext4", false),
            ("0:41", "nfs4", true),
            ("0:42", "cifs", true),
            ("0:43", "fuse.sshfs", true),
            ("0:44", "fuse.ntfs-3g", false),
        ] {
            assert_eq!(kind_of(device, MOUNTS), Some(kind));
            assert_eq!(is_elsewhere(kind), elsewhere, "{kind}");
        }
        assert_eq!(kind_of("0:4", MOUNTS), None);
    }

    /// The disk that this runs on is found among the real mounts.
    #[test]
    fn the_kind_of_a_real_disk() {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert_eq!(kind_at(Path::new("/proc"), &mounts), Some("proc"));
    }
}
