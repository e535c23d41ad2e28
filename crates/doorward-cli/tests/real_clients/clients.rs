//! The real clients: which command asks at a door, and what its answer looks like.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::bench::{Host, need};
use crate::processes::Outcome;
use crate::servers::{DNS_ANSWER, DNS_NAME, FTP_TEXT, PASSWORD, VISITOR, WEB_ANSWER};

static UPLOADS: AtomicU32 = AtomicU32::new(0);

/// What a client met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// It did all that it came for.
    Open,
    /// It heard nothing until its time was up.
    Silence,
    /// Its packet reached a host that has nothing there: neither a server nor a firewall.
    Refusal,
    /// It ended in another way: its last words.
    Trouble(String),
}

/// One question: who asks whom, at which port, and for how long.
pub(crate) struct Asking<'a> {
    pub(crate) from: &'a Host,
    /// The folder with the visitor's key and with what is sent.
    pub(crate) files: &'a Path,
    pub(crate) address: &'a str,
    pub(crate) port: u16,
    pub(crate) seconds: u32,
}

/// Lets the named client ask at the door.
pub(crate) fn ask(client: &str, asking: &Asking) -> Met {
    let Asking { address, port, seconds, .. } = *asking;
    let six = address.contains(':');
    let literal = if six { format!("[{address}]") } else { address.to_owned() };
    let (words, answer): (String, &str) = match client {
        "ping" => {
            need("ping", "iputils-ping");
            (format!("ping -n -c 1 -W {seconds} {address}"), "1 received")
        }
        "hping3" => {
            need("hping3", "hping3");
            (format!("hping3 -q -c 1 --icmp-ts {address}"), "1 packets received")
        }
        "ssh" => {
            need("ssh", "openssh-client");
            let key = asking.files.join("visitor_key");
            let key = key.display();
            let options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR \
                           -o UserKnownHostsFile=/dev/null";
            let words = format!(
                "ssh -F none -i {key} {options} -o ConnectTimeout={seconds} -p {port} \
                 {VISITOR}@{address} id -un"
            );
            (words, VISITOR)
        }
        "dig" | "dig tcp" => {
            need("dig", "bind9-dnsutils");
            let way = if client == "dig" { "+notcp" } else { "+tcp" };
            let words =
                format!("dig {way} +short +tries=1 +time={seconds} -p {port} @{address} {DNS_NAME} A");
            (words, DNS_ANSWER)
        }
        "chronyd" => {
            need("chronyd", "chrony");
            // `-Q` asks, prints and never sets the clock.
            let words = format!(
                "chronyd -Q -t {seconds} -u root -f /dev/null server\u{a0}{address}\u{a0}port\
                 \u{a0}{port}\u{a0}iburst\u{a0}maxsamples\u{a0}1 pidfile\u{a0}/run/chronyd.pid"
            );
            (words, "System clock wrong by")
        }
        "swaks" => {
            need("swaks", "swaks");
            let family = if six { "-6" } else { "-4" };
            let words = format!(
                "swaks {family} --server {address} --port {port} --timeout {seconds} \
                 --helo client.example --from visitor@client.example --to {VISITOR}@mail.example"
            );
            (words, "Message accepted for delivery")
        }
        "lftp" | "lftp ftps" => {
            need("lftp", "lftp");
            let tls = if client == "lftp" {
                ""
            } else {
                "set\u{a0}ssl:verify-certificate\u{a0}no;set\u{a0}ftp:ssl-force\u{a0}yes;\
                 set\u{a0}ftp:ssl-allow-anonymous\u{a0}yes;set\u{a0}ftp:ssl-protect-data\u{a0}yes;"
            };
            let words = format!(
                "lftp -c set\u{a0}net:timeout\u{a0}{seconds};set\u{a0}net:max-retries\u{a0}1;{tls}\
                 open\u{a0}ftp://{literal}:{port};cat\u{a0}file"
            );
            (words, FTP_TEXT)
        }
        curl => curl_words(curl, &literal, asking),
    };
    // A no-break space stands for a space inside one word.
    let words: Vec<String> = words.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
    let rest: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let patience = Duration::from_secs(u64::from(seconds) + 1);
    let outcome = asking.from.run(&words[0], &rest, patience);
    judge(&outcome, answer)
}

fn curl_words(client: &str, literal: &str, asking: &Asking) -> (String, &'static str) {
    need("curl", "curl");
    let Asking { port, seconds, .. } = *asking;
    let start = format!("curl -sSk --noproxy * --connect-timeout {seconds} -m {seconds}");
    let user = format!("-u {VISITOR}:{PASSWORD}");
    let files = asking.files.display();
    match client {
        "curl http" => (format!("{start} http://{literal}:{port}/"), WEB_ANSWER),
        "curl https" => (format!("{start} https://{literal}:{port}/"), WEB_ANSWER),
        "curl pop3" => (format!("{start} -v {user} pop3://{literal}:{port}/"), "+OK Logged in"),
        "curl pop3s" => (format!("{start} -v {user} pop3s://{literal}:{port}/"), "+OK Logged in"),
        "curl imap" => (format!("{start} -X NOOP -v {user} imap://{literal}:{port}/"), "NOOP completed"),
        "curl imaps" => (format!("{start} -X NOOP -v {user} imaps://{literal}:{port}/"), "NOOP completed"),
        // Over IPv4 the older PASV with its address in the answer; IPv6 has only EPSV.
        "curl ftp get" => (format!("{start} --disable-epsv ftp://{literal}:{port}/file"), FTP_TEXT),
        "curl ftp epsv" => (format!("{start} ftp://{literal}:{port}/file"), FTP_TEXT),
        "curl ftp put" | "curl ftps put" => {
            // The server refuses to replace a file: each upload has a name of its own.
            let number = UPLOADS.fetch_add(1, Ordering::Relaxed);
            let tls = if client == "curl ftp put" { "" } else { " --ssl-reqd" };
            let words = format!("{start}{tls} -v -T {files}/up ftp://{literal}:{port}/up/{number}");
            (words, "226 Transfer complete")
        }
        // TLS on both connections: nobody on the way reads which port is announced.
        "curl ftps get" => {
            (format!("{start} --ssl-reqd --disable-epsv ftp://{literal}:{port}/file"), FTP_TEXT)
        }
        "curl implicit ftps" => (format!("{start} ftps://{literal}:{port}/file"), FTP_TEXT),
        "curl ftps epsv" => (format!("{start} --ssl-reqd ftp://{literal}:{port}/file"), FTP_TEXT),
        "curl ftp port" => (format!("{start} -P - ftp://{literal}:{port}/file"), FTP_TEXT),
        other => panic!("`{other}` is no client of this test"),
    }
}

fn judge(outcome: &Outcome, answer: &str) -> Met {
    let said = format!("{}\n{}", outcome.output, outcome.errors);
    let any = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if outcome.success && said.contains(answer) {
        Met::Open
    } else if any(&["refused", "Couldn't connect to server", "unreachable"]) {
        Met::Refusal
    } else if !outcome.ended || any(&SILENCE) {
        Met::Silence
    } else {
        Met::Trouble(said.trim().to_owned())
    }
}

/// How the clients put it that nobody answered.
const SILENCE: [&str; 9] = [
    "timed out",
    "timeout",
    "Timeout",
    "0 received",
    " 0 packets received",
    "no servers could be reached",
    "No suitable source for synchronisation",
    "Timeout reached",
    "Fatal error: max-retries exceeded",
];
