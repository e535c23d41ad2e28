//! The options of firewall-cmd that open something, as a sentence; knows nothing of zones.

/// The sentence that these options mean.
pub(super) fn meant(words: &[&str]) -> Option<String> {
    let (mut things, mut from) = (Vec::new(), Vec::new());
    let mut words = words.iter().copied().peekable();
    while let Some(word) = words.next() {
        // The lexer cuts `--add-service=http` at the `=`.
        let mut argument = || match words.next()? {
            "=" => words.next(),
            argument => Some(argument),
        };
        match word {
            "--add-service" | "--add-port" => things.push(argument()?.to_owned()),
            "--add-source" => from.push(argument()?.to_owned()),
            "--add-protocol" => things.push(format!("protocol {}", argument()?)),
            "--zone" | "--timeout" => drop(argument()?),
            "--permanent" | "--quiet" | "-q" => {}
            _ => return None,
        }
    }
    match (things.is_empty(), from.is_empty()) {
        (false, true) => Some(format!("allow {}", things.join(", "))),
        (false, false) => Some(format!("allow {} from {}", things.join(", "), from.join(", "))),
        (true, false) => Some(format!("allow anything from {}", from.join(", "))),
        (true, true) => None,
    }
}
