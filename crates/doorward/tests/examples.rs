//! The examples are policies without errors and warnings, and mean what `golden/examples` shows.
//!
//! `UPDATE_GOLDEN=1` writes what is there now: read the difference before it is kept.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/resolved.rs"]
mod resolved;

use doorward::compile::Options;
use doorward::meaning::Host;
use doorward::prove::{Answer, InTurn, compiled};
use doorward::resolve::{Listed, list, load, resolve};
use std::path::Path;

/// A host on which every interface and account of the examples is there.
const HOST: &str = "interface lo\ninterface eth0\ninterface eth1\ninterface wg0\nbridge docker0\nbridge br-0a1b2c\n\
                    forwards IPv4\nforwards IPv6\n\
                    user root 0\nuser daemon 1\nuser www-data 33\ngroup root 0\ngroup daemon 1\ngroup www-data 33\n";

#[test]
fn examples_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = resolved::files(&root.join("../../examples"));
    let mut wrong = Vec::new();
    for name in ["three-lines", "vps", "gateway", "full"] {
        let loaded = load(&files, &format!("{name}.dw"));
        let (policy, reports) = resolve(&loaded, &resolved::parse_host(HOST));
        let shown: String = reports.iter().map(|report| report.render(&loaded.sources)).collect();
        assert!(reports.is_empty(), "{name}.dw:\n{shown}");
        let policy = policy.unwrap();
        let (table, proof) = compiled(&policy, &Host::default(), &Options::default(), &InTurn);
        assert!(table.is_some(), "{name}: {:#?}", proof.differences);
        for outcome in proof.expectations {
            assert_eq!(outcome.answer, Answer::Holds, "{}", outcome.origin.comment());
        }
        let text = format!("{}\n{}", resolved::dump(&policy), Listed::text(&list(&loaded, &policy)));
        let path = root.join(format!("tests/golden/examples/{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
            std::fs::write(&path, &text).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(format!("== {}\n{text}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
