//! Properties of the language's reader and writers over texts that nobody chose: it never panics,
//! loses no byte, and what it writes it reads again.
#![allow(clippy::unwrap_used, clippy::panic)]

use doorward::report::{FileId, Report, Sources};
use doorward::syntax::ast::{Sentence, SentenceKind, Way};
use doorward::syntax::{edit, format, has_shape, parse, parse_sentence, write};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const FILE: FileId = FileId(0);

fn name() -> BoxedStrategy<String> {
    prop_oneof![
        Just("office".to_owned()),
        Just("ssh".to_owned()),
        Just("http".to_owned()),
        "[a-z][a-z0-9_.-]{2,8}[0-9]",
    ]
    .boxed()
}

fn address() -> BoxedStrategy<String> {
    let four = any::<u32>().prop_map(|n| std::net::Ipv4Addr::from_bits(n).to_string());
    // Within 2000::/3 no address is an IPv4 address in disguise.
    let six = any::<u128>().prop_map(|n| std::net::Ipv6Addr::from_bits(n >> 3 | 1 << 125).to_string());
    prop_oneof![
        four,
        six,
        (any::<u32>(), 8u32..=32).prop_map(|(n, len)| {
            let network = n.checked_shr(32 - len).unwrap_or(0).checked_shl(32 - len).unwrap_or(0);
            format!("{}/{len}", std::net::Ipv4Addr::from_bits(network))
        }),
        (any::<u16>(), 0u8..200).prop_map(|(net, first)| {
            let [a, b] = net.to_be_bytes();
            format!("10.{a}.{b}.{first}-10.{a}.{b}.255")
        }),
        name(),
    ]
    .boxed()
}

fn list(item: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(item, 1..=most).prop_map(|items| items.join(", "))
}

fn ports() -> BoxedStrategy<String> {
    let protocol = prop_oneof![Just("tcp"), Just("udp"), Just("tcp+udp"), Just("sctp")];
    (1u16..=60000, 0u16..100, protocol)
        .prop_map(|(first, more, protocol)| match more {
            0 => format!("{first}/{protocol}"),
            more => format!("{first}-{}/{protocol}", first + more),
        })
        .boxed()
}

fn thing() -> BoxedStrategy<String> {
    prop_oneof![
        4 => name(),
        3 => ports(),
        1 => Just("ping".to_owned()),
        1 => Just("icmp time-exceeded".to_owned()),
        1 => Just("protocol gre".to_owned()),
        1 => Just("anything".to_owned()),
    ]
    .boxed()
}

fn option(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 1 => text]
}

fn peer(word: &'static str) -> impl Strategy<Value = String> {
    let who = prop_oneof![
        Just("anyone".to_owned()),
        list(address(), 3),
        list(address(), 3).prop_map(|values| format!("outside {values}")),
    ];
    (who, option(list(address(), 2).prop_map(|values| format!(" except {values}"))))
        .prop_map(move |(who, except)| format!("{word} {who}{except}"))
}

/// A clause that every rule can have, in any order.
fn clauses(allow: bool) -> BoxedStrategy<Vec<String>> {
    let limit = (
        1u32..1000,
        prop_oneof![Just("second"), Just("minute"), Just("hour"), Just("day")],
        0u32..20,
        any::<bool>(),
    )
        .prop_map(move |(rate, unit, burst, per)| {
            if !allow {
                return String::new();
            }
            let burst = if burst == 0 { String::new() } else { format!(" burst {burst}") };
            format!("limit {rate}/{unit}{burst}{}", if per { " per source" } else { "" })
        });
    (
        option(peer("from")),
        option(peer("to")),
        option(
            list(prop_oneof![Just("eth0".to_owned()), Just("br-*".to_owned()), name()], 2)
                .prop_map(|on| format!("on {on}")),
        ),
        option(limit),
        option(Just("log".to_owned())),
        option((1u16..60000).prop_map(|first| format!("passive {first}-{}", first + 100))),
    )
        .prop_map(|(a, b, c, d, e, f)| {
            [a, b, c, d, e, f].into_iter().filter(|clause| !clause.is_empty()).collect::<Vec<_>>()
        })
        .prop_shuffle()
        .boxed()
}

fn rule() -> BoxedStrategy<String> {
    let way = prop_oneof![2 => Just(""), 1 => Just("in "), 1 => Just("out "), 1 => Just("published "), 1 => Just("forward ")];
    let verdict = prop_oneof![Just("allow"), Just("block"), Just("reject")];
    (verdict, way, list(thing(), 4))
        .prop_flat_map(|(verdict, way, things)| {
            clauses(verdict == "allow").prop_map(move |clauses| {
                format!("{verdict} {way}{things} {}", clauses.join(" ")).trim_end().to_owned()
            })
        })
        .boxed()
}

fn sentence() -> BoxedStrategy<String> {
    prop_oneof![
        6 => rule(),
        1 => (prop_oneof![Just("block "), Just("reject "), Just("block in "), Just("block out ")], peer("from"))
            .prop_map(|(verb, peer)| format!("{verb}{peer}")),
        1 => (list(thing(), 2), option(Just("by user 105, postfix ".to_owned())), option(Just("except by group mail".to_owned())))
            .prop_map(|(things, user, group)| format!("block out {things} {user}{group}").trim_end().to_owned()),
        1 => list(address(), 4).prop_map(|values| format!("trust {values}")),
        1 => (name(), list(prop_oneof![address(), ports()], 4)).prop_map(|(name, items)| format!("define {name} = {items}")),
        1 => name().prop_map(|name| format!("define {name} = file \"lists/{name}.txt\"")),
        1 => Just("default block in, allow out".to_owned()),
        1 => (list(thing(), 2), option(peer("from")), any::<bool>()).prop_map(|(things, peer, allowed)| {
            format!("expect {things} {peer} is {}", if allowed { "allowed" } else { "blocked" })
        }),
        1 => Just("include \"policy.d\"".to_owned()),
    ].boxed()
}

/// A line of a policy: as people write it, with blanks, comments and commas at line ends.
fn line() -> BoxedStrategy<String> {
    let comment = prop_oneof![3 => Just(String::new()), 1 => "[ ]{0,3}#[ a-z,=\"äöü#]{0,12}"];
    let broken = prop_oneof![
        Just(", "),
        Just(","),
        Just(" ,\t"),
        Just(",\n    "),
        Just(",  # more\n"),
        Just(",\n  # between\n ")
    ];
    prop_oneof![
        5 => (sentence(), broken, "[ \t]{0,2}", comment.clone()).prop_map(|(sentence, comma, indent, comment)| {
            format!("{indent}{}{comment}", sentence.replace(", ", comma))
        }),
        1 => "[ \t]{0,2}",
        1 => "[ ]{0,2}#[ -~]{0,20}",
    ].boxed()
}

fn policy() -> BoxedStrategy<String> {
    let newline = prop_oneof![4 => Just("\n"), 1 => Just("\r\n")];
    (prop::collection::vec(line(), 0..12), newline, any::<bool>())
        .prop_map(|(lines, newline, last)| {
            let text = lines.join("\n").replace('\n', newline);
            if last && !text.is_empty() { text + newline } else { text }
        })
        .boxed()
}

fn canonical(text: &str) -> Vec<String> {
    let (tree, reports) = parse(FILE, text);
    let mut sources = Sources::default();
    sources.add("p", text);
    let said: String = reports.iter().map(|report| report.render(&sources)).collect();
    assert!(reports.is_empty(), "in {text:?}:\n{said}");
    tree.sentences().iter().map(write::sentence).collect()
}

fn comments(text: &str) -> Vec<String> {
    let (tree, _) = parse(FILE, text);
    tree.pieces().filter(|piece| piece.starts_with('#')).map(|piece| piece.trim_end().to_owned()).collect()
}

fn blank_lines(text: &str) -> usize {
    text.lines().filter(|line| line.trim().is_empty()).count()
}

/// A sentence without its places, and without a way that goes without saying.
fn bare(sentence: &Sentence) -> String {
    let mut sentence = sentence.clone();
    match &mut sentence.kind {
        SentenceKind::Rule(rule) if !rule.things.is_empty() => {
            rule.way = rule.way.take().filter(|way| way.node != Way::In);
        }
        SentenceKind::Expect(expect) => expect.way = expect.way.take().filter(|way| way.node != Way::In),
        _ => {}
    }
    let text = format!("{sentence:?}");
    let mut parts = text.split("Span {");
    let first = parts.next().unwrap_or("").to_owned();
    parts.fold(first, |all, part| all + part.split_once('}').map_or("", |(_, rest)| rest))
}

/// What holds for every text, and the sentences that reports tell people to write.
fn holds(text: &str) -> Vec<String> {
    let mut sources = Sources::default();
    let file = sources.add("policy.dw", text);
    let (tree, reports) = parse(file, text);
    assert_eq!(tree.text(), text);
    assert_eq!(tree.pieces().collect::<String>(), text, "the pieces are the text");
    for sentence in tree.sentences() {
        assert!(!sources.slice(sentence.span).is_empty());
    }
    for report in &reports {
        let Report { span, label, ways_out, .. } = report;
        assert!(
            text.get(span.start as usize..span.end as usize).is_some(),
            "{report:?} is outside of the text"
        );
        assert!(!label.is_empty() || !ways_out.is_empty(), "{report:?} says no way out");
        assert!(!report.render(&sources).is_empty());
    }
    reports
        .iter()
        .flat_map(|report| &report.ways_out)
        .filter_map(|way| way.strip_prefix("write `").and_then(|rest| rest.strip_suffix('`')))
        .map(str::to_owned)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in "(?s).{0,200}") {
        holds(&text);
    }

    #[test]
    fn any_words_are_read(words in prop::collection::vec(prop_oneof![
        Just("allow"), Just("block"), Just("default"), Just("define"), Just("expect"), Just("trust"), Just("include"),
        Just("in"), Just("out"), Just("from"), Just("to"), Just("except"), Just("outside"), Just("anyone"), Just("on"),
        Just("by"), Just("user"), Just("limit"), Just("6/minute"), Just("per"), Just("source"), Just("is"),
        Just("allowed"), Just("passive"), Just("helper"), Just("ssh"), Just("22/tcp"), Just("80"), Just("tcp"),
        Just("port"), Just("icmp"), Just("protocol"), Just("8"), Just("203.0.113.0/24"), Just("10.0.0.1-10.0.0.9"),
        Just("any"), Just("="), Just(","), Just("\n"), Just("#"), Just("\"x\""), Just("'x'"), Just("\""), Just("ufw"),
        Just("iptables"), Just("-A"), Just("INPUT"), Just("-j"), Just("ACCEPT"), Just("-p"), Just("--dport"),
        Just("limt"), Just("form"), Just("deny"), Just("proto"), Just(";"), Just("file"), Just("then"), Just("ban"),
        Just("10m"), Just("until"), Just("masquerade"), Just("redirect"), Just("publish"), Just("unit"),
    ], 0..14)) {
        for told in holds(&words.join(" ")) {
            prop_assert!(parse_sentence(FILE, &told).is_ok(), "`{told}` is told, and is no sentence");
        }
    }

    /// A policy with a few characters changed: still read whole, and no suggestion is a mistake itself.
    #[test]
    fn slips_are_read(
        text in policy(),
        slips in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            "[a-z0-9 ,=/#\"'.:*;-]".boxed(), Just(String::new()).boxed(), any::<char>().prop_map(String::from).boxed(),
        ]), 1..5),
    ) {
        let mut chars: Vec<String> = text.chars().map(String::from).collect();
        prop_assume!(!chars.is_empty());
        for (at, slip) in slips {
            let at = at.index(chars.len());
            chars[at] = slip;
        }
        for told in holds(&chars.concat()) {
            prop_assert!(parse_sentence(FILE, &told).is_ok(), "`{told}` is told, and is no sentence");
        }
    }

    #[test]
    fn what_is_written_is_read_again(text in sentence()) {
        let said = parse_sentence(FILE, &text);
        prop_assert!(said.is_ok(), "{text}: {said:?}");
        let said = said.unwrap();
        let written = write::sentence(&said);
        let again = parse_sentence(FILE, &written);
        prop_assert!(again.is_ok(), "{written}: {again:?}");
        let again = again.unwrap();
        prop_assert_eq!(bare(&said), bare(&again));
        prop_assert_eq!(write::sentence(&again), written.as_str());
        // The grammar that the man page prints tells the same shape.
        let (tree, _) = parse(FILE, &written);
        let tokens: Vec<&str> = tree.pieces().filter(|piece| !piece.trim().is_empty()).collect();
        prop_assert!(has_shape(&tokens), "{written}");
    }

    #[test]
    fn laying_out_changes_looks_only(text in policy()) {
        let sentences = canonical(&text);
        let once = format(FILE, &text).unwrap();
        prop_assert_eq!(&canonical(&once), &sentences);
        prop_assert_eq!(comments(&once), comments(&text));
        prop_assert_eq!(format(FILE, &once).unwrap(), once.as_str());
        prop_assert!(once.is_empty() || once.ends_with('\n') && !once.ends_with("\n\n"));
        prop_assert!(!once.contains("\n\n\n") && !once.contains(" \n") && !once.contains('\r') && !once.contains('\t'));
    }

    #[test]
    fn a_sentence_goes_in_and_nothing_else_changes(text in policy(), new in sentence()) {
        let (tree, _) = parse(FILE, &text);
        let sentence = parse_sentence(FILE, &new).unwrap();
        let written = write::sentence(&sentence);
        let before = canonical(&text);
        match edit::insert(&tree, &sentence) {
            Err(there) => {
                prop_assert!(before.contains(&written));
                prop_assert!(there.line >= 1 && there.line <= text.lines().count());
            }
            Ok(edit::Edited { text: after, replaced: Some(old), .. }) => {
                prop_assert_eq!(comments(&after), comments(&text));
                let was = |said: &String| if *said == written { old.clone() } else { said.clone() };
                prop_assert_eq!(canonical(&after).iter().map(was).collect::<Vec<_>>(), before);
            }
            Ok(edited) => {
                prop_assert!(!before.contains(&written));
                let line = edited.text.lines().nth(edited.line - 1).unwrap();
                prop_assert_eq!(line, written.as_str());
                let start = text.bytes().zip(edited.text.bytes()).take_while(|(a, b)| a == b).count();
                let end = edited.text.len() - text.len();
                prop_assert!(start + end <= edited.text.len());
                let kept = text.bytes().rev().zip(edited.text.bytes().rev()).take_while(|(a, b)| a == b).count();
                prop_assert!(start + kept >= text.len(), "only a stretch was put in: {:?}", edited.text);
                prop_assert_eq!(comments(&edited.text), comments(&text));
                prop_assert_eq!(blank_lines(&edited.text), blank_lines(&text));
                let mut after = canonical(&edited.text);
                let at = after.iter().position(|sentence| *sentence == written).unwrap();
                after.remove(at);
                prop_assert_eq!(after, before);
            }
        }
    }

    #[test]
    fn a_sentence_goes_out_and_comments_stay(text in policy(), at in any::<prop::sample::Index>()) {
        let (tree, _) = parse(FILE, &text);
        prop_assume!(!tree.sentences().is_empty());
        let sentence = &tree.sentences()[at.index(tree.sentences().len())];
        let written = write::sentence(sentence);
        let edited = edit::remove(&tree, sentence).unwrap();
        let after = canonical(&edited.text);
        prop_assert!(!after.contains(&written));
        prop_assert_eq!(comments(&edited.text), comments(&text));
        prop_assert_eq!(blank_lines(&edited.text), blank_lines(&text));
        prop_assert!(edit::remove(&parse(FILE, &edited.text).0, sentence).is_err());
    }

    /// Taking one thing out of a list leaves the others, every comment and every other line.
    #[test]
    fn a_thing_goes_out_of_its_list(
        before in policy(),
        after in policy(),
        things in prop::collection::hash_set("[a-z]{3}[0-9]", 2..6),
        at in any::<prop::sample::Index>(),
        commas in prop::collection::vec(prop_oneof![Just(", "), Just(","), Just(",\n  "), Just(", # why\n"), Just(",\n# x\n")], 6),
        trust in any::<bool>(),
    ) {
        let things: Vec<String> = things.into_iter().collect();
        let (verb, tail) = if trust { ("trust", "") } else { ("allow published", " from hq9 log  # the end") };
        let mut long = format!("{verb} {}", things[0]);
        for (thing, comma) in things[1..].iter().zip(&commas) {
            long.push_str(comma);
            long.push_str(thing);
        }
        let text = format!("{before}\n{long}{tail}\n{after}");
        let gone = &things[at.index(things.len())];
        let wanted = parse_sentence(FILE, &format!("{verb} {gone}{tail}")).unwrap();
        let (tree, _) = parse(FILE, &text);
        let edited = edit::remove(&tree, &wanted).unwrap();
        let left: Vec<&str> = things.iter().filter(|thing| *thing != gone).map(String::as_str).collect();
        let expected = write::sentence(&parse_sentence(FILE, &format!("{verb} {}{tail}", left.join(", "))).unwrap());
        let old = write::sentence(&parse_sentence(FILE, &format!("{verb} {}{tail}", things.join(", "))).unwrap());
        let sentences: Vec<String> = canonical(&text).into_iter().map(|sentence| if sentence == old { expected.clone() } else { sentence }).collect();
        prop_assert_eq!(canonical(&edited.text), sentences);
        prop_assert_eq!(comments(&edited.text), comments(&text));
        prop_assert_eq!(blank_lines(&edited.text), blank_lines(&text));
    }
}

/// Row 59: equal after `fmt`; a thing out of a list; the nearest line where nothing is.
#[test]
fn row_59_remove() {
    let remove = |text: &str, sentence: &str| {
        let (tree, _) = parse(FILE, text);
        edit::remove(&tree, &parse_sentence(FILE, sentence).unwrap())
    };
    let done = |text: &str, sentence: &str| remove(text, sentence).unwrap().text;
    assert_eq!(done("# a\nallow in ssh   # why\n\nallow http\n", "allow ssh"), "# a\n# why\n\nallow http\n");
    assert_eq!(done("allow  ssh ,http from office\n", "allow http from office"), "allow  ssh from office\n");
    assert_eq!(done("allow ssh, http\r\nallow imap", "allow ssh"), "allow http\r\nallow imap");
    assert_eq!(done("allow ssh, # a\n http\n", "allow ssh"), "# a\nallow http\n");
    assert_eq!(done("allow ssh\nallow http, imap\n", "allow imap, ssh"), "allow http\n");
    assert_eq!(done("allow ssh\nallow http", "allow http"), "allow ssh\n");
    let far = remove("allow ssh from office\nblock from spam\n", "allow ssh").unwrap_err();
    assert_eq!(far.nearest, Some((1, "allow ssh from office".to_owned())));
    assert_eq!(remove("block from spam\n", "allow ssh").unwrap_err().nearest, None);
    assert_eq!(
        remove("allow ssh, http limit 6/minute\n", "allow ssh").unwrap_err().nearest.map(|(line, _)| line),
        Some(1)
    );
}

/// A new sentence stands with its kin: same verb and way, else same verb, else at the end.
#[test]
fn a_sentence_stands_with_its_kin() {
    let insert = |text: &str, sentence: &str| {
        let (tree, _) = parse(FILE, text);
        edit::insert(&tree, &parse_sentence(FILE, sentence).unwrap()).unwrap()
    };
    let text = "trust office\n\nallow ssh # a\nallow out dns,\n  # b\n  ntp   # c\n\nblock from spam";
    let done = insert(text, "allow http");
    assert_eq!(done.text, text.replace("# a\n", "# a\nallow http\n"));
    assert_eq!(done.line, 4);
    assert_eq!(insert(text, "allow out http").text, text.replace("# c\n", "# c\nallow out http\n"));
    assert_eq!(insert(text, "allow forward http").text, text.replace("# c\n", "# c\nallow forward http\n"));
    assert_eq!(insert(text, "block from bad").text, format!("{text}\nblock from bad\n"));
    assert_eq!(insert(text, "reject 113/tcp").text, format!("{text}\nreject 113/tcp\n"));
    assert_eq!(insert("", "allow ssh").text, "allow ssh\n");
    assert_eq!(insert("allow ssh\r\n", "allow http").text, "allow ssh\r\nallow http\r\n");
    // What says the same but for its ports for data is replaced, with its comment, unless one stands within.
    let done =
        insert("allow ssh\nallow in ftp log  # c\nallow http\n", "allow ftp passive 5000-5100 helper log");
    assert_eq!(done.text, "allow ssh\nallow ftp passive 5000-5100 helper log  # c\nallow http\n");
    assert_eq!((done.line, done.replaced.as_deref()), (2, Some("allow ftp log")));
    for text in ["allow ftp passive 1-2\n", "allow ftp, ssh\n", "allow ftp from office\n", "allow out ftp\n"]
    {
        let done = insert(text, "allow ftp passive 5000-5100");
        assert_eq!((done.text, done.replaced), (format!("{text}allow ftp passive 5000-5100\n"), None));
    }
    let (tree, _) = parse(FILE, "# x\nallow in ssh\n");
    let there = edit::insert(&tree, &parse_sentence(FILE, "allow ssh").unwrap());
    assert_eq!(there, Err(edit::AlreadyThere { line: 2 }));
}

/// A quarter of a mebibyte of what is hardest to read costs no more than its length: a square would take minutes.
#[test]
fn time_grows_with_the_length_only() {
    let pieces = [
        "allow ssh\n",
        "allow a,\n",
        "allow a,",
        "a, ",
        ",\n",
        "\"",
        "'x",
        "x\n",
        "80, ",
        "# c\n",
        ",#\n",
        "=",
        "ufw ",
        "allow 1.2.3.4/8,",
        "define a = 1.2.3.4,\n",
        "from a from b ",
        "\u{a0}",
        "\u{0}",
        "\r",
        ";",
        "\n\n",
        "allow \"",
    ];
    for piece in pieces {
        // Lines just below their limit, joined by commas.
        let line = piece.repeat((60 << 10) / piece.len());
        let text = format!("allow x, {line},\n{line},\n{line},\n{line}");
        let start = Instant::now();
        let (tree, reports) = parse(FILE, &text);
        assert_eq!(tree.text().len(), text.len());
        assert!(reports.len() <= 1002, "{piece:?}: {} reports", reports.len());
        assert!(start.elapsed() < Duration::from_mins(1), "{piece:?}: {:?}", start.elapsed());
    }
}

#[test]
fn too_much_is_refused_at_once() {
    let (tree, reports) = parse(FILE, &"allow ssh\n".repeat((16 << 20) / 10 + 1));
    assert_eq!(reports.iter().map(|report| report.id).collect::<Vec<_>>(), ["text-too-long"]);
    assert!(tree.sentences().is_empty());
    let long = format!("allow ssh from {}\nallow http\nalow imap\n", vec!["203.0.113.7"; 6000].join(", "));
    let (tree, reports) = parse(FILE, &long);
    assert_eq!(reports.iter().map(|report| report.id).collect::<Vec<_>>(), ["line-too-long", "unknown-verb"]);
    assert_eq!(tree.sentences().len(), 1);
    let mut sources = Sources::default();
    sources.add("policy.dw", long);
    assert!(reports[0].render(&sources).len() < 1000);
}
