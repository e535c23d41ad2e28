//! Keeps the library pure and the kernel crate ignorant of the language; judges names in code, not what they do.

use super::Finding;
use crate::path::{self, Path};
use crate::tree::Tree;

const LIBRARY: &str = "crates/doorward/src/";
const KERNEL: &str = "crates/doorward-kernel/";

/// What the library may not name: segments in a row, and what that would be.
const IMPURE: &[(&[&str], &str)] = &[
    (&["std", "fs"], "files"),
    (&["std", "env"], "the environment"),
    (&["std", "process"], "processes"),
    (&["std", "os"], "the system"),
    (&["std", "thread"], "threads"),
    (&["std", "*"], "all of `std`"),
    (&["net", "TcpStream"], "sockets"),
    (&["net", "TcpListener"], "sockets"),
    (&["net", "UdpSocket"], "sockets"),
    (&["net", "ToSocketAddrs"], "name lookups"),
    (&["std", "net", "*"], "all of `std::net`"),
    (&["time", "Instant"], "clocks"),
    (&["time", "SystemTime"], "clocks"),
    (&["time", "UNIX_EPOCH"], "clocks"),
    (&["std", "time", "*"], "all of `std::time`"),
    (&["io", "stdin"], "the terminal"),
    (&["std", "io", "*"], "all of `std::io`"),
];

/// What the kernel crate may import from the library.
const FOR_KERNEL: [&str; 2] = ["net", "ruleset"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust_below(LIBRARY).filter(|file| !tree.is_test(file)) {
        for path in path::paths(&file.tokens) {
            if let Some(what) = impure(&path) {
                findings.push(Finding::new(
                    &file.path,
                    path.line,
                    format!("the library uses {what}: `{}`", path.segments.join("::")),
                    "let the caller do it and hand the value in",
                ));
            }
        }
    }
    for file in tree.rust_below(KERNEL) {
        for path in path::paths(&file.tokens) {
            if too_curious(&path) {
                findings.push(Finding::new(
                    &file.path,
                    path.line,
                    format!("the kernel crate uses `{}`", path.segments.join("::")),
                    "it may know `doorward::net` and `doorward::ruleset` only: let the caller translate",
                ));
            }
        }
    }
    findings
}

fn impure(path: &Path) -> Option<&'static str> {
    if path.test {
        return None;
    }
    IMPURE.iter().find(|(row, _)| path.holds(row)).map(|(_, what)| *what)
}

fn too_curious(path: &Path) -> bool {
    let mut segments = path.segments.iter().map(String::as_str);
    segments.next() == Some("doorward") && segments.next().is_none_or(|module| !FOR_KERNEL.contains(&module))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::found;
    use super::check;

    fn library(text: &str) -> Vec<String> {
        found(check, &[("crates/doorward/src/a.rs", text)])
    }

    fn kernel(text: &str) -> Vec<String> {
        found(check, &[("crates/doorward-kernel/src/a.rs", text)])
    }

    #[test]
    fn the_library_touches_nothing() {
        for text in [
            "use std::fs;",
            "use std::{fmt, fs::File};",
            "fn f() { std::env::var(\"x\"); }",
            "use std::process::Command;",
            "use std::net::{IpAddr, TcpStream};",
            "use std::net::*;",
            "use std::time; fn f() { time::Instant::now() }",
            "use std::time::SystemTime;",
            "fn f() { std::io::stdin(); }",
            "use std::*;",
        ] {
            assert_eq!(library(text), ["crates/doorward/src/a.rs:1"], "{text}");
        }
    }

    #[test]
    fn values_are_no_edges() {
        assert!(library("use std::net::{IpAddr, Ipv4Addr};\nuse std::time::Duration;").is_empty());
        assert!(library("const V: &str = env!(\"CARGO_PKG_VERSION\"); // std::fs").is_empty());
        assert!(library("#[cfg(test)]\nmod tests { use std::fs; }").is_empty());
        assert!(found(check, &[("crates/doorward-cli/src/a.rs", "use std::fs;")]).is_empty());
    }

    #[test]
    fn the_kernel_crate_knows_two_modules() {
        assert!(kernel("use doorward::{net::Prefix, ruleset};").is_empty());
        assert_eq!(kernel("use doorward::syntax::parse;").len(), 1);
        assert_eq!(kernel("use doorward::{net, resolve};").len(), 1);
        assert_eq!(kernel("use doorward::*;").len(), 1);
        assert_eq!(kernel("use doorward;").len(), 1);
        assert_eq!(kernel("#[cfg(test)] mod t { use doorward::compile; }").len(), 1);
    }
}
