//! The tools of an init system, run by their arguments and without a shell; each is optional.

use super::Host;
use crate::exit::{Exit, Failure};
use std::path::Path;
use std::process::{Command, Stdio};

/// Where they are; the caller's `PATH` is nobody's to trust.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Runs a tool of this host; gives the command line for people. None where there is no such tool, and for a host
/// that does not run.
pub(super) fn run(host: &Host, tool: &str, args: &[&str]) -> Result<Option<String>, Failure> {
    if !host.is_this() {
        return Ok(None);
    }
    let path = FOLDERS.into_iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.exists());
    let Some(path) = path else { return Ok(None) };
    let line = [&[tool], args].concat().join(" ");
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::System, format!("`{line}` failed: {why}"))
            .way_out(format!("run `{line}` by hand to see why, then run this again"))
    };
    let output = Command::new(path)
        .args(args)
        .env_clear()
        .env("PATH", FOLDERS.join(":"))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(&error))?;
    if output.status.success() {
        return Ok(Some(line));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    match said.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(last) => Err(failed(&last.trim())),
        None => Err(failed(&output.status)),
    }
}
