//! Writes what an init system starts, has it started, and takes both away again; only what doorward wrote.

use super::place::{NAME, Place};
use super::run::run;
use super::{Host, Init, Start, texts};
use crate::exit::{Exit, Failure};
use crate::folder::Folder;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// No text of ours is longer.
const LONGEST: u64 = 1 << 20;
/// What is not whole yet.
const NEW: &str = ".new-doorward";

/// What was done.
#[derive(Default)]
pub(crate) struct Done {
    /// Files and links that were written, or removed.
    pub files: Vec<String>,
    /// Command lines that were run.
    pub ran: Vec<String>,
}

impl Done {
    /// Whether there was nothing to do.
    pub(crate) fn is_nothing(&self) -> bool {
        self.files.is_empty() && self.ran.is_empty()
    }

    fn ran(&mut self, line: Option<String>) -> bool {
        let any = line.is_some();
        self.ran.extend(line);
        any
    }
}

/// Writes the text, and has it started at boot.
pub(crate) fn install(host: &Host, init: Init, start: &Start) -> Result<Done, Failure> {
    let (place, text) = (init.file(host), texts::text(init, start));
    let mut done = Done::default();
    let written = put(host, &place, &text, init.mode())?;
    if written {
        done.files.push(place.path());
    }
    let systemd_runs = init == Init::Systemd && host.init_runs();
    if written && systemd_runs {
        done.ran(run(host, "systemctl", &["daemon-reload"])?);
    }
    if !init.links_there(host).is_empty() {
        return Ok(done);
    }
    match init {
        Init::Systemd if systemd_runs => {
            done.ran(run(host, "systemctl", &["enable", "doorward.service"])?);
        }
        Init::Systemd => {}
        Init::SysV => {
            let _ = done.ran(run(host, "update-rc.d", &[NAME, "defaults"])?)
                || done.ran(run(host, "chkconfig", &["--add", NAME])?);
        }
        Init::OpenRc => {
            done.ran(run(host, "rc-update", &["add", NAME, "boot"])?);
        }
    }
    if init.links_there(host).is_empty() {
        for (link, to) in init.links(host) {
            let folder = open(host, &link.folder, true)?;
            folder.symlink(&to, &link.name).map_err(|error| folder.failed(&link.name, "be made", &error))?;
            folder.sync()?;
            done.files.push(link.path());
        }
    }
    if init.links_there(host).is_empty() {
        let message = format!("{} does not start it: no link to `{}` came about", init.name(), place.path());
        return Err(Failure::new(Exit::System, message)
            .way_out(format!("make that link as {} wants it, then run this again", init.name())));
    }
    Ok(done)
}

/// Takes away what was written, for every init system.
pub(crate) fn remove(host: &Host) -> Result<Done, Failure> {
    let mut done = Done::default();
    for init in Init::ALL {
        let place = init.file(host);
        let Some(text) = init.there(host) else { continue };
        if !texts::is_ours(&text) {
            return Err(not_ours(&place).way_out("remove it by hand, if it starts doorward"));
        }
        let systemd_runs = init == Init::Systemd && host.init_runs();
        if systemd_runs && !init.links_there(host).is_empty() {
            done.ran(run(host, "systemctl", &["disable", "doorward.service"])?);
        }
        if init == Init::OpenRc && !init.links_there(host).is_empty() {
            done.ran(run(host, "rc-update", &["del", NAME, "boot"])?);
        }
        if init == Init::SysV {
            let _ = done.ran(run(host, "update-rc.d", &["-f", NAME, "remove"])?)
                || done.ran(run(host, "chkconfig", &["--del", NAME])?);
        }
        for link in init.links_there(host) {
            take(host, &link)?;
            done.files.push(link.path());
        }
        take(host, &place)?;
        done.files.push(place.path());
        if systemd_runs {
            done.ran(run(host, "systemctl", &["daemon-reload"])?);
        }
    }
    Ok(done)
}

impl Host {
    /// Whether systemd runs here, and not only its files are here.
    fn init_runs(&self) -> bool {
        self.is_this() && self.has("/run/systemd/system")
    }
}

/// A new text in a place, whole or not at all. False if it was there.
fn put(host: &Host, place: &Place, text: &str, mode: u32) -> Result<bool, Failure> {
    let folder = open(host, &place.folder, false)?;
    if folder.leads(&place.name).is_some_and(|to| to == Path::new("/dev/null")) {
        return Err(Failure::new(Exit::Refused, format!("`{}` is masked", place.name))
            .way_out(format!("systemctl unmask {}", place.name)));
    }
    if let Some(there) = folder.read(&place.name, LONGEST).map_err(of_etc)? {
        if there == text.as_bytes() {
            return Ok(false);
        }
        if !texts::is_ours(&String::from_utf8_lossy(&there)) {
            return Err(not_ours(place).way_out(format!("look at it, then move it away: {}", place.path())));
        }
    }
    let write = || -> std::io::Result<()> {
        let mut file = folder.create(NEW)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        folder.rename(NEW, &place.name, true)
    };
    folder.remove(NEW).map_err(of_etc)?;
    write().map_err(|error| {
        let _ = folder.remove(NEW);
        of_etc(folder.failed(&place.name, "be written", &error))
    })?;
    folder.sync().map_err(of_etc)?;
    Ok(true)
}

fn take(host: &Host, place: &Place) -> Result<(), Failure> {
    let folder = open(host, &place.folder, false)?;
    folder.remove(&place.name).and_then(|()| folder.sync()).map_err(of_etc)
}

fn not_ours(place: &Place) -> Failure {
    Failure::new(Exit::Refused, format!("`{}` is not what doorward wrote", place.path()))
}

/// A folder of the init system. One that holds links is made where it is missing.
fn open(host: &Host, folder: &str, made: bool) -> Result<Folder, Failure> {
    let path = host.path(folder);
    let missing =
        || Failure::new(Exit::System, format!("`{}` is not there, where services are kept", path.display()));
    if let Some(folder) = Folder::open(&path).map_err(of_etc)? {
        return Ok(folder);
    }
    let above = path.parent().filter(|_| made).ok_or_else(missing)?;
    let above = Folder::open(above).map_err(of_etc)?.ok_or_else(missing)?;
    above.make_public_sub(path.file_name().unwrap_or(OsStr::new(NAME))).map_err(of_etc)
}

/// No folder of the state is meant.
fn of_etc(mut failure: Failure) -> Failure {
    let before = failure.ways_out.len();
    failure.ways_out.retain(|way| !way.contains("--state"));
    if failure.ways_out.len() < before {
        failure.ways_out.push("run it as root, where that disk can be written".to_owned());
    }
    failure
}
