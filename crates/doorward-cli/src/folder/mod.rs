//! Folders and files that nobody else can change, reached from a handle so that no path is swapped in between;
//! knows nothing of what is in them.

mod judge;
mod way;

use crate::exit::Failure;
use judge::{failed, ours_alone, refused};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder that is ours alone, held open.
#[derive(Debug)]
pub(crate) struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// The folder of this path, if there is one.
    pub(crate) fn open(path: &Path) -> Result<Option<Folder>, Failure> {
        let (beside, name) = way::parts(path)?;
        match way::to(&beside)? {
            Some(above) => above.sub(&name),
            None => Ok(None),
        }
    }

    /// The same, made if it is missing, with all folders on the way.
    pub(crate) fn make(path: &Path) -> Result<Folder, Failure> {
        let (beside, name) = way::parts(path)?;
        let built = DirBuilder::new().recursive(true).mode(0o700).create(&beside);
        built.map_err(|error| failed(&beside, "be made", &error))?;
        match way::to(&beside)? {
            Some(above) => above.always_sub(&name),
            None => Err(failed(&beside, "be opened", &ErrorKind::NotFound.into())),
        }
    }

    /// Where it lies, for people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it, if there is one.
    pub(crate) fn sub(&self, name: &OsStr) -> Result<Option<Folder>, Failure> {
        let path = self.path.join(name);
        let Some(handle) = self.open_at(name, OFlags::DIRECTORY)? else { return Ok(None) };
        let stat =
            rustix::fs::fstat(&handle).map_err(|errno| failed(&path, "be looked at", &errno.into()))?;
        ours_alone(&path, &stat)?;
        Ok(Some(Folder { handle, path }))
    }

    /// The same, made if it is missing, and on the disk then.
    pub(crate) fn always_sub(&self, name: &OsStr) -> Result<Folder, Failure> {
        if let Some(folder) = self.sub(name)? {
            return Ok(folder);
        }
        let folder = self.make_sub(name)?;
        self.sync()?;
        Ok(folder)
    }

    /// A new folder in it, or one that somebody made meanwhile.
    pub(crate) fn make_sub(&self, name: &OsStr) -> Result<Folder, Failure> {
        let path = self.path.join(name);
        match rustix::fs::mkdirat(&self.handle, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.failed(name, "be made", &errno.into())),
        }
        self.sub(name)?.ok_or_else(|| failed(&path, "be opened", &ErrorKind::NotFound.into()))
    }

    /// A new folder in it that everybody may read, for links that others look at.
    pub(crate) fn make_public_sub(&self, name: &OsStr) -> Result<Folder, Failure> {
        let folder = self.make_sub(name)?;
        let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
        rustix::fs::fchmod(&folder.handle, mode)
            .map_err(|errno| self.failed(name, "be made", &errno.into()))?;
        self.sync()?;
        Ok(folder)
    }

    /// A link in it.
    pub(crate) fn symlink(&self, to: &str, name: &str) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(to, &self.handle, name)?)
    }

    /// Where a link in it leads, if it is one.
    pub(crate) fn leads(&self, name: &str) -> Option<PathBuf> {
        let to = rustix::fs::readlinkat(&self.handle, name, Vec::new()).ok()?;
        Some(PathBuf::from(OsStr::from_bytes(to.as_bytes())))
    }

    /// The names in it.
    pub(crate) fn names(&self) -> Result<Vec<String>, Failure> {
        let read = || -> Result<Vec<String>, Errno> {
            let mut names = Vec::new();
            for entry in Dir::read_from(&self.handle)? {
                // What we made has a name in UTF-8.
                if let Ok(name) = entry?.file_name().to_str()
                    && name != "."
                    && name != ".."
                {
                    names.push(name.to_owned());
                }
            }
            Ok(names)
        };
        read().map_err(|errno| failed(&self.path, "be read", &errno.into()))
    }

    /// A file in it for reading, with its length, if there is one.
    pub(crate) fn file(&self, name: &str) -> Result<Option<(File, u64)>, Failure> {
        // Not to wait for the other end, should it be a pipe.
        let Some(handle) = self.open_at(OsStr::new(name), OFlags::NONBLOCK)? else { return Ok(None) };
        let file = File::from(handle);
        let stat = self.judged(&file, name)?;
        Ok(Some((file, u64::try_from(stat.st_size).unwrap_or(0))))
    }

    /// All of a file in it, if there is one; one that is longer than this is an error.
    pub(crate) fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, Failure> {
        let Some((file, length)) = self.file(name)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(length.min(most)).unwrap_or(0) + 1);
        file.take(most + 1).read_to_end(&mut bytes).map_err(|error| self.failed(name, "be read", &error))?;
        if bytes.len() as u64 > most {
            let error = io::Error::other(format!("it is longer than {most} bytes"));
            return Err(self.failed(name, "be read", &error));
        }
        Ok(Some(bytes))
    }

    /// A file in it that is there afterwards, for locks.
    pub(crate) fn always(&self, name: &str) -> Result<File, Failure> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(handle) => {
                let file = File::from(handle);
                self.judged(&file, name)?;
                Ok(file)
            }
            Err(errno) => Err(self.not_opened(OsStr::new(name), errno)),
        }
    }

    /// A new file in it that nobody else may read.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// The same file under a name in another folder.
    pub(crate) fn link(&self, name: &str, to: &Folder, as_name: &str) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.handle, name, &to.handle, as_name, AtFlags::empty())?)
    }

    /// Gives what lies in it another name; what has that name already is replaced only if it may be.
    pub(crate) fn rename(&self, from: &str, to: &str, replace: bool) -> io::Result<()> {
        let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        Ok(rustix::fs::renameat_with(&self.handle, from, &self.handle, to, flags)?)
    }

    /// Takes a file, or a folder with all that is in it, away. What is not there is away.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        let gone = |done: Result<(), Errno>| match done {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed(name, "be removed", &errno.into())),
        };
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            other => return gone(other),
        }
        if let Some(folder) = self.sub(OsStr::new(name))? {
            for inner in folder.names()? {
                folder.remove(&inner)?;
            }
        }
        gone(rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR))
    }

    /// Waits until the names in it are on the disk.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        let synced = match retry_on_intr(|| rustix::fs::fsync(&self.handle)) {
            // A folder above ours was opened to be passed through only; not everybody may read it.
            Err(Errno::BADF) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                match rustix::fs::openat(&self.handle, ".", flags, Mode::empty()) {
                    Ok(readable) => retry_on_intr(|| rustix::fs::fsync(&readable)),
                    Err(_) => Ok(()),
                }
            }
            other => other,
        };
        synced.map_err(|errno| self.failed("", "be written to the disk", &errno.into()))
    }

    /// Why something in it did not come about, with the way out.
    pub(crate) fn failed(&self, name: impl AsRef<Path>, what: &str, error: &io::Error) -> Failure {
        let failure = failed(&self.path.join(name), what, error);
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => failure.way_out(self.room()),
            _ => failure,
        }
    }

    /// What the disk has left.
    fn room(&self) -> String {
        let folder = self.path.display();
        match rustix::fs::fstatvfs(&self.handle) {
            Ok(disk) if disk.f_favail == 0 => {
                format!("no more files fit on the disk of `{folder}`: remove some there")
            }
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize) / 1024;
                format!("{free} KiB are free on the disk of `{folder}`: make room there")
            }
            Err(_) => format!("make room on the disk of `{folder}`"),
        }
    }

    fn open_at(&self, name: &OsStr, more: OFlags) -> Result<Option<OwnedFd>, Failure> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(handle)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.not_opened(name, errno)),
        }
    }

    fn not_opened(&self, name: &OsStr, errno: Errno) -> Failure {
        let path = self.path.join(name);
        let stat = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW);
        if stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink) {
            return refused(&path, "is a link, and none is followed here")
                .way_out(format!("put what it leads to in its place, or remove it: {}", path.display()));
        }
        self.failed(name, "be opened", &errno.into())
    }

    fn judged(&self, file: &File, name: &str) -> Result<Stat, Failure> {
        let path = self.path.join(name);
        let stat = rustix::fs::fstat(file).map_err(|errno| failed(&path, "be looked at", &errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refused(&path, "is no regular file").way_out("look at it, and remove it"));
        }
        ours_alone(&path, &stat)?;
        Ok(stat)
    }
}
