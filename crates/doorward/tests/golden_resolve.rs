//! Policies and what they resolve to, one idea a folder: `policy.dw`, what it names, `expected.txt`.
//!
//! `UPDATE_GOLDEN=1` writes what is there now into `expected.txt`: read the difference before it is kept.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/resolved.rs"]
mod resolved;

use doorward::report::{Report, Severity};
use doorward::resolve::{Listed, MemoryFiles, Resolved, list, load, resolve};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn cases(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(kind);
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 10, "the cases are missing");
    cases
}

/// What is said about a case: the policy if there is one, and every report.
fn said(folder: &Path) -> (Option<Resolved>, Vec<Report>, String) {
    let files = resolved::files(folder);
    let loaded = load(&files, "policy.dw");
    let (policy, reports) = resolve(&loaded, &resolved::host(folder));
    let mut text = policy.as_ref().map(resolved::dump).unwrap_or_default();
    for report in &reports {
        write!(text, "\n[{}]\n{}", report.id, report.render(&loaded.sources)).unwrap();
    }
    (policy, reports, text)
}

fn compare(folder: &Path, text: &str, wrong: &mut Vec<String>) {
    let path = folder.join("expected.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected != text {
        wrong.push(format!("== {}\n-- expected\n{expected}-- found\n{text}", path.display()));
    }
}

#[test]
fn policies() {
    let mut wrong = Vec::new();
    for folder in cases("resolve") {
        let (policy, _, text) = said(&folder);
        assert!(policy.is_some(), "{} is no policy:\n{text}", folder.display());
        compare(&folder, &text, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn mistakes() {
    let mut wrong = Vec::new();
    for folder in cases("resolve-mistakes") {
        let (policy, reports, text) = said(&folder);
        assert!(policy.is_none(), "{} is a policy:\n{text}", folder.display());
        compare(&folder, &text, &mut wrong);
        for report in &reports {
            let ways_out = usize::from(!report.label.is_empty()) + report.ways_out.len();
            assert!(ways_out > 0, "{}: `{}` shows no way out", folder.display(), report.id);
            assert!(!report.message.contains('\n') && !report.message.ends_with('.'), "{}", report.message);
        }
        let places: BTreeSet<_> = reports.iter().map(|r| (r.span, r.id)).collect();
        assert_eq!(places.len(), reports.len(), "{}: said twice", folder.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every message of this stage has a case that shows it.
#[test]
fn every_message_is_shown() {
    let mut shown: BTreeMap<&'static str, Severity> = BTreeMap::new();
    for kind in ["resolve", "resolve-mistakes"] {
        for folder in cases(kind) {
            shown.extend(said(&folder).1.iter().map(|report| (report.id, report.severity)));
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/resolve");
    let mut missing = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(source).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for call in ["Report::error(", "Report::warning(", "error("] {
            for rest in text.split(call).skip(1) {
                let Some(id) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next())
                else {
                    continue;
                };
                count += 1;
                // Too large for a folder, or unreachable through the parser; tests of their modules show them.
                if !shown.contains_key(id)
                    && !["list-too-long", "policy-not-read", "include-too-deep"].contains(&id)
                {
                    missing.push(id.to_owned());
                }
            }
        }
    }
    assert!(count > 40, "only {count} messages were found in the source");
    missing.sort();
    missing.dedup();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}

/// What a policy means, whatever its files and lines.
fn meaning(policy: &Resolved) -> String {
    let text = resolved::dump(policy);
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(_) => write!(blocks.last_mut().unwrap(), "\n{line}").unwrap(),
            // The place of an origin goes, its sentence stays.
            None => blocks.push(match line.split_once(' ') {
                Some((place, sentence)) if place.contains(':') && place != "bridges:" => sentence.to_owned(),
                _ => line.split("  (").next().unwrap().to_owned(),
            }),
        }
    }
    blocks.sort();
    blocks.join("\n")
}

/// `list` is a policy that means the same, and its list is itself.
#[test]
fn lists_are_policies() {
    for folder in cases("resolve") {
        let (files, host) = (resolved::files(&folder), resolved::host(&folder));
        let loaded = load(&files, "policy.dw");
        let policy = resolve(&loaded, &host).0.unwrap();
        let text = Listed::text(&list(&loaded, &policy));
        let again = MemoryFiles(files.0.clone()).with("policy.dw", &text);
        let loaded = load(&again, "policy.dw");
        let (second, reports) = resolve(&loaded, &host);
        let Some(second) = second else { panic!("{}: {text}\n{reports:?}", folder.display()) };
        assert_eq!(meaning(&second), meaning(&policy), "{}", folder.display());
        assert_eq!(Listed::text(&list(&loaded, &second)), text, "{}", folder.display());
    }
}

/// Sentences in any order, in one file or in several, mean the same.
#[test]
fn order_never_matters() {
    for folder in cases("resolve") {
        let (files, host) = (resolved::files(&folder), resolved::host(&folder));
        let loaded = load(&files, "policy.dw");
        let policy = resolve(&loaded, &host).0.unwrap();
        let lines: Vec<String> =
            list(&loaded, &policy).into_iter().filter(|l| l.origin.is_some()).map(|l| l.text).collect();
        let backwards: Vec<&str> = lines.iter().rev().map(String::as_str).collect();
        let (one, two) = backwards.split_at(backwards.len() / 2);
        let whole = files.clone().with("policy.dw", &backwards.join("\n"));
        let split = files
            .clone()
            .with("policy.dw", &format!("include \"aa.dw\"\n{}\n", one.join("\n")))
            .with("aa.dw", &two.join("\n"));
        for files in [whole, split] {
            let loaded = load(&files, "policy.dw");
            let (other, reports) = resolve(&loaded, &host);
            let Some(other) = other else { panic!("{}: {reports:?}", folder.display()) };
            assert_eq!(meaning(&other), meaning(&policy), "{}", folder.display());
        }
    }
}

/// What `list` says besides the sentences: own names that win, lists by a path that the main file
/// can say, equal definitions once, what is built in.
#[test]
fn lists_say_what_holds() {
    let listed = |case: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/resolve").join(case);
        let loaded = load(&resolved::files(&folder), "policy.dw");
        let policy = resolve(&loaded, &resolved::host(&folder)).0.unwrap();
        list(&loaded, &policy)
    };
    let text = |case| listed(case).into_iter().map(|line| line.text).collect::<Vec<_>>();
    assert_eq!(
        text("16-row-18-own-name-wins")[..2],
        ["# own name: `ssh` is not the `22/tcp` of the catalogue here", "define ssh = 2222/tcp"]
    );
    let includes = listed("19-row-22-23-includes");
    let friends = includes.iter().find(|line| line.text.starts_with("define friends")).unwrap();
    assert_eq!(friends.text, "define friends = file \"other/friends.txt\"");
    let origin = friends.origin.as_ref().unwrap();
    assert_eq!(origin.comment(), "other/more.dw:1 define friends = file \"friends.txt\"");
    let equal = text("17-row-19-equal-definitions");
    assert_eq!(equal.iter().filter(|line| line.starts_with("define office")).count(), 1);
    let built_in = text("02-empty-policy");
    assert_eq!(built_in[0], "# built in: default block in, allow out, block published, block forward");
    assert!(built_in.iter().all(|line| line.starts_with('#')));
    assert!(
        text("56-row-40-defaults-in-files")
            .contains(&"# built in: default allow out, block published".to_owned())
    );
}
