//! The files of a policy on disk, and writing one safely; knows no sentence.

use doorward::resolve::{FileError, Files};
use rustix::fs::{Gid, Mode, Uid};
use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// No policy and no list is larger; a device that never ends is found out by it.
const LARGEST: u64 = 1 << 28;

/// The disk, as seen from a policy.
pub(crate) struct Disk {
    main: PathBuf,
    /// The same for people, and for the library; not the path itself where that is not UTF-8.
    shown: String,
    /// Files that others than root can change, when that matters.
    loose: Option<RefCell<Vec<Loose>>>,
}

/// A file that others than root can change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Loose {
    /// Its path.
    pub path: String,
    /// What is wrong, and what mends it.
    pub why: String,
    /// What mends it.
    pub way_out: String,
}

impl Disk {
    /// The disk, with this main file.
    pub(crate) fn new(main: &Path) -> Disk {
        Disk { main: main.to_owned(), shown: main.to_string_lossy().into_owned(), loose: None }
    }

    /// The same, taking note of files that others than root can change.
    pub(crate) fn wary(main: &Path) -> Disk {
        Disk { loose: Some(RefCell::default()), ..Disk::new(main) }
    }

    /// The main file as the library calls it.
    pub(crate) fn main(&self) -> &str {
        &self.shown
    }

    /// Files that others than root can change.
    pub(crate) fn loose(&self) -> Vec<Loose> {
        self.loose.as_ref().map(|list| list.borrow().clone()).unwrap_or_default()
    }

    /// The path of what the library names.
    pub(crate) fn path(&self, named: &str) -> PathBuf {
        if named == self.shown {
            return self.main.clone();
        }
        // Beside a main file whose folder is not UTF-8.
        let folder = |path: &Path| path.parent().map(Path::to_owned);
        if let (Some(real), Some(shown)) = (folder(&self.main), folder(Path::new(&self.shown)))
            && real != shown
            && let Ok(rest) = Path::new(named).strip_prefix(&shown)
        {
            return real.join(rest);
        }
        PathBuf::from(named)
    }

    fn judge(&self, named: &str, data: &Metadata) {
        let Some(loose) = &self.loose else { return };
        let group_writes = data.mode() & 0o020 != 0 && data.gid() != 0;
        let found = if data.uid() != 0 {
            Some((format!("belongs to user {}", data.uid()), "chown root:"))
        } else if data.mode() & 0o002 != 0 {
            Some(("can be changed by everybody".to_owned(), "chmod go-w"))
        } else if group_writes {
            Some((format!("can be changed by group {}", data.gid()), "chmod go-w"))
        } else {
            None
        };
        if let Some((why, mend)) = found {
            let way_out = format!("sudo {mend} {named}");
            let one = Loose { path: named.to_owned(), why, way_out };
            let mut loose = loose.borrow_mut();
            if !loose.contains(&one) {
                loose.push(one);
            }
        }
    }

    /// The folder of a file: whoever may write there can put another file in its place, whoever has the file.
    fn judge_folder(&self, path: &Path) {
        const STICKY: u32 = 0o1000;
        if self.loose.is_none() {
            return;
        }
        if let Some(folder) = fs::canonicalize(path).ok().and_then(|path| path.parent().map(Path::to_owned))
            && let Ok(data) = fs::metadata(&folder)
            // In a folder like /tmp, nobody replaces what is another's.
            && data.mode() & STICKY == 0
        {
            self.judge(&folder.to_string_lossy(), &data);
        }
    }
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<String, FileError> {
        let read = || -> io::Result<Result<String, FileError>> {
            let mut file = File::open(self.path(path))?;
            let data = file.metadata()?;
            if data.is_dir() {
                return Ok(Err(FileError::Folder));
            }
            self.judge(path, &data);
            if data.is_file() {
                self.judge_folder(&self.path(path));
            }
            text(&mut file, data.len())
        };
        read().unwrap_or_else(|error| Err(said(&error)))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, FileError> {
        let path = self.path(folder);
        let entries = fs::read_dir(&path).map_err(|error| said(&error))?;
        // Who may take a file out of it opens what that file blocked, so being sticky is not enough here.
        if let (Some(_), Ok(data)) = (&self.loose, fs::metadata(&path)) {
            self.judge(folder, &data);
        }
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| said(&error))?.file_name();
            match name.into_string() {
                Ok(name) => names.push(name),
                Err(name) if name.as_bytes().ends_with(b".dw") => {
                    let name = name.to_string_lossy().into_owned();
                    return Err(FileError::Refused(format!("the name `{name}` in it is not UTF-8")));
                }
                Err(_) => {}
            }
        }
        Ok(names)
    }

    fn canonical(&self, path: &str) -> String {
        match fs::canonicalize(self.path(path)) {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(_) => path.to_owned(),
        }
    }
}

/// All of a text, within bounds; `expected` bytes are likely.
pub(crate) fn text(from: &mut impl Read, expected: u64) -> io::Result<Result<String, FileError>> {
    // One more, so that the end is found without growing.
    let room = usize::try_from(expected.min(LARGEST)).unwrap_or(0) + 1;
    let mut bytes = Vec::with_capacity(room);
    from.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Ok(Err(FileError::Refused(format!("it is larger than {} MiB", LARGEST >> 20))));
    }
    Ok(String::from_utf8(bytes).map_err(|_| FileError::NotText))
}

fn said(error: &io::Error) -> FileError {
    match error.kind() {
        ErrorKind::NotFound => FileError::Missing,
        ErrorKind::IsADirectory => FileError::Folder,
        ErrorKind::NotADirectory => FileError::NotFolder,
        ErrorKind::PermissionDenied => FileError::Refused("this user may not read it".to_owned()),
        _ => FileError::Refused(error.to_string()),
    }
}

/// Puts a new text into the place of a file, whole or not at all; mode and owner stay.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one: the file behind it is written.
    let target = fs::canonicalize(path)?;
    let data = fs::metadata(&target)?;
    if !data.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let folder = target.parent().unwrap_or(Path::new("/"));
    let (beside, mut file) = create_beside(&target)?;
    let mut write = || -> io::Result<()> {
        file.write_all(text.as_bytes())?;
        let owner = (Uid::from_raw(data.uid()), Gid::from_raw(data.gid()));
        let here = file.metadata()?;
        if (here.uid(), here.gid()) != (data.uid(), data.gid()) {
            rustix::fs::fchown(&file, Some(owner.0), Some(owner.1))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(data.mode() & 0o7777))?;
        file.sync_all()?;
        fs::rename(&beside, &target)?;
        File::open(folder)?.sync_all()
    };
    write().inspect_err(|_| {
        // What is left behind would be read by nobody: its name does not end in `.dw`.
        let _ = fs::remove_file(&beside);
    })
}

/// Writes a text to a file, new or not.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
}

/// A new file in the same folder, readable by nobody else yet.
fn create_beside(target: &Path) -> io::Result<(PathBuf, File)> {
    const TRIES: u32 = 100;
    for number in 0..TRIES {
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{}-{number}", std::process::id()));
        let path = target.with_file_name(name);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(ErrorKind::AlreadyExists))
}
