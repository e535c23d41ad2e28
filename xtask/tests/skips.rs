//! Shows that no test can be left out in silence: the helper that tests call and the script that judges what it wrote.

#![allow(clippy::unwrap_used)]

#[path = "../../tests/support/skip.rs"]
mod skip;

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether these lines pass beside this list, and what is said.
fn judge(name: &str, allowed: &str, quick: bool, lines: &str) -> (bool, String) {
    let list = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&list, allowed).unwrap();
    let mut command = Command::new(root().join("scripts/judge-skips"));
    command.arg(&list).env_remove("DOORWARD_QUICK");
    if quick {
        command.env("DOORWARD_QUICK", "1");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_skip_without_a_reason_fails() {
    let (fine, said) = judge("none", "# one\n", false, "SKIPPED: a::b: needs root\n");
    assert!(!fine);
    assert!(
        said.starts_with("SKIPPED: a::b: needs root\n0 tests left out for a known reason, 1 for none\n"),
        "{said}"
    );
}

#[test]
fn a_skip_that_is_named_passes() {
    let list = "# why\n\na::b  no such kernel there\n";
    let (fine, said) = judge("named", list, false, "SKIPPED: a::b: needs x\n");
    assert!(fine, "{said}");
    let (fine, said) = judge("other", list, false, "SKIPPED: a::b: needs x\nSKIPPED: a: y\n");
    assert!(!fine, "{said}");
}

#[test]
fn an_empty_list_and_no_skip_pass() {
    assert!(judge("empty", "", false, "").0);
    assert!(!judge("empty2", "", false, "SKIPPED: a: b\n").0);
}

#[test]
fn what_quick_leaves_out_passes_in_quick_only() {
    let line = "SKIPPED: a: quick: needs root\n";
    assert!(judge("quick", "", true, line).0);
    assert!(!judge("slow", "", false, line).0);
    assert!(!judge("quick2", "", true, "SKIPPED: a: needs root\n").0);
}

/// Run by the next test in a process of its own; does nothing otherwise.
#[test]
fn child() {
    if env::var_os("SKIPS_CHILD").is_some() {
        assert!(skip::without_root());
    }
}

#[test]
fn the_helper_writes_its_test_and_reason_down() {
    let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("log");
    let _ = fs::remove_file(&log);
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child"])
        .env("SKIPS_CHILD", "1")
        .env("DOORWARD_QUICK", "1")
        .env("DOORWARD_SKIP_LOG", &log)
        .output()
        .unwrap();
    assert!(output.status.success());
    let line = "SKIPPED: child: quick: needs root\n";
    assert_eq!(fs::read_to_string(&log).unwrap(), line);
    assert!(String::from_utf8(output.stderr).unwrap().contains(line));
}
