//! Tests that are data: a folder for one idea, with the text that goes in and what must come out.
//!
//! `tests/golden/KIND/NN-name/` holds `input.dw` (and what files it names) and one `expected…` file
//! for each result. A kind is a function from a case to its results: to add one, write it and put
//! it into [`KINDS`]. `UPDATE_GOLDEN=1 cargo test -p doorward --test golden` writes the expected
//! files anew; read the difference before you commit it.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "golden/dump.rs"]
mod dump;
#[path = "golden/kinds.rs"]
mod kinds;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a kind makes of a case: names of expected files with their contents.
type Results = Vec<(&'static str, String)>;

/// A folder of `tests/golden/`, how many cases it has at least, and what becomes of each.
type Kind = (&'static str, usize, fn(&Case) -> Results);

const KINDS: &[Kind] =
    &[("parse", 20, kinds::parse), ("mistakes", 90, kinds::mistakes), ("fmt", 8, kinds::fmt)];

/// One case.
struct Case {
    folder: PathBuf,
}

impl Case {
    /// `KIND/NN-name`, for messages.
    fn name(&self) -> String {
        let tail: Vec<_> =
            self.folder.components().rev().take(2).map(|c| c.as_os_str().to_string_lossy()).collect();
        format!("{}/{}", tail[1], tail[0])
    }

    /// A file of the case as text; bytes that are no UTF-8 are replaced, as the program does it.
    fn file(&self, name: &str) -> String {
        let path = self.folder.join(name);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn input(&self) -> String {
        self.file("input.dw")
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The cases of a kind by name.
fn cases(kind: &str) -> Vec<Case> {
    let folder = root().join(kind);
    let mut folders: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    folders.into_iter().map(|folder| Case { folder }).collect()
}

fn check(kind: &str) {
    let (_, least, results) = KINDS.iter().find(|(name, _, _)| *name == kind).unwrap();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    let cases = cases(kind);
    assert!(cases.len() >= *least, "{kind}: {} cases, {least} are the least", cases.len());
    let mut differing = Vec::new();
    for case in &cases {
        let results = results(case);
        let mut expected: BTreeSet<String> = expected_files(case);
        for (file, content) in results {
            expected.remove(file);
            let path = case.folder.join(file);
            if update {
                fs::write(&path, content).unwrap();
            } else if fs::read(&path).ok().as_deref() != Some(content.as_bytes()) {
                differing
                    .push(format!("{}/{file} should be, as the code has it now:\n{content}", case.name()));
            }
        }
        for file in expected {
            differing.push(format!("{}/{file} is expected by nobody: take it out", case.name()));
        }
    }
    assert!(differing.is_empty(), "{}\n{} files differ", differing.join("\n"), differing.len());
}

fn expected_files(case: &Case) -> BTreeSet<String> {
    fs::read_dir(&case.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("expected"))
        .collect()
}

#[test]
fn parse() {
    check("parse");
}

#[test]
fn mistakes() {
    check("mistakes");
}

#[test]
fn fmt() {
    check("fmt");
}

/// Every folder is run, here or by another test, and ours are called `NN-name`, each with a number of its own.
#[test]
fn folders_have_a_kind_and_a_number() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let others: String = fs::read_dir(tests)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("golden.rs"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let kinds: BTreeSet<String> = KINDS.iter().map(|(name, _, _)| (*name).to_owned()).collect();
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let run = kinds.contains(&name)
            || others.contains(&format!("\"{name}\""))
            || others.contains(&format!("golden/{name}"));
        assert!(run || !path.is_dir(), "nobody runs golden/{name}");
    }
    for kind in kinds {
        let mut numbers = BTreeMap::new();
        for case in cases(&kind) {
            let name = case.name();
            let number =
                name.rsplit('/').next().unwrap().split_once('-').map(|(number, _)| number.to_owned());
            let number = number.unwrap_or_else(|| panic!("{name} has no number"));
            assert!(number.len() >= 2 && number.bytes().all(|b| b.is_ascii_digit()), "{name}");
            if let Some(other) = numbers.insert(number, name.clone()) {
                panic!("{name} has the number of {other}");
            }
        }
    }
}

/// Each mistake is said once, says a way out, and what it tells to write is right.
#[test]
fn every_mistake_has_a_way_out() {
    let mut ids: BTreeMap<&'static str, String> = BTreeMap::new();
    for case in cases("mistakes") {
        let (sources, reports) = kinds::reports(&case);
        assert!(!reports.is_empty(), "{}: there is no mistake", case.name());
        let mut said = BTreeSet::new();
        for report in &reports {
            let name = case.name();
            ids.entry(report.id).or_insert_with(|| name.clone());
            let text = report.render(&sources);
            assert!(!report.label.is_empty() || !report.ways_out.is_empty(), "{name}: no way out of\n{text}");
            assert!(!report.message.contains('\n') && !report.label.contains('\n'), "{name}: {text}");
            let place = (report.span, report.message.clone());
            assert!(said.insert(place), "{name}: said twice:\n{text}");
            for way in &report.ways_out {
                assert!(!way.contains('\n'), "{name}: {way:?}");
                let told = way.strip_prefix("write `").and_then(|rest| rest.strip_suffix('`'));
                if let Some(told) = told {
                    let (tree, again) = doorward::syntax::parse(doorward::report::FileId(0), told);
                    assert!(
                        again.is_empty() && tree.sentences().len() == 1,
                        "{name}: `{told}` is no sentence"
                    );
                }
            }
        }
        let spans: BTreeSet<_> = reports.iter().map(|report| (report.span, report.id)).collect();
        assert_eq!(spans.len(), reports.len(), "{}: one mistake, two reports", case.name());
    }
    let known: Vec<_> = ids.iter().map(|(id, case)| format!("{id} ({case})")).collect();
    assert!(ids.len() >= kinds::LEAST_IDS, "{} kinds of mistakes only: {}", ids.len(), known.join(", "));
}
