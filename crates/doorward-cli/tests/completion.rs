//! Completion as a user meets it: real bash, zsh and fish with the scripts that are shipped, and the real command.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use std::path::Path;
use std::process::{Command, Stdio};
use tool::Folder;

const POLICY: &str = "define office = 203.0.113.0/24\ndefine kiosk = 8443/tcp\ndefine inner = interface eth7\n\
                      trust office\nallow kiosk from office\nallow ssh limit 6/minute per source\n";

/// A command line as typed, and what it becomes when its last word is completed.
const LINES: [(&str, &str); 12] = [
    ("doorward confi", "doorward confirm"),
    ("doorward apply --no-tr", "doorward apply --no-trial"),
    ("doorward export --format n", "doorward export --format nft"),
    ("doorward allow --policy policy.dw kios", "doorward allow --policy policy.dw kiosk"),
    ("doorward allow postgresq", "doorward allow postgresql"),
    ("doorward allow --policy policy.dw ssh, kios", "doorward allow --policy policy.dw ssh, kiosk"),
    ("doorward allow --policy policy.dw ssh from of", "doorward allow --policy policy.dw ssh from office"),
    ("doorward allow ssh from 2001:db8::7 lim", "doorward allow ssh from 2001:db8::7 limit"),
    ("doorward allow --policy policy.dw ssh on inn", "doorward allow --policy policy.dw ssh on inner"),
    ("doorward block out smtp by user roo", "doorward block out smtp by user root"),
    (
        "doorward remove --policy policy.dw allow kiosk fr",
        "doorward remove --policy policy.dw allow kiosk from",
    ),
    ("doorward check pol", "doorward check policy.dw"),
];

fn scripts() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/completions").canonicalize().unwrap()
}

fn folder() -> Folder {
    Folder::new().with("policy.dw", POLICY)
}

fn is_there(shell: &str) -> bool {
    let found = Command::new(shell).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        skip::skip(&format!("{shell} is not installed"));
    }
    found
}

/// Runs a shell in a folder, with our program first in the path.
fn shell(program: &str, args: &[&str], folder: &Folder, line: &str) -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_doorward")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let out = Command::new(program)
        .args(args)
        .current_dir(folder.path())
        .env("PATH", path)
        .env("SCRIPTS", scripts())
        .env("LINE", line)
        .env("HOME", folder.path())
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

/// What the completion function is asked, as the shell itself asks it.
#[test]
fn bash_completes() {
    let ask = r#"source "$SCRIPTS/doorward.bash" && complete -p doorward >/dev/null || exit
        COMP_LINE=$LINE COMP_POINT=${#LINE}; _doorward; printf '%s\n' "${COMPREPLY[@]}""#;
    let folder = folder();
    for (line, becomes) in LINES {
        let said = shell("bash", &["--norc", "-c", ask], &folder, line);
        let last = becomes.rsplit(' ').next().unwrap();
        let found: Vec<&str> = said.lines().collect();
        assert!(found.contains(&last), "`{line}`: {said}");
        assert!(found.len() <= 2, "`{line}`: {said}");
    }
    // Readline ends a word at a colon; what it puts back must not say the address twice.
    let said = shell("bash", &["--norc", "-c", ask], &folder, "doorward allow ssh from office,x:o");
    assert!(!said.contains(':'), "{said}");
    let all = shell("bash", &["--norc", "-c", ask], &folder, "doorward allow --policy policy.dw ");
    let all: Vec<&str> = all.lines().collect();
    for word in ["in", "out", "published", "ping", "anything", "ssh", "https", "kiosk", "protocol"] {
        assert!(all.contains(&word), "{word}");
    }
    assert!(!all.contains(&"office") && !all.contains(&"from") && !all.contains(&"masquerade"));
}

#[test]
fn fish_completes() {
    if !is_there("fish") {
        return;
    }
    let ask = r#"source $SCRIPTS/doorward.fish; complete --do-complete "$LINE""#;
    let folder = folder();
    for (line, becomes) in LINES {
        let said = shell("fish", &["--no-config", "-c", ask], &folder, line);
        let last = becomes.rsplit(' ').next().unwrap();
        let found = said.lines().filter_map(|line| line.split('\t').next()).any(|word| word == last);
        assert!(found, "`{line}`: {said}");
    }
    let said =
        shell("fish", &["--no-config", "-c", ask], &folder, "doorward allow --policy policy.dw ssh from of");
    assert_eq!(said.trim_end(), "office\t203.0.113.0/24");
}

/// A real interactive zsh: the line is typed, completed by a tab, and printed.
#[test]
fn zsh_completes() {
    if !is_there("zsh") {
        return;
    }
    let ask = r#"
        zmodload zsh/zpty
        zpty shell zsh -f -i
        zpty -w shell 'PS1= PS2=; unsetopt zle_bracketed_paste 2>/dev/null; fpath=("$SCRIPTS" $fpath)'
        zpty -w shell 'autoload -Uz compinit; compinit -u -D; zle_highlight=(); print -r -- "REA""DY"'
        zpty -r -m shell out '*READY*'
        for line in ${(f)LINE}; do
            zpty -w -n shell "$line"$'\t'
            zpty -w -n shell $'\C-a'"print -r -- 'GO''T' "$'\C-e\n'
            zpty -r -m shell out $'*GOT *\n'
            print -r -- "${out##*GOT }"
        done
        zpty -d shell
    "#;
    let folder = folder();
    let lines: Vec<&str> = LINES.iter().map(|(line, _)| *line).collect();
    let said = shell("zsh", &["-f", "-c", ask], &folder, &lines.join("\n"));
    for (line, becomes) in LINES {
        let found = said.lines().any(|said| said.trim_end() == becomes);
        assert!(found, "`{line}`: {said:?}");
    }
}
