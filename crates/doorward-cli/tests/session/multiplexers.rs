//! In tmux and screen: who is attached counts, not who started it.

use crate::bench::{need, until};
use crate::skip;
use crate::stage::{LONG, Login, SERVER, Stage, peer};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Runs within the multiplexer and asks whenever it is told to.
const PANE: &str = "while :; do
    if test -e $1/ask; then $1/doorward session > $1/answer.new; rm $1/ask; mv $1/answer.new $1/answer; fi
    sleep 0.05
done
";

#[test]
fn tmux_of_an_earlier_session() {
    if crate::left_out() {
        return;
    }
    need("tmux", "tmux");
    attached("tmux", "tmux -f /dev/null -S /run/tmux new-session -d sh PANE", "tmux -S /run/tmux attach");
}

#[test]
fn screen_of_an_earlier_session() {
    if crate::left_out() {
        return;
    }
    need("screen", "screen");
    attached("screen", "screen -c /dev/null -dmS one sh PANE", "screen -x one");
}

/// Its clients cannot be told; that is said, and no guess is made from who started it.
#[test]
fn dtach_of_an_earlier_session() {
    if crate::left_out() {
        return;
    }
    if !Path::new("/usr/bin/dtach").exists() {
        skip::skip("dtach is not installed");
        return;
    }
    let stage = started("dtach -n /run/dtach sh PANE");
    let _client = stage.hold(&Login { terminal: true, ..Login::default() }, "dtach -a /run/dtach");
    assert_eq!(ask(&stage)["unknown"], "`dtach` does not let its clients be told");
}

fn attached(name: &str, start: &str, attach: &str) {
    let stage = started(start);
    let none = ask(&stage);
    let why = none["unknown"].as_str().unwrap_or_else(|| panic!("{none:#}"));
    assert!(why.starts_with(&format!("no client of `{name}`")), "{why}");

    // Others are logged in with terminals and have nothing to do with it.
    let _other = stage.hold(&Login { terminal: true, ..Login::default() }, "sleep 60");
    let six = Login { address: SERVER[1], terminal: true, ..Login::default() };
    let first = stage.hold(&six, attach);
    let came = |count: usize| {
        let peers = || -> Vec<String> {
            let asker = ask(&stage);
            asker["remote"].as_array().into_iter().flatten().map(peer).collect()
        };
        assert!(until(LONG, || peers().len() == count), "{name}: {count} clients, but {:#}", ask(&stage));
        peers()
    };
    assert!(came(1)[0].starts_with("[2001:db8::1]:"), "{name}");
    let second = Login { from: Some("203.0.113.77"), terminal: true, ..Login::default() };
    let second = stage.hold(&second, attach);
    let both = came(2);
    for client in ["[2001:db8::1]:", "203.0.113.77:"] {
        assert!(both.iter().any(|one| one.starts_with(client)), "{name}: {both:?}");
    }
    drop(first);
    assert!(came(1)[0].starts_with("203.0.113.77:"), "{name}");
    drop(second);
    assert!(until(LONG, || ask(&stage)["unknown"].is_string()), "{name}: {:#}", ask(&stage));
}

/// The multiplexer is started in a session that ends.
fn started(start: &str) -> Stage {
    let stage = Stage::sshd(&["Port 22"]);
    let server = stage.bench.host("server");
    let pane = server.file("pane", PANE).display().to_string();
    let start = start.replace("PANE", &format!("{pane} {}", server.folder().display()));
    let outcome = stage.run(&Login::default(), &start);
    assert!(outcome.success, "{start}: {outcome:?}");
    stage
}

fn ask(stage: &Stage) -> Value {
    let folder = stage.bench.host("server").folder();
    let _ = fs::remove_file(folder.join("answer"));
    fs::write(folder.join("ask"), "").expect("a file");
    assert!(until(LONG, || folder.join("answer").exists()), "nobody answers in the multiplexer");
    let text = fs::read_to_string(folder.join("answer")).expect("an answer");
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    value["asker"].clone()
}
