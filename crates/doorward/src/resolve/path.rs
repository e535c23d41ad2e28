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

/// A path as messages and `list` say it: relative to the folder of the main file; absolute where it
/// is so and lies elsewhere.
pub(super) fn shown(main: &str, path: &str) -> String {
    let (main, path) = (normal(main), normal(path));
    let Some((folder, _)) = main.rsplit_once('/') else { return path };
    if let Some(rest) = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) {
        return rest.to_owned();
    }
    if path.starts_with('/') {
        return path;
    }
    let (here, there): (Vec<&str>, Vec<&str>) = (folder.split('/').collect(), path.split('/').collect());
    let common = here.iter().zip(&there).take_while(|(a, b)| a == b).count();
    let up = here.iter().skip(common).map(|_| "..");
    up.chain(there.into_iter().skip(common)).collect::<Vec<_>>().join("/")
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
        assert_eq!(shown("policy.dw", "../web.dw"), "../web.dw");
        assert_eq!(shown("a/policy.dw", "a/../b/web.dw"), "../b/web.dw");
        assert_eq!(shown("../a/policy.dw", "../b/web.dw"), "../b/web.dw");
        assert_eq!(shown("a/policy.dw", "/b/web.dw"), "/b/web.dw");
    }
}
