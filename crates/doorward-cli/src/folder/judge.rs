//! Who may own what is ours, who may write there, and the words for it; opens nothing.

use crate::exit::{Exit, Failure};
use rustix::fs::Stat;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::Path;

/// What it means that others can write.
const STAKE: &str = "who can change what is kept there can open the firewall";

/// Whether root, or who runs this, has it and nobody else may write there.
pub(super) fn ours_alone(path: &Path, stat: &Stat) -> Result<(), Failure> {
    let shown = path.display();
    if !is_trusted(stat.st_uid) {
        return Err(refused(path, format!("belongs to user {}", stat.st_uid))
            .way_out(format!("look at what is in it, then: chown -R root: {shown}")));
    }
    let who = match stat.st_mode {
        mode if mode & 0o002 != 0 => "everybody".to_owned(),
        mode if mode & 0o020 != 0 => format!("group {}", stat.st_gid),
        _ => return Ok(()),
    };
    Err(refused(path, format!("can be changed by {who}"))
        .way_out(format!("look at what is in it, then: chmod -R go-w {shown}")))
}

pub(super) fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

pub(super) fn refused(path: &Path, why: impl Display) -> Failure {
    let mut failure = Failure::new(Exit::Refused, format!("`{}` {why}", path.display()));
    failure.messages.push(STAKE.to_owned());
    failure
}

pub(super) fn failed(path: &Path, what: &str, error: &io::Error) -> Failure {
    let failure = Failure::new(Exit::System, format!("`{}` cannot {what}: {error}", path.display()));
    match error.kind() {
        ErrorKind::PermissionDenied => {
            failure.way_out("run it as root, or name a folder of yours with --state")
        }
        ErrorKind::ReadOnlyFilesystem => {
            failure.way_out("make that disk writable, or name another folder with --state")
        }
        _ => failure,
    }
}
