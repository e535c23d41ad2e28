//! Paths as texts: joined, made plain, made short for messages; no file is looked at.

/// The path of what a file names: relative to the folder of that file.
pub(super) fn beside(file: &str, named: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) if !named.starts_with('/') => format!("{folder}/{named}"),
        _ => named.to_owned(),
    }
}

/// A path without `.`, without `..` where a name stands before it, and without double slashes.
pub(super) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if path.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if path.starts_with('/') { format!("/{joined}") } else { joined }
}

/// A path as messages say it: relative to the folder of the main file where it lies there.
pub(super) fn shown(main: &str, path: &str) -> String {
    let (main, path) = (normal(main), normal(path));
    match main.rsplit_once('/') {
        Some((folder, _)) => match path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) {
            Some(rest) => rest.to_owned(),
            None => path,
        },
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::{beside, normal, shown};

    #[test]
    fn paths() {
        assert_eq!(beside("/etc/doorward/policy.dw", "spam.txt"), "/etc/doorward/spam.txt");
        assert_eq!(beside("/etc/doorward/policy.dw", "/srv/spam.txt"), "/srv/spam.txt");
        assert_eq!(beside("policy.dw", "spam.txt"), "spam.txt");
        assert_eq!(normal("/etc//doorward/./policy.d/../spam.txt"), "/etc/doorward/spam.txt");
        assert_eq!(normal("../a/../../b"), "../../b");
        assert_eq!(normal("/../b"), "/b");
        assert_eq!(shown("/etc/doorward/policy.dw", "/etc/doorward/policy.d/web.dw"), "policy.d/web.dw");
        assert_eq!(shown("/etc/doorward/policy.dw", "/srv/web.dw"), "/srv/web.dw");
        assert_eq!(shown("policy.dw", "policy.d/web.dw"), "policy.d/web.dw");
    }
}
