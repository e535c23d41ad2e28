//! Processes as `/proc` shows them; what others wrote into names and titles is bytes here, never believed.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The process of which all others descend.
pub(super) const INIT: u32 = 1;
/// Device number of the slave sides of pseudo-terminals, which are called `pts/N`.
const PTS: u32 = 136;
/// A title is not read beyond this: a command line can be megabytes.
const TITLE: usize = 512;

/// A process, as it was when it was read.
pub(super) struct Process {
    pub pid: u32,
    /// 0 where the parent is outside of this PID namespace.
    pub parent: u32,
    /// In ticks since the machine started.
    pub started: u64,
    /// Name of the controlling terminal below `/dev`.
    pub terminal: Option<String>,
    /// What the kernel calls it: at most 15 bytes of its program's name, unless it gave itself another.
    pub name: String,
    folder: PathBuf,
    /// Read when it is asked for: of most processes a host has, nothing more is.
    more: OnceCell<More>,
}

struct More {
    uid: u32,
    program: String,
    title: String,
}

impl Process {
    /// The real user; nobody's number of a process that is gone.
    pub(super) fn uid(&self) -> u32 {
        self.more().uid
    }

    /// Last part of the path of its program, or its name where that cannot be told.
    pub(super) fn program(&self) -> &str {
        &self.more().program
    }

    /// Its first argument: where daemons write what they are doing.
    pub(super) fn title(&self) -> &str {
        &self.more().title
    }

    fn more(&self) -> &More {
        self.more.get_or_init(|| {
            let status = fs::read(self.folder.join("status")).unwrap_or_default();
            let program = match fs::read_link(self.folder.join("exe")) {
                Ok(path) => {
                    let name = plain(path.file_name().unwrap_or(OsStr::new("")).as_bytes());
                    // A daemon whose package was upgraded runs on from a file that is no more.
                    name.strip_suffix(" (deleted)").map(str::to_owned).unwrap_or(name)
                }
                Err(_) => self.name.clone(),
            };
            let arguments = fs::read(self.folder.join("cmdline")).unwrap_or_default();
            let first = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
            More {
                uid: uid(&status).unwrap_or(u32::MAX),
                program,
                title: plain(first.get(..TITLE).unwrap_or(first)),
            }
        })
    }
}

/// What a process has open.
#[derive(Default)]
pub(super) struct OpenFiles {
    /// Inodes of sockets, in the order of their descriptors.
    pub sockets: Vec<u32>,
    /// Names below `/dev`; a terminal that is gone is not among them, as its link says `(deleted)`.
    pub devices: BTreeSet<String>,
}

/// All processes.
pub(super) struct Processes {
    proc: PathBuf,
    consoles: Vec<Driver>,
    all: BTreeMap<u32, Process>,
}

impl Processes {
    /// Reads them; those that vanish meanwhile are not there.
    pub(super) fn read(root: &Path) -> Processes {
        let proc = root.join("proc");
        let drivers = fs::read(proc.join("tty/drivers")).unwrap_or_default();
        let consoles = String::from_utf8_lossy(&drivers).lines().filter_map(Driver::read).collect();
        let mut processes = Processes { proc, consoles, all: BTreeMap::new() };
        let entries = fs::read_dir(&processes.proc).into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let all = pids.filter_map(|pid| Some((pid, processes.process(pid)?))).collect();
        processes.all = all;
        processes
    }

    /// This process, in the numbers of this `/proc`, which may be those of another PID namespace.
    pub(super) fn own(&self) -> Option<u32> {
        fs::read_link(self.proc.join("self")).ok()?.to_str()?.parse().ok()
    }

    /// All, by number.
    pub(super) fn all(&self) -> impl Iterator<Item = &Process> {
        self.all.values()
    }

    pub(super) fn get(&self, pid: u32) -> Option<&Process> {
        self.all.get(&pid)
    }

    /// The parent; none if another process has got its number since.
    pub(super) fn parent(&self, process: &Process) -> Option<&Process> {
        self.get(process.parent).filter(|parent| parent.started <= process.started)
    }

    /// Those that it started and that still run.
    pub(super) fn children(&self, process: &Process) -> impl Iterator<Item = &Process> {
        let (pid, started) = (process.pid, process.started);
        self.all().filter(move |one| one.parent == pid && one.started >= started && one.pid != pid)
    }

    /// What it has open now.
    pub(super) fn open_files(&self, pid: u32) -> io::Result<OpenFiles> {
        let folder = self.proc.join(pid.to_string()).join("fd");
        let mut links: Vec<(u32, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok())
                && let Ok(link) = fs::read_link(entry.path())
            {
                links.push((number, link));
            }
        }
        links.sort_unstable();
        let mut files = OpenFiles::default();
        for (_, link) in &links {
            let Some(link) = link.to_str() else { continue };
            let socket = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            if let Some(inode) = socket.and_then(|inode| inode.parse().ok()) {
                files.sockets.push(inode);
            } else if let Some(name) = link.strip_prefix("/dev/") {
                files.devices.insert(name.to_owned());
            }
        }
        Ok(files)
    }

    /// Something that is the same for two processes of one network namespace.
    pub(super) fn network(&self, pid: u32) -> Option<PathBuf> {
        fs::read_link(self.proc.join(pid.to_string()).join("ns/net")).ok()
    }

    /// Whether someone at the machine itself sits at this terminal: a screen, a serial line, a hypervisor's console.
    pub(super) fn is_console(&self, terminal: &str) -> bool {
        !terminal.starts_with("pts/")
            && self.consoles.iter().any(|driver| driver.local && driver.has_name(terminal))
    }

    fn process(&self, pid: u32) -> Option<Process> {
        let folder = self.proc.join(pid.to_string());
        let stat = Stat::read(&line(&folder.join("stat")).ok()?)?;
        Some(Process {
            pid,
            parent: stat.parent,
            started: stat.started,
            terminal: self.terminal(stat.terminal),
            name: stat.name,
            folder,
            more: OnceCell::new(),
        })
    }

    /// The name of a terminal with this number, which holds the minor number in two parts.
    fn terminal(&self, number: u32) -> Option<String> {
        let (major, minor) = ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00));
        match major {
            0 => None,
            PTS => Some(format!("pts/{minor}")),
            _ => self.consoles.iter().find_map(|driver| driver.name(major, minor)),
        }
    }
}

/// A file of one line, which the kernel gives at once: of hundreds of processes each call less counts.
fn line(path: &Path) -> io::Result<Vec<u8>> {
    const LONGEST: usize = 2048;
    let mut bytes = vec![0; LONGEST];
    let read = fs::File::open(path)?.read(&mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// What is needed of `/proc/PID/stat`.
struct Stat {
    name: String,
    parent: u32,
    terminal: u32,
    started: u64,
}

impl Stat {
    /// The name stands in parentheses and may hold some, blanks and line breaks itself: it ends with the last.
    fn read(bytes: &[u8]) -> Option<Stat> {
        let open = bytes.iter().position(|byte| *byte == b'(')?;
        let close = bytes.iter().rposition(|byte| *byte == b')')?;
        let fields: Vec<&str> =
            std::str::from_utf8(bytes.get(close + 1..)?).ok()?.split_whitespace().collect();
        Some(Stat {
            name: plain(bytes.get(open + 1..close)?),
            parent: fields.get(1)?.parse().ok()?,
            // A signed number, of which the bits count.
            terminal: fields.get(4)?.parse::<i32>().ok()?.cast_unsigned(),
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// The real user of `/proc/PID/status`. Whose the folder is says less: daemons that cannot be dumped are root's.
fn uid(status: &[u8]) -> Option<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line).ok()?.split_whitespace().next()?.parse().ok()
}

/// Text that can be shown: what could move a cursor is not in it.
fn plain(bytes: &[u8]) -> String {
    let shown = |c: char| if c.is_control() { '?' } else { c };
    String::from_utf8_lossy(bytes).chars().map(shown).collect()
}

/// A kind of terminal, as a line of `/proc/tty/drivers` says it.
struct Driver {
    node: String,
    major: u32,
    minors: (u32, u32),
    /// The number in the name of the first.
    base: u32,
    local: bool,
}

impl Driver {
    /// `serial               /dev/ttyS       4 64-95 serial`
    fn read(line: &str) -> Option<Driver> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, path, major, minors, kind, ..] = words.as_slice() else { return None };
        let node = path.strip_prefix("/dev/")?;
        let (first, last) = minors.split_once('-').unwrap_or((minors, minors));
        let first = first.parse().ok()?;
        // The screens are called after their minor number, and so begin with `tty1`.
        let base = if *kind == "console" { first } else { 0 };
        let local = matches!(*kind, "console" | "serial" | "system:console") || matches!(node, "hvc" | "xvc");
        Some(Driver {
            node: node.to_owned(),
            major: major.parse().ok()?,
            minors: (first, last.parse().ok()?),
            base,
            local,
        })
    }

    fn name(&self, major: u32, minor: u32) -> Option<String> {
        let (first, last) = self.minors;
        let one = major == self.major && (first..=last).contains(&minor);
        one.then(|| match self.node.as_str() {
            "console" | "tty" if first == last && self.base == 0 => self.node.clone(),
            node => format!("{node}{}", self.base + minor - first),
        })
    }

    fn has_name(&self, name: &str) -> bool {
        let number = name.strip_prefix(&self.node);
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}
