//! Whole lines in the language of another tool; says which tool, and the sentence of ours if it is known.

use super::{firewalld, iptables, ufw};

/// A line of another tool.
pub(in super::super) struct Whole {
    pub(in super::super) id: &'static str,
    pub(in super::super) message: String,
    /// The sentence that was meant; it may be wrong itself still, as `allow 80` is.
    pub(in super::super) meant: Option<String>,
    pub(in super::super) ways_out: Vec<String>,
    /// Whether the line cannot be a slip in our own language.
    pub(in super::super) sure: bool,
}

impl Whole {
    fn new(id: &'static str, message: impl Into<String>) -> Whole {
        Whole { id, message: message.into(), meant: None, ways_out: Vec::new(), sure: true }
    }

    fn meant(mut self, meant: Option<String>) -> Whole {
        self.meant = meant;
        self
    }

    fn way_out(mut self, text: impl Into<String>) -> Whole {
        self.ways_out.push(text.into());
        self
    }
}

/// Our own commands, which are said to the shell.
const COMMANDS: [&str; 24] = [
    "apply", "check", "confirm", "disable", "enable", "explain", "export", "fmt", "init", "list", "log",
    "open", "panic", "plan", "rehearse", "reload", "reset", "restart", "rollback", "show", "start", "status",
    "stop", "watch",
];

/// Recognises a line by its words; `line` is the text that they stand in.
pub(in super::super) fn whole(words: &[&str], line: &str) -> Option<Whole> {
    let words = without_prompt(words);
    let first = words.first()?;
    let (tool, rest) = (first.rsplit('/').next()?, words.get(1..)?);
    match tool {
        "ufw" => Some(of_ufw(rest)),
        "iptables" | "ip6tables" | "iptables-nft" | "iptables-legacy" => Some(of_iptables(tool, rest)),
        "-A" | "-I" | "-P" | "--append" | "--insert" | "--policy" => Some(of_iptables("iptables", words)),
        "firewall-cmd" | "firewall-offline-cmd" => Some(of_firewalld(rest)),
        "nft" | "table" | "chain" | "meta" | "ip" | "ip6" | "inet" | "iifname" | "oifname" | "ct" | "tcp"
        | "udp" | "counter"
            if tool == "nft" || rest.len() >= 2 || line.contains('{') =>
        {
            Some(
                Whole::new("foreign-nft", format!("`{first}` begins a rule of nftables"))
                    .way_out("say what should happen, in one sentence: `allow ssh from office`")
                    .way_out("tables of your own stay as they are: doorward touches its own table only"),
            )
        }
        "*filter" | "*nat" | "*mangle" | "*raw" | "COMMIT" | ":INPUT" | ":FORWARD" | ":OUTPUT" => Some(
            Whole::new("foreign-save", format!("`{first}` belongs to a file of iptables-save"))
                .way_out("say what should happen, in sentences: `default block in`, then what is allowed"),
        ),
        "doorward" => Some(
            Whole::new("own-command", "a policy holds the sentences without `doorward` before them")
                .meant(rest.first().filter(|verb| **verb != "remove").map(|_| rest.join(" ")))
                .way_out("commands are said to the shell"),
        ),
        "remove" | "delete" if !rest.is_empty() => Some(
            Whole::new("own-command", format!("`{first}` is a command and not a sentence")).way_out(format!(
                "take the line out of the file, or say to the shell: `doorward remove {}`",
                rest.join(" ")
            )),
        ),
        _ if words.len() == 1 && COMMANDS.contains(first) => Some(
            Whole::new("own-command", format!("`{first}` is a command and not a sentence"))
                .way_out(format!("say it to the shell: `doorward {first}`")),
        ),
        _ => sentences(words, line).or_else(|| of_ufw_alone(words)),
    }
}

/// `$`, `#` and `sudo` before a command.
fn without_prompt<'a, 'b>(words: &'a [&'b str]) -> &'a [&'b str] {
    let skipped = words.iter().take_while(|word| matches!(**word, "$" | "%" | ">" | "sudo" | "doas")).count();
    words.get(skipped..).unwrap_or(words)
}

fn of_ufw(rest: &[&str]) -> Whole {
    let whole = Whole::new("foreign-ufw", "this is a command of ufw");
    match ufw::meant(rest) {
        Some(meant) => whole.meant(Some(meant)),
        None => match rest.iter().find(|word| !word.starts_with("--")) {
            Some(&"delete") => {
                whole.way_out("take the sentence out of the file, or say to the shell: `doorward remove …`")
            }
            Some(&("enable" | "reload")) => whole.way_out("say to the shell: `doorward apply`"),
            Some(&"status") => whole.way_out("say to the shell: `doorward status`"),
            Some(&"disable") => whole.way_out("say to the shell: `doorward disable`"),
            Some(&"logging") => whole.way_out("sentences log one by one: `allow ssh log`"),
            _ => whole.way_out("say what should happen, in one sentence: `allow ssh from office`"),
        },
    }
}

/// The long form of ufw without its name: `allow in on eth0 to any port 22 proto tcp`.
fn of_ufw_alone(words: &[&str]) -> Option<Whole> {
    let first = words.first()?;
    let telling = words.iter().any(|word| matches!(*word, "port" | "proto" | "any" | "app" | "comment"));
    if !(*first == "limit" || matches!(*first, "allow" | "deny" | "reject" | "block") && telling) {
        return None;
    }
    let verb = if *first == "block" { "deny" } else { first };
    let mut said = vec![verb];
    said.extend(words.get(1..)?);
    let meant = ufw::meant(&said)?;
    let whole = Whole::new("foreign-ufw", "this is how ufw says it").meant(Some(meant));
    Some(Whole { sure: false, ..whole })
}

fn of_iptables(tool: &str, rest: &[&str]) -> Whole {
    let whole = Whole::new("foreign-iptables", format!("this is a command of {tool}"));
    if rest.iter().any(|word| matches!(*word, "-L" | "-S" | "--list" | "-nvL" | "-vnL" | "-nL")) {
        return whole.way_out("say to the shell: `doorward show`");
    }
    match iptables::meant(rest) {
        iptables::Meant::Sentence(meant) => whole.meant(Some(meant)),
        iptables::Meant::BuiltIn(what) => whole.way_out(format!("leave it out: {what}")),
        iptables::Meant::Unknown => {
            whole.way_out("say what should happen, in one sentence: `allow ssh from office`")
        }
    }
}

fn of_firewalld(rest: &[&str]) -> Whole {
    let whole = Whole::new("foreign-firewalld", "this is a command of firewalld");
    match firewalld::meant(rest) {
        Some(meant) => whole.meant(Some(meant)),
        None if rest.contains(&"--reload") => whole.way_out("say to the shell: `doorward apply`"),
        None => whole.way_out("say what should happen, in one sentence: `allow ssh from office`"),
    }
}

/// Several sentences in one line, or a block.
fn sentences(words: &[&str], line: &str) -> Option<Whole> {
    if words.iter().any(|word| word.contains(['{', '}'])) {
        return Some(
            Whole::new("no-blocks", "there are no blocks in this language")
                .way_out("one sentence a line; each says its own `from`, `to` and `on`"),
        );
    }
    if !words.iter().any(|word| word.ends_with(';') || word.starts_with(';') || *word == "&&") {
        return None;
    }
    let parts: Vec<&str> = line
        .split([';', '&'])
        .map(str::trim)
        .filter(|part| !part.is_empty() && part.len() <= 200)
        .take(4)
        .collect();
    let whole =
        Whole::new("two-sentences", "one sentence stands in a line, and nothing ends it but the line's end");
    Some(match parts[..] {
        [only] => whole.meant(Some(only.to_owned())),
        _ => whole.way_out(format!(
            "give each a line of its own: {}",
            parts.iter().map(|part| format!("`{part}`")).collect::<Vec<_>>().join(", ")
        )),
    })
}
