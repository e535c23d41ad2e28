//! `audit` of a host with real sockets, real rules of a container runtime, and its page in a real browser.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward_kernel::link::Links;
use doorward_kernel::netns::OwnNetNs;
use serde_json::Value;
use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use tool::{Folder, golden};

const POLICY: &str = "define office = 192.0.2.0/24, 2001:db8:5::/48
allow ping
allow ssh
allow https
allow postgresql
allow imap
allow redis from office
allow published 8080/tcp
";

/// As Docker writes it.
const CONTAINERS: &str = "table ip nat {
 chain DOCKER {
 }
 chain PREROUTING {
  type nat hook prerouting priority dstnat
  fib daddr type local jump DOCKER
 }
 chain DOCKER {
  iifname != \"docker0\" tcp dport 8080 dnat to 172.17.0.2:80
  iifname != \"docker0\" tcp dport 5433 dnat to 172.17.0.3:5432
 }
}
";

/// A host with a cable and listeners, which stay as long as this lives.
struct Host {
    folder: Folder,
    _sockets: (Vec<TcpListener>, UdpSocket),
    _own: OwnNetNs,
}

impl Host {
    fn new() -> Option<Host> {
        if skip::without_root() {
            return None;
        }
        let own = OwnNetNs::make().unwrap();
        let links = Links::open().unwrap();
        links.add_veth("eth0", "far", own.namespace()).unwrap();
        for name in ["lo", "far", "eth0"] {
            links.set_up(links.link(name).unwrap().unwrap().index).unwrap();
        }
        let eth = links.link("eth0").unwrap().unwrap().index;
        links.add_address(eth, "203.0.113.9".parse().unwrap(), 24).unwrap();
        links.add_address(eth, "2001:db8::9".parse().unwrap(), 64).unwrap();
        let listen = |at: &str| TcpListener::bind(at).unwrap();
        let sockets = ["[::]:22", "[::]:443", "0.0.0.0:5432", "[::]:6379", "127.0.0.1:25", "0.0.0.0:9999"];
        let udp = UdpSocket::bind("0.0.0.0:53").unwrap();
        let folder = Folder::new().with("p.dw", POLICY);
        Some(Host { folder, _sockets: (sockets.map(listen).into(), udp), _own: own })
    }
}

fn containers() {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(CONTAINERS.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success());
}

/// The program of these sockets is this test, whose name changes with each build.
fn without_program(text: &str) -> String {
    let own = std::env::current_exe().unwrap();
    text.replace(own.file_name().unwrap().to_str().unwrap(), "program")
}

#[test]
fn what_a_host_shows() {
    let Some(host) = Host::new() else { return };
    containers();
    let bare = host.folder.run(["audit"]);
    assert_eq!(bare.exit, Some(1), "{bare:#?}");
    host.folder.run(["apply", "--no-trial", "p.dw"]).well();
    let guarded = host.folder.run(["audit"]);
    assert_eq!(guarded.exit, Some(1), "{guarded:#?}");
    let text = format!(
        "$ doorward audit\n{}\n$ doorward apply --no-trial p.dw\n$ doorward audit\n{}",
        bare.out, guarded.out
    );
    let text = without_program(&text);
    golden("audit.txt", &text);
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    let json = host.folder.run(["audit", "--json"]);
    let json = without_program(&format!("{:#}\n", json.json()));
    golden("json/audit.json", &json);

    // The same answers everywhere.
    let html = host.folder.run(["audit", "--html", "audit.html"]);
    assert_eq!(html.exit, Some(1));
    let page = without_program(&host.folder.read("audit.html"));
    let json: Value = serde_json::from_str(&json).unwrap();
    let escaped = |words: &str| words.replace('&', "&amp;").replace('\'', "&#39;");
    for finding in json["findings"].as_array().unwrap() {
        let what = finding["what"].as_str().unwrap();
        assert!(text.contains(what) && page.contains(&escaped(what)), "{what}");
    }
}

#[test]
fn levels() {
    let Some(host) = Host::new() else { return };
    host.folder.write(
        "good.dw",
        "allow ssh, https, 9999/tcp, dns\nallow redis, postgresql from 192.0.2.0/24, 2001:db8:5::/48\n",
    );
    for (level, exit) in [("critical", 0), ("warning", 0), ("notice", 1)] {
        assert_eq!(host.folder.run(["audit", "--level", level, "good.dw"]).exit, Some(exit), "{level}");
        assert_eq!(host.folder.run(["audit", "--level", level, "p.dw"]).exit, Some(1), "{level}");
    }
}

/// What a browser makes of the page: the picture and every finding are there, and nothing was loaded or refused.
#[test]
fn in_a_browser() {
    let Some(host) = Host::new() else { return };
    if Command::new("chromium").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip::skip("there is no chromium here");
    }
    containers();
    host.folder.run(["audit", "--html", "audit.html", "p.dw"]);
    let page = host.folder.path().join("audit.html");
    let chromium = |more: &[&str]| {
        let profile = host.folder.path().join("profile");
        let output = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(more)
            .arg(format!("file://{}", page.display()))
            .env("HOME", host.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert_eq!(console, Vec::<&str>::new(), "the page is clean");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let dom = chromium(&["--dump-dom"]);
    assert!(dom.contains("<svg") && dom.matches("class=\"finding ").count() > 3, "{dom}");
    assert!(dom.contains("published 8080/tcp"));
    for more in [&[][..], &["--force-dark-mode", "--blink-settings=preferredColorScheme=0"]] {
        let picture = host.folder.path().join("page.png");
        let to = format!("--screenshot={}", picture.display());
        chromium(&[more, &["--window-size=1100,1700", &to]].concat());
        let bytes = std::fs::read(&picture).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 20_000, "{} bytes", bytes.len());
        std::fs::remove_file(&picture).unwrap();
    }
    let pdf = host.folder.path().join("page.pdf");
    chromium(&[&format!("--print-to-pdf={}", pdf.display())]);
    assert!(std::fs::read(&pdf).unwrap().starts_with(b"%PDF"));
}
