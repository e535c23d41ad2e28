//! How long a proof takes: policies against their compiled rulesets, medians of several rounds in one process.
//!
//! `cargo bench -p doorward --bench proof [-- --rounds N]`

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::format_push_string, clippy::cast_possible_truncation, clippy::needless_pass_by_value)]
#![allow(clippy::similar_names, reason = "a measurement: compiles and compiled, proofs and proven")]

use doorward::compile::{Options, compile};
use doorward::meaning::Host as Own;
use doorward::prove::{Claim, Facts, InTurn, Lens, check};
use doorward::resolve::model::Resolved;
use doorward::resolve::{Host, MemoryFiles, load, resolve};
use std::process::Command;
use std::time::Instant;

fn main() {
    let rounds = std::env::args()
        .skip_while(|arg| arg != "--rounds")
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(20usize);
    println!("{:<34} {:>10} {:>10} {:>10} {:>9}", "policy", "compile ms", "proof ms", "nodes", "peak MiB");
    for name in ["three-lines", "vps"] {
        let text = std::fs::read_to_string(format!("../../examples/{name}.dw")).unwrap();
        measure(name, &policy(MemoryFiles::default().with("policy.dw", &text)), rounds);
    }
    for sentences in [100usize, 600, 1_000, 10_000] {
        let text = generated(sentences / 2);
        let files = MemoryFiles::default().with("policy.dw", &text);
        measure(&format!("{sentences} sentences"), &policy(files), rounds.min(5));
    }
    for (family, list) in [("IPv4", list4()), ("IPv6", list6())] {
        let text = "define spam = file \"spam.txt\"\nblock from spam\nallow ssh, http, https\n";
        let files = MemoryFiles::default().with("policy.dw", text).with("spam.txt", &list);
        measure(&format!("a list of 1,000,000, {family}"), &policy(files), rounds.min(3));
    }
}

fn measure(name: &str, policy: &Resolved, rounds: usize) {
    let (mut compiles, mut proofs, mut nodes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        let began = Instant::now();
        let table = compile(policy, &Options::default());
        compiles.push(began.elapsed().as_secs_f64() * 1000.0);
        let facts = Facts { lens: Lens::of(policy), ..Facts::default() };
        let (host, options) = (Own::default(), Options::default());
        let claim = Claim { policy, table: &table, host: &host, options: &options };
        let began = Instant::now();
        let proof = check(claim, &facts, &InTurn);
        proofs.push(began.elapsed().as_secs_f64() * 1000.0);
        assert!(proof.is_equal(), "{proof:#?}");
        nodes = proof.nodes;
    }
    let (compiled, proven) = (median(&mut compiles), median(&mut proofs));
    println!("{name:<34} {compiled:>10.2} {proven:>10.2} {nodes:>10} {:>9}", peak());
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The most memory that this process had so far.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) / 1024
}

fn policy(files: MemoryFiles) -> Resolved {
    let (resolved, reports) = resolve(&load(&files, "policy.dw"), &Host::default());
    resolved.unwrap_or_else(|| panic!("{reports:?}"))
}

fn generated(each: usize) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "xtask", "--", "generate", &each.to_string()])
        .output()
        .expect("cargo runs");
    String::from_utf8(output.stdout).expect("text")
}

/// The same numbers each time: a linear congruence (Knuth).
fn numbers() -> impl Iterator<Item = u64> {
    let mut state = 42u64;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(state >> 16)
    })
}

fn list4() -> String {
    let mut text = String::new();
    for n in numbers().take(1_000_000) {
        let length = if n % 10 < 7 {
            32
        } else if n % 10 < 9 {
            24
        } else {
            16 + (n >> 8) % 8
        };
        let addr = (n >> 12) as u32 & 0x7fff_ffff | 0x0100_0000;
        let addr = addr & (u32::MAX << (32 - length));
        if addr >> 24 == 127 || addr == 0 {
            continue;
        }
        text.push_str(&format!("{}/{length}\n", std::net::Ipv4Addr::from_bits(addr)));
    }
    text
}

fn list6() -> String {
    let mut text = String::new();
    for n in numbers().take(1_000_000) {
        let length = if n % 10 < 7 {
            64
        } else if n % 10 < 9 {
            48
        } else {
            32 + (n >> 8) % 16
        };
        let addr = 0x2000_0000_0000_0000_u64 | n >> 3 & 0x1fff_ffff_ffff_ffff;
        let addr = u128::from(addr & (u64::MAX << (64 - length))) << 64;
        text.push_str(&format!("{}/{length}\n", std::net::Ipv6Addr::from_bits(addr)));
    }
    text
}
