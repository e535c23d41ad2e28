//! Where an init system has its files, and whether a file or a link of ours is there; changes nothing.

use super::{Host, Init};
use std::fs;
use std::path::Path;

/// The name of the service, in every init system.
pub(super) const NAME: &str = "doorward";

/// A file in a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The folder.
    pub folder: String,
    /// The name in it.
    pub name: String,
}

impl Place {
    pub(super) fn new(folder: impl Into<String>, name: impl Into<String>) -> Place {
        Place { folder: folder.into(), name: name.into() }
    }

    /// The whole path.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.folder, self.name)
    }
}

impl Init {
    /// Where the text goes.
    pub(super) fn file(self, host: &Host) -> Place {
        match self {
            Init::Systemd => Place::new("/etc/systemd/system", format!("{NAME}.service")),
            Init::SysV => Place::new(scripts(host), NAME),
            Init::OpenRc => Place::new("/etc/init.d", NAME),
        }
    }

    /// What it may be read and run by.
    pub(super) fn mode(self) -> u32 {
        match self {
            Init::Systemd => 0o644,
            Init::SysV | Init::OpenRc => 0o755,
        }
    }

    /// The links that have it started, which we make where no tool does, and where each leads.
    pub(super) fn links(self, host: &Host) -> Vec<(Place, String)> {
        let to = self.file(host).path();
        match self {
            Init::Systemd => {
                let folder = "/etc/systemd/system/sysinit.target.wants";
                vec![(Place::new(folder, format!("{NAME}.service")), to)]
            }
            Init::OpenRc => vec![(Place::new("/etc/runlevels/boot", NAME), to)],
            Init::SysV => {
                let folders = runlevels(host);
                let single = folders.iter().find(|folder| folder.ends_with("rcS.d"));
                let wanted: Vec<(&String, u32)> = match single {
                    Some(folder) => vec![(folder, number(host, folder))],
                    None => folders
                        .iter()
                        .filter(|folder| {
                            ["2", "3", "4", "5"].iter().any(|n| folder.ends_with(&format!("rc{n}.d")))
                        })
                        .map(|folder| (folder, IN_RUNLEVELS))
                        .collect(),
                };
                let link = |(folder, number): (&String, u32)| {
                    (Place::new(folder.clone(), format!("S{number:02}{NAME}")), format!("../init.d/{NAME}"))
                };
                wanted.into_iter().map(link).collect()
            }
        }
    }

    /// The links that are there and have it started, whoever made them.
    pub(super) fn links_there(self, host: &Host) -> Vec<Place> {
        match self {
            Init::Systemd => {
                let folders = fs::read_dir(host.path("/etc/systemd/system")).into_iter().flatten().flatten();
                let mut names: Vec<String> =
                    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
                let pulls = |name: &String| {
                    name.rsplit_once('.').is_some_and(|(_, kind)| kind == "wants" || kind == "requires")
                };
                names.retain(pulls);
                names.sort();
                let place = |name: String| {
                    Place::new(format!("/etc/systemd/system/{name}"), format!("{NAME}.service"))
                };
                names.into_iter().map(place).filter(|place| host.has(&place.path())).collect()
            }
            Init::OpenRc => ["boot", "sysinit", "default"]
                .into_iter()
                .map(|level| Place::new(format!("/etc/runlevels/{level}"), NAME))
                .filter(|place| host.has(&place.path()))
                .collect(),
            Init::SysV => {
                let starts = |name: &str| {
                    name.len() == 3 + NAME.len() && name.starts_with('S') && name.ends_with(NAME)
                };
                let there = |folder: String| {
                    let mut found = names(host, &folder);
                    found.retain(|name| starts(name));
                    found.into_iter().map(move |name| Place::new(folder.clone(), name))
                };
                runlevels(host).into_iter().flat_map(there).collect()
            }
        }
    }

    /// The text of ours that is there, or of somebody else.
    pub(super) fn there(self, host: &Host) -> Option<String> {
        let text = fs::read_to_string(host.path(self.file(host).path())).ok()?;
        // What the other init system reads in the same place is not its own.
        let openrc = text.lines().next().is_some_and(|line| line.ends_with("openrc-run"));
        (self == Init::Systemd || (self == Init::OpenRc) == openrc).then_some(text)
    }
}

/// Where runlevels 2 to 5 have what comes first: iptables has this number there.
const IN_RUNLEVELS: u32 = 8;
/// Before the network of a host that does not say when that comes: it has been 40 there.
const USUAL: u32 = 39;

fn scripts(host: &Host) -> &'static str {
    let is_link = fs::symlink_metadata(host.path("/etc/init.d")).is_ok_and(|data| data.is_symlink());
    if is_link && host.has("/etc/rc.d/init.d") { "/etc/rc.d/init.d" } else { "/etc/init.d" }
}

/// The folders of the runlevels that are there.
fn runlevels(host: &Host) -> Vec<String> {
    let below = |base: &str| -> Vec<String> {
        ["S", "2", "3", "4", "5"]
            .into_iter()
            .map(|level| format!("{base}/rc{level}.d"))
            .filter(|folder| fs::symlink_metadata(host.path(folder)).is_ok_and(|data| data.is_dir()))
            .collect()
    };
    let usual = below("/etc");
    if usual.is_empty() { below("/etc/rc.d") } else { usual }
}

fn names(host: &Host, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(host.path(Path::new(folder))).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The number that the network has: in one number, names go by the alphabet, so that ours comes before it.
fn number(host: &Host, folder: &str) -> u32 {
    let network = names(host, folder).into_iter().find(|name| {
        let rest = name.strip_prefix('S').and_then(|name| name.get(2..));
        rest.is_some_and(|rest| rest.starts_with("network"))
    });
    network.and_then(|name| name.get(1..3)?.parse().ok()).unwrap_or(USUAL)
}
