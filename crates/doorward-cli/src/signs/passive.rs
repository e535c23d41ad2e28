//! Which ports FTP servers open for data, as their own files say; reads no others, follows nothing in them.

use crate::init::Host;
use doorward::audit::Passive;
use doorward::net::PortRange;
use std::fs::File;
use std::io::Read;

/// More of a file is not read: the longest that packages install has 6 KiB.
const MOST: u64 = 64 * 1024;

/// A server: its program, its files by distribution, what is set in them, and how that is read.
struct Server {
    program: &'static str,
    files: &'static [&'static str],
    set: &'static str,
    read: fn(&str) -> Option<PortRange>,
}

const SERVERS: [Server; 3] = [
    Server {
        program: "vsftpd",
        files: &["/etc/vsftpd.conf", "/etc/vsftpd/vsftpd.conf"],
        set: "pasv_min_port and pasv_max_port",
        read: vsftpd,
    },
    Server {
        program: "proftpd",
        files: &["/etc/proftpd/proftpd.conf", "/etc/proftpd.conf"],
        set: "PassivePorts",
        read: proftpd,
    },
    Server {
        program: "pure-ftpd",
        files: &["/etc/pure-ftpd/conf/PassivePortRange", "/etc/pure-ftpd.conf"],
        set: "PassivePortRange",
        read: pure_ftpd,
    },
];

/// What is said about each server, whether it runs or not.
pub(crate) fn passive(host: &Host) -> Vec<Passive> {
    SERVERS.iter().map(|server| server.asked(host)).collect()
}

impl Server {
    /// The first file that is there speaks.
    fn asked(&self, host: &Host) -> Passive {
        let found = self.files.iter().find_map(|path| Some((*path, text(host, path)?)));
        let (file, text) = found.unwrap_or((self.files[0], String::new()));
        Passive {
            program: self.program.to_owned(),
            range: (self.read)(&text),
            file: file.to_owned(),
            set: self.set.to_owned(),
        }
    }
}

fn text(host: &Host, path: &str) -> Option<String> {
    let path = host.path(path);
    // A pipe would keep us waiting.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// `pasv_min_port=50000`, without spaces; what is said last holds. 0 stands for any port, which is no range.
fn vsftpd(text: &str) -> Option<PortRange> {
    let said = |key: &str| {
        let mut values = text.lines().rev().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        values.next().map(str::trim)
    };
    let port = |key: &str| said(key)?.parse().ok().filter(|port| *port > 0);
    range(port("pasv_min_port")?, port("pasv_max_port")?)
}

/// `PassivePorts 49152 65534`, in any letters; of several, in parts for virtual servers, all must be the same.
fn proftpd(text: &str) -> Option<PortRange> {
    let mut found = text.lines().filter_map(|line| words(line, "PassivePorts")).map(|words| pair(&words));
    let first = found.next()??;
    found.all(|other| other == Some(first)).then_some(first)
}

/// `PassivePortRange 30000 50000`; Debian keeps each word in a file of its own, which has the numbers only.
fn pure_ftpd(text: &str) -> Option<PortRange> {
    text.lines().rev().find_map(|line| pair(&words(line, "PassivePortRange").unwrap_or_else(|| all(line))))
}

fn all(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// What stands behind a word that a line begins with.
fn words<'a>(line: &'a str, key: &str) -> Option<Vec<&'a str>> {
    let words = all(line);
    let (first, rest) = words.split_first()?;
    first.eq_ignore_ascii_case(key).then(|| rest.to_vec())
}

fn pair(words: &[&str]) -> Option<PortRange> {
    let [first, last] = words else { return None };
    range(first.parse().ok()?, last.parse().ok()?)
}

fn range(first: u16, last: u16) -> Option<PortRange> {
    if first == 0 { None } else { PortRange::new(first, last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vsftpd_says_it_in_two_lines() {
        let of = |text: &str| vsftpd(text).map(|range| range.to_string());
        let both = "listen=YES\npasv_min_port=50000\npasv_max_port=50100\n";
        assert_eq!(of(both).as_deref(), Some("50000-50100"));
        assert_eq!(of(&format!("{both}pasv_max_port=50200\n")).as_deref(), Some("50000-50200"));
        for text in [
            "",
            "pasv_min_port=50000\n",
            "#pasv_min_port=50000\n#pasv_max_port=50100\n",
            "pasv_min_port=0\npasv_max_port=0\n",
            "pasv_min_port=50100\npasv_max_port=50000\n",
            "pasv_min_port=50000\npasv_max_port=500000\n",
            // vsftpd itself refuses this line.
            "pasv_min_port = 50000\npasv_max_port = 50100\n",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn others_say_it_in_one() {
        let range = PortRange::new(49152, 49200);
        assert_eq!(proftpd("# PassivePorts 1 2\n  passiveports 49152 49200\n"), range);
        assert_eq!(proftpd("PassivePorts 49152 49200\nPassivePorts 50000 50001\n"), None);
        assert_eq!(proftpd("PassivePorts\n"), None);
        assert_eq!(pure_ftpd("49152 49200\n"), range);
        assert_eq!(pure_ftpd("# PassivePortRange 1 2\nPassivePortRange 49152 49200\n"), range);
        assert_eq!(pure_ftpd("MaxClientsNumber 50\n"), None);
    }
}
