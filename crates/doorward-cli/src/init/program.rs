//! The program as boot will find it: its real path, in a place that others cannot change and that is there by then.

use super::{Host, Start};
use crate::cli::STATE;
use crate::exit::{Exit, Failure};
use crate::folder::Folder;
use std::path::{Path, PathBuf};

/// Folders that the unit does not see or that are emptied by a start.
const NOT_AT_BOOT: [&str; 8] =
    ["/home", "/root", "/run", "/tmp", "/var/tmp", "/dev/shm", "/proc", "/var/run"];
/// Where it is at home.
const HOME: &str = "/usr/local/sbin/doorward";

/// What boot is to start: this program, with this state.
pub(crate) fn program(host: &Host, state: &Path) -> Result<Start, Failure> {
    let real = std::env::current_exe().and_then(std::fs::canonicalize).map_err(|error| {
        Failure::new(Exit::System, format!("this program cannot be found again: {error}"))
    })?;
    // For a host in a folder, what lies in there has a shorter path once it runs.
    let there = if host.is_this() { real.clone() } else { inside(host, &real) };
    let shown = spelled(&there)?;
    if host.is_this() {
        stays(&there)?;
    }
    is_safe(&real).map_err(|mut failure| {
        failure.ways_out.retain(|way| !way.contains("--state"));
        if shown != HOME {
            failure.ways_out.push(format!("install -m 755 {shown} {HOME}, and run `{HOME} enable`"));
        }
        failure
    })?;
    let state = if state == Path::new(STATE) {
        None
    } else {
        let whole = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
        if host.is_this() {
            stays(&whole)?;
        }
        Some(spelled(&whole)?)
    };
    Ok(Start { program: shown, state })
}

fn inside(host: &Host, real: &Path) -> PathBuf {
    let root = std::fs::canonicalize(host.path("/")).unwrap_or_default();
    real.strip_prefix(&root).map_or_else(|_| real.to_owned(), |path| Path::new("/").join(path))
}

/// Whether nobody else can put another program in the place of this one.
pub(super) fn is_safe(program: &Path) -> Result<(), Failure> {
    let folder = program.parent().unwrap_or(Path::new("/"));
    let name = program.file_name().unwrap_or_default();
    let refused = |failure: Failure| Failure { exit: Exit::Refused, ..failure };
    let missing = || Failure::new(Exit::Refused, format!("`{}` is not there", program.display()));
    let folder = Folder::open(folder).map_err(refused)?.ok_or_else(missing)?;
    folder.file(&name.to_string_lossy()).map_err(refused)?.ok_or_else(missing)?;
    Ok(())
}

/// A path in characters that mean nothing to an init system.
fn spelled(path: &Path) -> Result<String, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=".contains(c);
    match path.to_str().filter(|path| path.chars().all(plain)) {
        Some(path) => Ok(path.to_owned()),
        None => Err(Failure::new(
            Exit::Refused,
            format!("`{}` has characters that mean something to init systems", path.display()),
        )
        .way_out("use a path of letters, digits and /._-+,:= only")),
    }
}

/// Whether a path is there when the host starts, and seen by a service that may see no home of anybody.
fn stays(path: &Path) -> Result<(), Failure> {
    let Some(folder) = NOT_AT_BOOT.into_iter().find(|folder| path.starts_with(folder)) else {
        return Ok(());
    };
    let message = format!("`{}` is not there at boot: nothing below {folder} is", path.display());
    let failure = Failure::new(Exit::Refused, message);
    Err(if path.is_dir() {
        failure.way_out("keep it elsewhere, and name that with --state")
    } else {
        failure.way_out(format!("install -m 755 {} {HOME}, and run `{HOME} enable`", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_boot_cannot_use() {
        for path in ["/home/USER/doorward", "/tmp/x/doorward", "/root", "/run/doorward"] {
            let failure = stays(Path::new(path)).unwrap_err();
            assert_eq!(failure.exit, Exit::Refused, "{path}");
        }
        for path in ["/usr/sbin/doorward", "/opt/rootless/doorward", "/homes/doorward"] {
            assert_eq!(stays(Path::new(path)), Ok(()), "{path}");
        }
        for path in ["/opt/a b", "/opt/a%n", "/opt/$x", "/opt/a\\b", "/opt/\"", "/opt/a\nb", "/opt/ä"] {
            assert!(spelled(Path::new(path)).is_err(), "{path}");
        }
        assert_eq!(spelled(Path::new("/opt/d-1.0/doorward")).as_deref(), Ok("/opt/d-1.0/doorward"));
    }
}
