//! The texts that start doorward at boot, one for each init system, with the paths of this host; writes nothing.

use super::{Init, Start};
use std::fmt::Write as _;
use std::path::Path;

const SYSTEMD: &str = include_str!("templates/doorward.service");
const SYSV: &str = include_str!("templates/doorward.sysv");
const OPENRC: &str = include_str!("templates/doorward.openrc");
/// Stands in every text that doorward wrote, in this version or another.
const MARK: &str = "# Written by `doorward enable`";

/// Whether doorward wrote a text.
pub(super) fn is_ours(text: &str) -> bool {
    text.lines().any(|line| line.starts_with(MARK))
}

/// The text for an init system.
pub(super) fn text(init: Init, start: &Start) -> String {
    let program = &start.program;
    let state = start.state.as_ref().map(|state| format!(" --state {state}")).unwrap_or_default();
    match init {
        Init::Systemd => {
            // The lock is kept beside what is not kept in the usual place.
            let writes =
                start.state.as_ref().map(|state| format!("ReadWritePaths=-{state}\n")).unwrap_or_default();
            SYSTEMD
                .replace("@MOUNTS@", &mounts(start.state()))
                .replace("@COMMAND@", &format!("{program}{state}"))
                .replace("@WRITES@", &writes)
        }
        Init::SysV => SYSV.replace("@PROGRAM@", program).replace("@STATE@", &state),
        Init::OpenRc => OPENRC.replace("@PROGRAM@", program).replace("@STATE@", &state),
    }
}

/// What a text of ours starts, read back.
pub(super) fn start(text: &str) -> Option<Start> {
    let word = |line: &str, before: &str| {
        line.split_once(before).and_then(|(_, rest)| rest.split([' ', '"']).next()).map(str::to_owned)
    };
    let find =
        |before: &str| text.lines().filter(|line| !line.starts_with('#')).find_map(|line| word(line, before));
    let program = find("ExecStart=").or_else(|| find("program="))?;
    Some(Start { program, state: find("--state ") })
}

/// The units that could mount a folder or what is above it. That most of them do not exist harms nobody.
fn mounts(folder: &str) -> String {
    let mut units: Vec<String> = Path::new(folder)
        .ancestors()
        .filter(|path| path.parent().is_some())
        .map(|path| format!("{}.mount", escaped(&path.to_string_lossy())))
        .collect();
    units.reverse();
    units.join(" ")
}

/// A path in the name of a unit, as `systemd-escape --path` writes it.
fn escaped(path: &str) -> String {
    let mut name = String::new();
    for (at, byte) in path.trim_matches('/').bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at > 0 => name.push('.'),
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b':' | b'_' => name.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(name, "\\x{byte:02x}");
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Start {
        Start { program: "/usr/sbin/doorward".to_owned(), state: None }
    }

    fn elsewhere() -> Start {
        Start { program: "/opt/d-1/doorward".to_owned(), state: Some("/srv/a-b/state".to_owned()) }
    }

    #[test]
    fn nothing_is_left_to_fill_in_and_all_reads_back() {
        for start in [usual(), elsewhere()] {
            for init in Init::ALL {
                let text = text(init, &start);
                let blank =
                    |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_uppercase());
                let odd = text.lines().find(|line| line.split('@').skip(1).any(blank));
                assert_eq!(odd, None, "{init:?}");
                assert!(is_ours(&text) && text.ends_with('\n'), "{init:?}");
                assert_eq!(super::start(&text), Some(start.clone()), "{init:?}");
            }
        }
        assert_eq!(super::start("#!/bin/sh\nexit 0\n"), None);
        assert!(!is_ours("[Unit]\nDescription=doorward\n"));
    }

    /// As `systemd-escape --path --suffix=mount` says it.
    #[test]
    fn units_of_mounts() {
        assert_eq!(mounts("/var/lib/doorward"), "var.mount var-lib.mount var-lib-doorward.mount");
        assert_eq!(mounts("/srv/a-b/.x"), "srv.mount srv-a\\x2db.mount srv-a\\x2db-.x.mount");
    }
}
