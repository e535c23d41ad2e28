//! What starts doorward at boot, whichever init system the host has: found, written, removed; loads nothing.

mod disk;
mod install;
mod place;
mod program;
mod run;
mod state;
mod texts;

pub(crate) use disk::is_here;
pub(crate) use install::{Done, install, remove};
pub(crate) use program::program;
pub(crate) use state::{Boots, boots};

use crate::cli::STATE;
use crate::exit::{Exit, Failure};
use std::fs;
use std::path::{Path, PathBuf};

/// An init system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Init {
    /// systemd.
    Systemd,
    /// Scripts in `/etc/init.d` and links to them by runlevel.
    SysV,
    /// OpenRC.
    OpenRc,
}

/// What is started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Start {
    /// The path of the program.
    pub program: String,
    /// The folder of the state, if it is not the usual one.
    pub state: Option<String>,
}

impl Start {
    /// The folder of the state.
    pub(crate) fn state(&self) -> &str {
        self.state.as_deref().unwrap_or(STATE)
    }
}

/// The host whose boot is meant: this one, or the one whose files are in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    root: PathBuf,
}

impl Host {
    /// The host with this root.
    pub(crate) fn new(root: &Path) -> Host {
        Host { root: root.to_owned() }
    }

    /// Whether it is the one that runs.
    pub(crate) fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a path of that host is.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        if self.is_this() {
            return path.to_owned();
        }
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Whether a path is there; links are not followed, as they may lead out of the root.
    fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// The init system: the one that runs, or else the one that is installed.
    pub(crate) fn init(&self) -> Option<Init> {
        if self.is_this() {
            // As `sd_booted(3)` says it, and OpenRC of itself.
            for (folder, init) in [("/run/systemd/system", Init::Systemd), ("/run/openrc", Init::OpenRc)] {
                if self.has(folder) {
                    return Some(init);
                }
            }
        }
        let first = fs::read_link(self.path("/sbin/init")).unwrap_or_default();
        if first.to_string_lossy().contains("systemd") {
            return Some(Init::Systemd);
        }
        if self.has("/sbin/openrc-run") {
            return Some(Init::OpenRc);
        }
        let sysv = self.has("/etc/init.d")
            && ["/etc/rcS.d", "/etc/rc.d/rc3.d", "/etc/rc3.d"].into_iter().any(|folder| self.has(folder));
        sysv.then_some(Init::SysV)
    }

    /// The same, or that there is none.
    pub(crate) fn need_init(&self) -> Result<Init, Failure> {
        self.init().ok_or_else(|| {
            Failure::new(
                Exit::System,
                "no init system was found here that doorward knows: systemd, SysV, OpenRC",
            )
            .way_out(
                "have `doorward boot` run as root by whatever starts this host, before the network is up",
            )
        })
    }
}

impl Init {
    /// All of them.
    pub(crate) const ALL: [Init; 3] = [Init::Systemd, Init::SysV, Init::OpenRc];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Init::Systemd => "systemd",
            Init::SysV => "SysV init",
            Init::OpenRc => "OpenRC",
        }
    }

    /// For programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Init::Systemd => "systemd",
            Init::SysV => "sysv",
            Init::OpenRc => "openrc",
        }
    }
}
