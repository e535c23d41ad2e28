//! Which ports FTP servers open for data, as their own files say; reads no others, follows nothing in them.

use crate::init::Host;
use doorward::audit::Passive;
use doorward::net::PortRange;
use std::fs::File;
use std::io::Read;

/// A longer file is not read: the longest that packages install has 6 KiB.
const MOST: usize = 64 * 1024;

/// A server: its program, and its files by distribution.
struct Server {
    program: &'static str,
    files: &'static [Settings],
    /// Whether it is told to refuse passive connections.
    off: fn(&str) -> bool,
}

/// A file: where it is, what is set there, and how that is read.
struct Settings {
    path: &'static str,
    set: &'static str,
    read: fn(&str) -> Option<PortRange>,
}

const VSFTPD: &str = "pasv_min_port=MIN and pasv_max_port=MAX";

const SERVERS: [Server; 3] = [
    Server {
        program: "vsftpd",
        files: &[
            Settings { path: "/etc/vsftpd.conf", set: VSFTPD, read: vsftpd },
            Settings { path: "/etc/vsftpd/vsftpd.conf", set: VSFTPD, read: vsftpd },
        ],
        off: vsftpd_off,
    },
    Server {
        program: "proftpd",
        files: &[
            Settings { path: "/etc/proftpd/proftpd.conf", set: "PassivePorts MIN MAX", read: proftpd },
            Settings { path: "/etc/proftpd.conf", set: "PassivePorts MIN MAX", read: proftpd },
        ],
        off: |_| false,
    },
    Server {
        program: "pure-ftpd",
        files: &[
            Settings { path: "/etc/pure-ftpd/conf/PassivePortRange", set: "MIN MAX", read: numbers },
            Settings { path: "/etc/pure-ftpd.conf", set: "PassivePortRange MIN MAX", read: pure_ftpd },
        ],
        off: |_| false,
    },
];

/// What is said about each server, whether it runs or not.
pub(crate) fn passive(host: &Host) -> Vec<Passive> {
    SERVERS.iter().map(|server| server.asked(host)).collect()
}

impl Server {
    /// The first file that is there speaks.
    fn asked(&self, host: &Host) -> Passive {
        let found = self.files.iter().find_map(|file| Some((file, text(host, file.path)?)));
        let (file, text) = found.unwrap_or((&self.files[0], String::new()));
        Passive {
            program: self.program.to_owned(),
            range: (file.read)(&text),
            off: (self.off)(&text),
            file: file.path.to_owned(),
            set: file.set.to_owned(),
        }
    }
}

fn text(host: &Host, path: &str) -> Option<String> {
    let path = host.path(path);
    // A pipe would keep us waiting.
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    whole(File::open(path).ok()?)
}

/// A file that is too long says nothing: what comes last holds, and that would not be seen.
fn whole(file: impl Read) -> Option<String> {
    let mut bytes = Vec::new();
    file.take(MOST as u64 + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() > MOST {
        return Some(String::new());
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// `pasv_min_port=50000`; without the other line, it goes on to the last port.
fn vsftpd(text: &str) -> Option<PortRange> {
    // As `atoi` does it: what stands behind the digits does not count.
    let port = |value: &str| number(value.split(|c: char| !c.is_ascii_digit()).next()?);
    let first = port(vsftpd_says(text, "pasv_min_port")?)?;
    let last = vsftpd_says(text, "pasv_max_port").map_or(Some(u16::MAX), port)?;
    range(first, last)
}

fn vsftpd_off(text: &str) -> bool {
    let is = |value: &str| ["NO", "FALSE", "0"].iter().any(|no| no.eq_ignore_ascii_case(value));
    vsftpd_says(text, "pasv_enable").is_some_and(is)
}

/// `key=value`: blanks may be before the key, none behind it; what is said last holds.
fn vsftpd_says<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.trim_start().strip_prefix(key)?.strip_prefix('=');
    text.lines().rev().find_map(value).map(str::trim)
}

/// `PassivePorts 49152 65534`, in any letters; of several, in parts for virtual servers, all must be the same.
fn proftpd(text: &str) -> Option<PortRange> {
    let mut found = text.lines().filter_map(|line| words(line, "PassivePorts")).map(|words| pair(&words));
    let first = found.next()??;
    found.all(|other| other == Some(first)).then_some(first)
}

/// `PassivePortRange 30000 50000`; what is said last holds.
fn pure_ftpd(text: &str) -> Option<PortRange> {
    pair(&text.lines().rev().find_map(|line| words(line, "PassivePortRange"))?)
}

/// Debian keeps each word of pure-ftpd in a file of its own, which has the numbers only.
fn numbers(text: &str) -> Option<PortRange> {
    pair(&text.lines().flat_map(all).collect::<Vec<_>>())
}

/// The words of a line, up to a comment.
fn all(line: &str) -> Vec<&str> {
    line.split_whitespace().take_while(|word| !word.starts_with('#')).collect()
}

/// What stands behind a word that a line begins with.
fn words<'a>(line: &'a str, key: &str) -> Option<Vec<&'a str>> {
    let words = all(line);
    let (first, rest) = words.split_first()?;
    first.eq_ignore_ascii_case(key).then(|| rest.to_vec())
}

fn pair(words: &[&str]) -> Option<PortRange> {
    let [first, last] = words else { return None };
    range(number(first)?, number(last)?)
}

/// A port. vsftpd reads 050000 as octal, others do not, and its 0 stands for any port: neither is taken for one.
fn number(word: &str) -> Option<u16> {
    if word.starts_with('0') { None } else { word.parse().ok() }
}

/// No range begins below 1024: vsftpd does not heed such a bound, and well-known services are there.
fn range(first: u16, last: u16) -> Option<PortRange> {
    if first < 1024 { None } else { PortRange::new(first, last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vsftpd_says_it_in_two_lines() {
        let both = "listen=YES\npasv_min_port=50000\npasv_max_port=50100\n";
        let again = format!("{both}pasv_max_port=50200\n");
        for (text, range) in [
            (both, Some("50000-50100")),
            (again.as_str(), Some("50000-50200")),
            (" \tpasv_min_port=50000\n  pasv_max_port= 50100\r\n", Some("50000-50100")),
            ("pasv_min_port=50000 # c\npasv_max_port=50100# c\n", Some("50000-50100")),
            ("pasv_min_port=50000\n", Some("50000-65535")),
            ("pasv_min_port=1024\npasv_max_port=65535\n", Some("1024-65535")),
            ("", None),
            ("pasv_max_port=50100\n", None),
            ("#pasv_min_port=50000\n#pasv_max_port=50100\n", None),
            ("pasv_min_port=0\npasv_max_port=0\n", None),
            ("pasv_min_port=50000\npasv_max_port=\n", None),
            ("pasv_min_port=50100\npasv_max_port=50000\n", None),
            ("pasv_min_port=50000\npasv_max_port=500000\n", None),
            // 20480 to 20544, in octal.
            ("pasv_min_port=050000\npasv_max_port=050100\n", None),
            ("pasv_min_port=10000\npasv_max_port=050100\n", None),
            // It takes any port from 1024 up.
            ("pasv_min_port=1000\npasv_max_port=1010\n", None),
            ("pasv_min_port=1023\npasv_max_port=2000\n", None),
            // vsftpd itself refuses this line.
            ("pasv_min_port = 50000\npasv_max_port = 50100\n", None),
        ] {
            assert_eq!(vsftpd(text).map(|range| range.to_string()).as_deref(), range, "{text}");
        }
    }

    #[test]
    fn vsftpd_can_refuse_it() {
        for (text, off) in [
            ("pasv_enable=NO\n", true),
            ("pasv_min_port=50000\n pasv_enable=no\n", true),
            ("pasv_enable=NO\npasv_enable=YES\n", false),
            ("#pasv_enable=NO\n", false),
            ("", false),
        ] {
            assert_eq!(vsftpd_off(text), off, "{text}");
        }
    }

    #[test]
    fn others_say_it_in_one() {
        type Reads = fn(&str) -> Option<PortRange>;
        let range = PortRange::new(49152, 49200);
        for (read, text, said) in [
            (proftpd as Reads, "# PassivePorts 1 2\n  passiveports 49152 49200\n", range),
            (proftpd, "PassivePorts 49152 49200 # c\n", range),
            (proftpd, "PassivePorts 49152 49200\nPassivePorts 50000 50001\n", None),
            (proftpd, "PassivePorts 1000 1010\n", None),
            (proftpd, "PassivePorts\n", None),
            (pure_ftpd, "# PassivePortRange 1 2\nPassivePortRange 49152 49200\n", range),
            (pure_ftpd, "PassivePortRange 49152 49200\nPassivePortRange 1 2\n", None),
            (pure_ftpd, "49152 49200\n", None),
            (pure_ftpd, "MaxClientsNumber 50\n", None),
            (numbers, "49152 49200\n", range),
            (numbers, "# c\n49152 49200\n", range),
            (numbers, "49152 49200\n50000 50001\n", None),
            (numbers, "PassivePortRange 49152 49200\n", None),
        ] {
            assert_eq!(read(text), said, "{text}");
        }
    }

    #[test]
    fn too_long_a_file_says_nothing() {
        let says = "pasv_min_port=50000\npasv_max_port=50100\n";
        let long = |most: usize| format!("{says}{}", "#".repeat(most - says.len()));
        assert_eq!(whole(long(MOST).as_bytes()), Some(long(MOST)));
        assert_eq!(whole(long(MOST + 1).as_bytes()).as_deref(), Some(""));
    }
}
