//! Keeps the modules of each crate on their floors, without circles; the order is data in `xtask/floors.txt`.

use super::Finding;
use crate::path::{self, Path};
use crate::tree::{File, Package, Tree};

const LIST: &str = "xtask/floors.txt";

/// The declared order of one crate, ground floor first.
struct Floors {
    package: String,
    line: usize,
    modules: Vec<(String, usize)>,
}

impl Floors {
    fn floor(&self, module: &str) -> Option<usize> {
        self.modules.iter().position(|(name, _)| name == module)
    }
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(list) = tree.file(LIST) else {
        return vec![Finding::new(LIST, 1, "the list of floors is missing", "restore it")];
    };
    let floors = read(list);
    let mut findings = Vec::new();
    let packages = tree.packages();
    for crate_floors in &floors {
        repeated(crate_floors, &mut findings);
        if !packages.iter().any(|p| p.name == crate_floors.package) {
            findings.push(Finding::new(
                LIST,
                crate_floors.line,
                format!("there is no crate `{}`", crate_floors.package),
                "take its floors out",
            ));
        }
    }
    for package in &packages {
        let src = format!("{}src/", package.folder);
        let own = floors.iter().find(|floors| floors.package == package.name);
        for file in tree.rust_below(&src) {
            if !tree.is_test(file) {
                file_on_its_floor(file, &src, own, package, &mut findings);
            }
        }
        let present = |module: &str| {
            tree.rust_below(&src).any(|file| module_path(&file.path[src.len()..]).first() == Some(&module))
        };
        for (module, line) in own.iter().flat_map(|own| &own.modules) {
            if !present(module) {
                findings.push(Finding::new(
                    LIST,
                    *line,
                    format!("there is no module `{module}` in `{}`", package.name),
                    "take it out, or make a comment of it until it comes",
                ));
            }
        }
    }
    findings
}

fn read(list: &File) -> Vec<Floors> {
    let mut floors: Vec<Floors> = Vec::new();
    for (line, text) in list.lines() {
        let text = text.split('#').next().unwrap_or_default().trim();
        if let Some(name) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            floors.push(Floors { package: name.to_owned(), line, modules: Vec::new() });
        } else if !text.is_empty()
            && let Some(last) = floors.last_mut()
        {
            last.modules.push((text.to_owned(), line));
        }
    }
    floors
}

fn repeated(floors: &Floors, findings: &mut Vec<Finding>) {
    for (at, (module, line)) in floors.modules.iter().enumerate() {
        if floors.floor(module) != Some(at) {
            findings.push(Finding::new(
                LIST,
                *line,
                format!("`{module}` has two floors in `{}`", floors.package),
                "keep one of them",
            ));
        }
    }
}

fn file_on_its_floor(
    file: &File,
    src: &str,
    floors: Option<&Floors>,
    package: &Package,
    findings: &mut Vec<Finding>,
) {
    let module_path = module_path(&file.path[src.len()..]);
    // `lib.rs`, `main.rs` and further binaries stand on everything.
    let Some(module) = module_path.first() else {
        return;
    };
    let Some(floor) = floors.and_then(|floors| floors.floor(module)) else {
        findings.push(Finding::new(
            &file.path,
            1,
            format!("module `{module}` of `{}` has no floor", package.name),
            format!("add it to {LIST}, above what it imports and below what imports it"),
        ));
        return;
    };
    for path in path::paths(&file.tokens) {
        let Some(target) = import(&path, module_path.len()) else {
            continue;
        };
        if path.test || target == *module {
            continue;
        }
        match floors.and_then(|floors| floors.floor(target)) {
            Some(other) if other < floor => {}
            Some(_) => findings.push(Finding::new(
                &file.path,
                path.line,
                format!("`{module}` imports `{target}`, which stands on a higher floor"),
                format!("move what both need further down ({LIST} has the order)"),
            )),
            // A macro that the crate exports lives at the root by its nature.
            None if path.macro_call && path.segments.len() == 2 => {}
            None => findings.push(Finding::new(
                &file.path,
                path.line,
                format!("`{module}` imports `{target}` from the crate's root"),
                "import it from the module where it is defined",
            )),
        }
    }
}

/// The module of a file: `a/b.rs` is `[a, b]`, a root is `[]`.
fn module_path(path: &str) -> Vec<&str> {
    let stem = path.trim_end_matches(".rs");
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    if matches!(stem, "lib" | "main") || stem.starts_with("bin/") {
        return Vec::new();
    }
    stem.split('/').collect()
}

/// The top-level module that a path of this crate leads to, seen from a module so deep.
fn import(path: &Path, depth: usize) -> Option<&str> {
    let mut segments = path.segments.iter().map(String::as_str);
    let ups = path.segments.iter().take_while(|s| *s == "super").count();
    match segments.next()? {
        "crate" => segments.next(),
        "super" if ups == depth + path.inline_depth => segments.nth(ups - 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{found, said};
    use super::check;

    const LIST: (&str, &str) = ("xtask/floors.txt", "# order\n[a]\nlow\nmid # why\nhigh\n");
    const MANIFEST: (&str, &str) = ("a/Cargo.toml", "[package]\nname = \"a\"\n");

    fn place(path: &str, text: &str) -> Vec<String> {
        let [low, mid, high] = ["a/src/low.rs", "a/src/mid.rs", "a/src/high.rs"].map(|path| (path, ""));
        found(check, &[LIST, MANIFEST, low, mid, high, (path, text)])
    }

    #[test]
    fn downwards_is_fine() {
        assert!(place("a/src/high.rs", "use crate::{low, mid::X};\nuse super::low::Y;").is_empty());
        assert!(place("a/src/lib.rs", "use crate::high;\npub use high::X;").is_empty());
        assert!(place("a/src/mid/deep.rs", "use super::other; use crate::mid::X;").is_empty());
    }

    #[test]
    fn upwards_is_found_however_it_is_written() {
        assert_eq!(place("a/src/low.rs", "\nuse crate::mid::X;"), ["a/src/low.rs:2"]);
        assert_eq!(place("a/src/low.rs", "use crate::{\n  mid::{X, Y}};").len(), 2);
        assert_eq!(place("a/src/low.rs", "use super::high;"), ["a/src/low.rs:1"]);
        assert_eq!(place("a/src/low/mod.rs", "use super::high;"), ["a/src/low/mod.rs:1"]);
        assert_eq!(place("a/src/low/x.rs", "fn f() { super::super::mid::g() }"), ["a/src/low/x.rs:1"]);
        assert_eq!(place("a/src/low.rs", "mod i { use super::super::mid; }"), ["a/src/low.rs:1"]);
        assert_eq!(place("a/src/low.rs", "fn f(x: &crate::mid::T) {}"), ["a/src/low.rs:1"]);
    }

    #[test]
    fn the_same_words_at_another_depth_are_not() {
        assert!(place("a/src/low/x.rs", "use super::mid;").is_empty());
        assert!(place("a/src/low.rs", "mod i { use super::mid; }").is_empty());
    }

    #[test]
    fn tests_may_look_up() {
        assert!(place("a/src/low.rs", "#[cfg(test)]\nmod tests { use crate::high; }").is_empty());
    }

    #[test]
    fn the_roof_holds_nothing_up() {
        assert_eq!(place("a/src/low.rs", "use crate::Thing;"), ["a/src/low.rs:1"]);
        assert!(place("a/src/low.rs", "fn f() { crate::made!() }").is_empty());
    }

    #[test]
    fn every_module_has_one_floor() {
        assert_eq!(place("a/src/new.rs", ""), ["a/src/new.rs:1"]);
        let twice = ("xtask/floors.txt", "[a]\nlow\nlow\n[gone]\n");
        assert_eq!(
            said(check, &[twice, MANIFEST]),
            [
                "`low` has two floors in `a`",
                "there is no crate `gone`",
                "there is no module `low` in `a`",
                "there is no module `low` in `a`"
            ]
        );
        assert_eq!(found(check, &[MANIFEST]), ["xtask/floors.txt:1"]);
    }
}
