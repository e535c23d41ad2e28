//! The command line as a user meets it: exit codes, words, JSON, files that are not as they should be.
//!
//! `UPDATE_GOLDEN=1` writes what is said now into `tests/golden`: read the difference before it is kept.

#![allow(clippy::unwrap_used, clippy::panic)]

mod tool;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use tool::{Folder, golden, odd_name, without_figure};

const GOOD: &str = "define office = 203.0.113.0/24\nallow ping\nallow ssh from office\nallow http, https\n\
                    expect mysql from anyone is blocked\nexpect ssh from office is allowed\n";
const BROKEN: &str = "define office = 203.0.113.0/24\ndefine home = 198.51.100.7\nallow ssh from office, home\n\
                      expect ssh from outside office is blocked\n";
const WRONG: &str = "allow in shh from office\nallow 80\nblock from spam\n";
const DOUBTFUL: &str = "allow ftp\n";
const UNTIDY: &str = "allow   ssh # comes in\n\n\n\nallow ping\n";
const TIDY: &str = "allow ssh  # comes in\n\nallow ping\n";

fn folder() -> Folder {
    Folder::new()
        .with("good.dw", GOOD)
        .with("broken.dw", BROKEN)
        .with("wrong.dw", WRONG)
        .with("doubtful.dw", DOUBTFUL)
        .with("untidy.dw", UNTIDY)
        .with("tidy.dw", TIDY)
        .with("binary.dw", b"allow ssh\xff\n")
        .with("sub/x.dw", "allow ping\n")
}

/// Every exit code that a command gives without touching the kernel.
#[test]
fn exit_codes() {
    let folder = folder();
    let table: &[(&str, i32)] = &[
        ("", 2),
        ("--help", 0),
        ("--version", 0),
        ("frob", 2),
        ("check --frob", 2),
        ("check good.dw tidy.dw", 2),
        ("check --help", 0),
        ("check good.dw", 0),
        ("check doubtful.dw", 0),
        ("check broken.dw", 1),
        ("check wrong.dw", 3),
        ("check binary.dw", 5),
        ("check missing.dw", 5),
        ("check sub", 5),
        ("check --json good.dw", 0),
        ("check --json broken.dw", 1),
        ("check --json wrong.dw", 3),
        ("fmt --check tidy.dw", 0),
        ("fmt --check untidy.dw", 1),
        ("fmt --check tidy.dw untidy.dw", 1),
        ("fmt --check wrong.dw", 3),
        ("fmt --check missing.dw", 5),
        ("fmt --check binary.dw", 5),
        ("fmt --check sub", 5),
        ("list good.dw", 0),
        ("list broken.dw", 0),
        ("list wrong.dw", 3),
        ("list services", 0),
        ("list services mysql", 0),
        ("list services no-such-thing", 1),
        ("list services one two", 2),
        ("export --format nft good.dw", 0),
        ("export --format nft wrong.dw", 3),
        ("export good.dw", 2),
        ("export --format pf good.dw", 2),
        ("explain tcp 198.51.100.7 443 good.dw", 0),
        ("explain tcp 198.51.100.7 444 good.dw", 0),
        ("explain", 2),
        ("explain tcp 198.51.100.7 good.dw", 2),
        ("explain tcp 198.51.100.7 443 wrong.dw", 3),
        ("explain tcp 198.51.100.7 443 missing.dw", 5),
        ("plan --against good.dw good.dw", 0),
        ("plan --against good.dw --exit-code good.dw", 0),
        ("plan --against good.dw tidy.dw", 0),
        ("plan --against good.dw --exit-code tidy.dw", 1),
        ("plan --against good.dw --exit-code --json tidy.dw", 1),
        ("plan --against wrong.dw good.dw", 3),
        ("plan --against good.dw wrong.dw", 3),
        ("plan --against missing.dw good.dw", 5),
        ("plan --against", 2),
        ("verify wrong.dw", 3),
        ("verify missing.dw", 5),
        ("apply good.dw", 4),
        ("apply --no-trial --json a b", 2),
    ];
    for (args, exit) in table {
        let said = folder.run(args.split_whitespace());
        assert_eq!(said.exit, Some(*exit), "doorward {args}: {said:#?}");
        assert!(
            !said.out.is_empty() || !said.err.is_empty() || *args == "fmt --check tidy.dw",
            "doorward {args}"
        );
    }
}

/// What people read, word by word.
#[test]
fn transcripts() {
    let folder = folder();
    for (name, args) in [
        ("check-good", "check good.dw"),
        ("check-broken", "check broken.dw"),
        ("check-wrong", "check wrong.dw"),
        ("check-doubtful", "check doubtful.dw"),
        ("check-missing", "check missing.dw"),
        ("list", "list good.dw"),
        ("list-wrong", "list wrong.dw"),
        ("services", "list services sql"),
        ("services-none", "list services postgrsql"),
        ("fmt-check", "fmt --check untidy.dw tidy.dw"),
        ("fmt-wrong", "fmt wrong.dw"),
        ("apply-trial", "apply good.dw"),
        ("help", "--help"),
        ("help-check", "check --help"),
        ("help-fmt", "fmt --help"),
        ("help-list", "list --help"),
        ("help-services", "list services --help"),
        ("help-export", "export --help"),
        ("help-apply", "apply --help"),
        ("help-status", "status --help"),
        ("help-show", "show --help"),
        ("help-explain", "explain --help"),
        ("help-log", "log --help"),
        ("help-watch", "watch --help"),
        ("watch-nowhere", "watch"),
        ("help-plan", "plan --help"),
        ("help-enable", "enable --help"),
        ("help-disable", "disable --help"),
        ("help-allow", "allow --help"),
        ("help-audit", "audit --help"),
        ("help-init", "init --help"),
        ("help-doctor", "doctor --help"),
        ("help-panic", "panic --help"),
        ("help-open", "open --help"),
        ("help-remove", "remove --help"),
        ("help-verify", "verify --help"),
        ("help-rehearse", "rehearse --help"),
    ] {
        let said = folder.run(args.split_whitespace());
        let mut text = format!("$ doorward {args}\n{}", said.out);
        if !said.err.is_empty() {
            write!(text, "-- standard error\n{}", said.err).unwrap();
        }
        writeln!(text, "-- exit {}", said.exit.unwrap()).unwrap();
        golden(&format!("{name}.txt"), &text);
        for line in text.lines().filter(|_| name.starts_with("help") || name.starts_with("services")) {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

/// The shapes that docs/json.md promises.
#[test]
fn json_shapes() {
    let folder = folder();
    for (name, args) in [
        ("check-good", "check --json good.dw"),
        ("check-broken", "check --json broken.dw"),
        ("check-wrong", "check --json wrong.dw"),
        ("list", "list --json tidy.dw"),
        ("list-wrong", "list --json wrong.dw"),
        ("services", "list services --json postgres"),
        ("services-none", "list services --json nosuchthing"),
        ("fmt", "fmt --check --json tidy.dw untidy.dw wrong.dw"),
        ("fmt-missing", "fmt --check --json missing.dw"),
        ("apply-trial", "apply --json good.dw"),
    ] {
        let said = folder.run(args.split_whitespace());
        let value = without_figure(said.json(), "kernel_rules");
        assert!(said.err.is_empty(), "{args} says nothing else: {}", said.err);
        golden(&format!("json/{name}.json"), &format!("{value:#}\n"));
    }
}

/// Each key that is ever said is in docs/json.md, and each command that has `--json` has a heading there.
#[test]
fn json_is_documented() {
    fn keys(value: &serde_json::Value, found: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(map) => {
                found.extend(map.keys().cloned());
                map.values().for_each(|value| keys(value, found));
            }
            serde_json::Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_to_string(root.join("../../docs/json.md")).unwrap();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root.join("tests/golden/json")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        keys(&serde_json::from_str(&text).unwrap(), &mut found);
    }
    assert!(found.len() > 30, "{found:?}");
    for key in found {
        let said = [format!("`{key}`"), format!("error.{key}`"), format!("\"{key}\":")];
        assert!(said.iter().any(|said| docs.contains(said)), "docs/json.md does not know `{key}`");
    }
    let commands = [
        "check",
        "fmt",
        "list",
        "list services",
        "apply",
        "confirm",
        "rollback",
        "boot",
        "enable",
        "disable",
        "status",
        "show",
        "explain",
        "log",
        "plan",
        "verify",
        "rehearse",
    ];
    for command in commands {
        assert!(docs.contains(&format!("\n## {command}\n")), "docs/json.md does not know `{command}`");
    }
}

#[test]
fn every_service_keeps_within_80_columns() {
    let said = folder().run(["list", "services"]).well();
    for line in said.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(said.out.lines().count() > 300);
}

/// Output is input: what `list` prints is a policy that lists the same.
#[test]
fn list_reads_back() {
    let folder = folder();
    let first = folder.run(["list", "good.dw"]).well().out;
    folder.write("listed.dw", &first);
    let second = folder.run(["list", "listed.dw"]).well().out;
    assert_eq!(first, second);
}

#[test]
fn a_folder_of_the_name_of_a_word_can_be_listed() {
    let folder = Folder::new().with("services", "allow ssh\n");
    assert!(folder.run(["list", "./services"]).well().out.starts_with("allow ssh\n"));
}

#[test]
fn fmt_writes_and_keeps_mode_and_links() {
    let folder = folder();
    let path = folder.path().join("untidy.dw");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("untidy.dw", folder.path().join("link.dw")).unwrap();
    let before = fs::metadata(&path).unwrap();
    folder.run(["fmt", "link.dw"]).well();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(folder.read("untidy.dw"), TIDY);
    assert_eq!(after.mode(), before.mode());
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_ne!(after.ino(), before.ino(), "it is replaced, never written into");
    assert!(fs::symlink_metadata(folder.path().join("link.dw")).unwrap().is_symlink());
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
    // What is as it should be is not touched.
    let untouched = fs::metadata(folder.path().join("tidy.dw")).unwrap();
    folder.run(["fmt", "tidy.dw"]).well();
    assert_eq!(fs::metadata(folder.path().join("tidy.dw")).unwrap().ino(), untouched.ino());
}

/// A text with mistakes stays as it is, and the others get their turn.
#[test]
fn fmt_leaves_mistakes_alone() {
    let folder = folder();
    let said = folder.run(["fmt", "wrong.dw", "untidy.dw"]);
    assert_eq!(said.exit, Some(3));
    assert_eq!(folder.read("wrong.dw"), WRONG);
    assert_eq!(folder.read("untidy.dw"), TIDY);
}

#[test]
fn fmt_from_input_to_output() {
    let folder = folder();
    let said = folder.run_with(&["fmt", "-"], UNTIDY).well();
    assert_eq!((said.out.as_str(), said.err.as_str()), (TIDY, ""));
    assert_eq!(folder.run_with(&["fmt", "--check", "-"], UNTIDY).exit, Some(1));
    assert_eq!(folder.run_with(&["fmt", "--check", "-"], TIDY).exit, Some(0));
    assert_eq!(folder.run_with(&["fmt", "-"], WRONG).out, "");
}

/// A name of a file that is not UTF-8 can be given, and what lies beside it can be included.
#[test]
fn names_that_are_not_utf8() {
    use std::ffi::{OsStr, OsString};
    let folder = Folder::new().with(odd_name(), UNTIDY);
    let check = folder.run([OsStr::new("check"), odd_name()]).well();
    assert!(check.out.contains("p\u{fffd}.dw: 2 sentences"), "{}", check.out);
    folder.run([OsStr::new("fmt"), odd_name()]).well();
    assert_eq!(fs::read_to_string(folder.path().join(odd_name())).unwrap(), TIDY);
    let mut main = OsString::from(odd_name());
    main.push("/main.dw");
    let folder =
        Folder::new().with(&main, "include \"more\"\ndefine spam = file \"spam.txt\"\nblock from spam\n");
    for (name, text) in [("/more/a.dw", "allow ssh\n"), ("/spam.txt", "192.0.2.1\n")] {
        let mut path = OsString::from(odd_name());
        path.push(name);
        folder.write(&path, text);
    }
    let listed = folder.run([OsStr::new("list"), &main]).well();
    assert!(listed.out.starts_with("allow ssh\n"), "{}", listed.out);
}

#[test]
fn contents_that_are_not_text() {
    let folder = folder()
        .with("list.txt", b"192.0.2.1\n\xff\n")
        .with("lists.dw", "define a = file \"list.txt\"\nblock from a\n");
    let said = folder.run(["check", "binary.dw"]);
    assert!(said.err.contains("it is not text in UTF-8"), "{}", said.err);
    let said = folder.run(["check", "lists.dw"]);
    assert_eq!(said.exit, Some(3));
    assert!(said.out.contains("it is not text in UTF-8"), "{}", said.out);
    // Control characters in a policy never reach a terminal.
    folder.write("escape.dw", "allow \x1b[31mssh\n");
    let said = folder.run(["check", "escape.dw"]);
    assert!(!said.out.contains('\x1b'), "{:?}", said.out);
}

/// A device that never ends is no policy.
#[test]
fn endless_files() {
    let said = folder().run(["check", "/dev/zero"]);
    assert_eq!(said.exit, Some(5));
    assert!(said.err.contains("larger than 256 MiB"), "{}", said.err);
}

/// Colour is for terminals, unless somebody asks for it; and `NO_COLOR` is stronger.
#[test]
fn colour() {
    let folder = folder();
    let coloured = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = folder.doorward();
        command.args(args).envs(variables.iter().copied());
        let output = command.output().unwrap();
        output.stdout.contains(&0x1b) || output.stderr.contains(&0x1b)
    };
    for args in [["check", "wrong.dw"], ["check", "--help"], ["list", "services"], ["check", "--frob"]] {
        assert!(!coloured(&[], &args), "{args:?}");
        assert!(!coloured(&[("NO_COLOR", "1")], &args), "{args:?}");
        assert!(coloured(&[("CLICOLOR_FORCE", "1")], &args), "{args:?}");
        assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &args), "{args:?}");
    }
}

/// A reader that has enough is no error; a full disk is one.
#[test]
fn output_that_goes_nowhere() {
    let folder = folder();
    for args in [
        &["list", "services"][..],
        &["check", "wrong.dw"],
        &["--help"],
        &["export", "--format", "nft", "good.dw"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let exit = folder.run(args).exit;
        let output = folder.doorward().args(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), exit, "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = folder.doorward().args(["list", "services"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output cannot be written"));
}

/// `include` and `file` are relative to the file that says so, not to where the command was started.
#[test]
fn paths_are_relative_to_the_file() {
    let folder = Folder::new()
        .with("a/main.dw", "include \"more\"\ndefine spam = file \"lists/spam.txt\"\nblock from spam\n")
        .with("a/more/b.dw", "allow ssh\n")
        .with("a/lists/spam.txt", "192.0.2.1\n");
    let said = folder.run(["list", "a/main.dw"]).well();
    assert!(said.out.starts_with("allow ssh\n"), "{}", said.out);
}
