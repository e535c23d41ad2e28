//! The way from the root of the file system to a folder, each step held and looked at.

use super::Folder;
use super::judge::{failed, is_trusted, refused};
use crate::exit::Failure;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The folder above and the name in it.
pub(super) fn parts(path: &Path) -> Result<(PathBuf, OsString), Failure> {
    let whole = std::path::absolute(path).map_err(|error| failed(path, "be opened", &error))?;
    match (whole.parent(), whole.file_name()) {
        (Some(beside), Some(name)) => Ok((beside.to_owned(), name.to_owned())),
        _ => {
            Err(refused(path, "has no name of its own")
                .way_out("name a folder for doorward alone with --state"))
        }
    }
}

/// The folder, where nobody else can put another one into the place of one on the way.
pub(super) fn to(path: &Path) -> Result<Option<Folder>, Failure> {
    let real = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "be opened", &error)),
    };
    // Whoever can change a link on the way has to be trusted as much as who has the folders behind it.
    for folder in path.ancestors() {
        if let Ok(data) = fs::metadata(folder) {
            passable(folder, data.uid(), data.gid(), data.mode())?;
        }
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = PathBuf::from("/");
    let failed = |at: &Path, errno: Errno| failed(at, "be opened", &errno.into());
    let mut handle = rustix::fs::open(&at, flags, Mode::empty()).map_err(|errno| failed(&at, errno))?;
    for part in real.components() {
        let Component::Normal(name) = part else { continue };
        at.push(name);
        handle =
            rustix::fs::openat(&handle, name, flags, Mode::empty()).map_err(|errno| failed(&at, errno))?;
        let stat = rustix::fs::fstat(&handle).map_err(|errno| failed(&at, errno))?;
        passable(&at, stat.st_uid, stat.st_gid, stat.st_mode)?;
    }
    // As it was said, so that people know it again.
    Ok(Some(Folder { handle, path: path.to_owned() }))
}

/// Whether nobody else can rename what lies in a folder.
fn passable(path: &Path, owner: u32, group: u32, mode: u32) -> Result<(), Failure> {
    const STICKY: u32 = 0o1000;
    let shown = path.display();
    if !is_trusted(owner) && !is_nobody_here(owner) {
        return Err(refused(path, format!("is on the way and belongs to user {owner}"))
            .way_out("name a folder below folders of root with --state"));
    }
    let open = mode & 0o002 != 0 || (mode & 0o020 != 0 && group != 0);
    // In a folder like /tmp, nobody renames what is another's.
    if open && mode & STICKY == 0 {
        return Err(refused(path, "is on the way and can be changed by others")
            .way_out(format!("chmod go-w {shown}, or name another folder with --state")));
    }
    Ok(())
}

/// In a user namespace of our own, what belongs to the host's root belongs to nobody we can name.
fn is_nobody_here(owner: u32) -> bool {
    const UNMAPPED: u32 = 65_534;
    const EVERYBODY: &str = "4294967295";
    let all_are_mapped = || {
        fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_whitespace().eq(["0", "0", EVERYBODY]))
    };
    owner == UNMAPPED && !all_are_mapped()
}
