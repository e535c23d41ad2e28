//! Finds the word that was probably meant, by the number of slips between two; knows no vocabulary itself.

/// Words above this length are never slips of the keyboard, and comparing them would cost.
const LONGEST: usize = 40;

/// The candidate that differs from `word` by the fewest slips, if they are few for its length.
///
/// A slip is a letter too many, too few, another one, or two that changed places; capitals are none.
/// Of equally near candidates the first is taken, so that the answer never changes.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    if word.len() > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
        let allowed = match word.len().min(letters.len()) {
            0 | 1 => 0,
            2..=5 => 1,
            6..=9 => 2,
            _ => 3,
        };
        if letters.len() > LONGEST || word.len().abs_diff(letters.len()) > allowed {
            continue;
        }
        let slips = slips(&word, &letters);
        if slips <= allowed && best.is_none_or(|(least, _)| slips < least) {
            best = Some((slips, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Edit distance with neighbours that changed places counted once (optimal string alignment).
fn slips(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut fewest = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                fewest = fewest.min(before[j - 1] + 1);
            }
            row.push(fewest);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::suggest;

    #[test]
    fn one_slip_is_enough_for_short_words() {
        let words = ["ssh", "http", "https", "from", "reject", "submission"];
        for (word, meant) in [
            ("shh", Some("ssh")),
            ("sssh", Some("ssh")),
            ("SSH", Some("ssh")),
            ("form", Some("from")),
            ("htpt", Some("http")),
            ("rejcte", Some("reject")),
            ("submisson", Some("submission")),
            ("ftp", None),
            ("x", None),
            ("", None),
            ("abc", None),
        ] {
            assert_eq!(suggest(word, words), meant, "{word}");
        }
    }

    #[test]
    fn long_words_cost_nothing() {
        let long = "x".repeat(1 << 20);
        assert_eq!(suggest(&long, ["x", long.as_str()]), None);
    }
}
