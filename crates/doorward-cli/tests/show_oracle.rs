//! What we write of a ruleset is what `nft` lists, and loads again as the same; rulesets of many makers.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../doorward-kernel/tests/common/mod.rs"]
mod oracle;
#[path = "../../doorward/tests/support/resolved.rs"]
mod resolved;

use doorward::compile::{Options, compile};
use doorward::emit::{Style, listing, nft};
use doorward::resolve::{load, resolve};
use doorward::ruleset::{Ruleset, Transaction};
use doorward_kernel::{Scope, Socket};
use oracle::{fresh, nft as run, skip};
use std::path::Path;

const RULESETS: [(&str, &str); 7] = [
    ("containers", include_str!("show_oracle/containers.nft")),
    ("zones", include_str!("show_oracle/zones.nft")),
    ("bans", include_str!("show_oracle/bans.nft")),
    ("translated", include_str!("show_oracle/translated.nft")),
    ("router", include_str!("show_oracle/router.nft")),
    ("six", include_str!("show_oracle/six.nft")),
    ("own", include_str!("show_oracle/own.nft")),
];

/// Single rules, each a ruleset of its own: family and hook of its chain, then the rule.
const RULES: &str = include_str!("show_oracle/rules.txt");

/// Without what is left of timeouts, which runs on between two readings.
fn still(listing: &str) -> String {
    let words = listing.split(' ').scan(false, |left, word| {
        let shown = if *left { "…" } else { word };
        *left = word == "expires";
        Some(shown)
    });
    words.collect::<Vec<_>>().join(" ")
}

fn listed() -> String {
    still(&run(&["list", "ruleset"], "").unwrap())
}

fn read(socket: &Socket) -> Ruleset {
    socket.read(&Scope::All).unwrap().ruleset
}

/// The first lines that differ; whole rulesets would fill the screen.
fn difference(ours: &str, theirs: &str) -> Option<String> {
    let (mut ours, mut theirs) = (ours.lines(), theirs.lines());
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return None,
            (ours, theirs) if ours == theirs => {}
            (ours, theirs) => return Some(format!("ours: {ours:?}\nnft:  {theirs:?}")),
        }
    }
}

/// Loads with `nft`; our listing must be that of `nft`, and our export must load as the same ruleset.
fn check(name: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let (_own, socket) = fresh();
    if let Err(error) = run(&["-f", "-"], text) {
        return vec![format!("{name}: {error}")];
    }
    let theirs = listed();
    assert!(theirs.lines().count() > 2, "{name} lists as nothing");
    let ruleset = read(&socket);
    let as_listed = Style { usual_protocol_names: true, ..Style::default() };
    let ours = listing(&ruleset, &as_listed);
    wrong.extend(ours.notes.iter().map(|note| format!("{name}: {note}")));
    wrong.extend(difference(&still(&ours.text), &theirs).map(|lines| format!("{name}, listed\n{lines}")));
    let (_other, _socket) = fresh();
    match run(&["-f", "-"], &nft(&ruleset)) {
        Err(error) => wrong.push(format!("{name}, loaded again: {error}")),
        Ok(_) => {
            wrong
                .extend(difference(&listed(), &theirs).map(|lines| format!("{name}, loaded again\n{lines}")));
        }
    }
    wrong
}

#[test]
fn rulesets_of_many_makers() {
    if skip::without_root() {
        return;
    }
    let wrong: Vec<String> = RULESETS.iter().flat_map(|(name, text)| check(name, text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_one_by_one() {
    if skip::without_root() {
        return;
    }
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in RULES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (place, rule) = line.split_once(": ").unwrap();
        let (family, hook) = place.split_once(' ').unwrap();
        let kind = if ["dnat", "snat", "redirect", "masquerade"].iter().any(|word| rule.contains(word)) {
            "nat"
        } else {
            "filter"
        };
        let device = if family == "netdev" { " device \"lo\"" } else { "" };
        let text = format!(
            "table {family} t {{\n\tchain c {{\n\t\ttype {kind} hook {hook}{device} priority 7; policy accept;\n\
             \t\t{rule}\n\t}}\n}}\n"
        );
        wrong.extend(check(rule, &text));
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 80, "only {count} rules");
}

/// A host on which every interface and account of the examples is there.
const HOST: &str = "interface lo\ninterface eth0\ninterface eth1\ninterface wg0\nbridge docker0\nbridge br-0a1b2c\n\
                    user root 0\nuser daemon 1\nuser www-data 33\ngroup root 0\ngroup daemon 1\ngroup www-data 33\n";

#[test]
fn our_program_as_text_is_our_program() {
    if skip::without_root() {
        return;
    }
    let files = resolved::files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"));
    for name in ["three-lines", "vps", "full"] {
        let (policy, _) = resolve(&load(&files, &format!("{name}.dw")), &resolved::parse_host(HOST));
        let table = compile(&policy.unwrap(), &Options::default());
        let (_netlink, socket) = fresh();
        socket.commit(&Transaction::create(&table), None).unwrap();
        let sent = listed();
        let ruleset = Ruleset { tables: vec![table] };
        let ours = listing(&ruleset, &Style::default());
        assert_eq!(ours.notes, Vec::<String>::new(), "{name}");
        let (_text, _socket) = fresh();
        run(&["-f", "-"], &ours.text).unwrap();
        let loaded = listed();
        if let Some(lines) = difference(&loaded, &sent) {
            panic!("{name}: as text and over netlink\n{lines}");
        }
    }
}
