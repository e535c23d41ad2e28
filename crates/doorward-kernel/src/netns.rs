//! Network namespaces of this thread: which one it is in, making one of its own, going between them.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// A namespace held open; it lives as long as this value.
#[derive(Debug)]
pub struct NetNs(File);

/// What tells one namespace from another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NetNsId {
    device: u64,
    inode: u64,
}

impl NetNsId {
    /// Whether it is the very first, whose number is fixed since Linux 6.18 (`NET_NS_INIT_INO`) and was never
    /// given to another before.
    pub(crate) const fn is_first(self) -> bool {
        self.inode == 0xefff_fff9
    }
}

impl NetNs {
    /// The namespace that this thread is in.
    pub fn current() -> io::Result<NetNs> {
        File::open("/proc/thread-self/ns/net").map(NetNs)
    }

    /// The namespace that a process is in.
    pub fn of_process(pid: u32) -> io::Result<NetNs> {
        File::open(format!("/proc/{pid}/ns/net")).map(NetNs)
    }

    /// Its identity.
    pub fn id(&self) -> io::Result<NetNsId> {
        let data = self.0.metadata()?;
        Ok(NetNsId { device: data.dev(), inode: data.ino() })
    }

    /// Moves this thread into it.
    pub fn enter(&self) -> io::Result<()> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A namespace that this process made, and the proof of it.
#[derive(Debug)]
pub struct OwnNetNs(NetNs);

impl OwnNetNs {
    /// Makes an empty namespace and moves this thread into it. Needs `CAP_SYS_ADMIN` where the thread is.
    pub fn make() -> io::Result<OwnNetNs> {
        unshare(UnshareFlags::NEWNET)?;
        NetNs::current().map(OwnNetNs)
    }

    /// The namespace itself.
    pub fn namespace(&self) -> &NetNs {
        &self.0
    }
}

/// Makes this process root of a user namespace of its own, in which an ordinary user may make network
/// namespaces. The process must have one thread only.
pub fn become_root_of_own_user_namespace() -> io::Result<()> {
    become_user_of_own_user_namespace(0, 0)
}

/// The same under other numbers: what the process opens in network namespaces that it makes from now on
/// belongs to this user and group there. Its capabilities last until it executes another program.
pub fn become_user_of_own_user_namespace(uid: u32, gid: u32) -> io::Result<()> {
    let (outer_user, outer_group) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(UnshareFlags::NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {outer_user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {outer_group} 1"))
}

#[expect(
    deprecated,
    reason = "the successor is unsafe because of UnshareFlags::FILES, which this never passes"
)]
fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    rustix::thread::unshare(flags)?;
    Ok(())
}
