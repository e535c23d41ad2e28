//! A server with an SSH daemon and a client that logs in; it judges nothing.

use serde_json::{Value, json};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::bench::{Bench, Host, need, until};
use crate::processes::{Outcome, Socket};

/// The server's addresses.
pub(crate) const SERVER: [&str; 2] = ["203.0.113.2", "2001:db8::2"];
/// A name of a user who exists inside the daemons' mounts only.
const VISITOR: (&str, u32) = ("visitor", 59_099);
/// Shell text: pseudo-terminals of the daemon's own.
pub(crate) const TERMINALS: &str = "mount -t devpts -o ptmxmode=666,mode=620,gid=5 devpts /dev/pts
    mkdir /run/sshd; mkdir -m 1777 /run/screen; : > /var/log/lastlog";
/// How long anything may take.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// How somebody logs in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) address: &'a str,
    pub(crate) port: u16,
    /// The client's address.
    pub(crate) from: Option<&'a str>,
    /// With a terminal.
    pub(crate) terminal: bool,
    /// As a master that others share, without a command.
    pub(crate) master: bool,
    /// Over that master.
    pub(crate) shared: bool,
    pub(crate) options: &'a [&'a str],
}

impl Default for Login<'_> {
    fn default() -> Self {
        let (user, address, from, options) = ("root", SERVER[0], None, &[][..]);
        Login { user, address, port: 22, from, terminal: false, master: false, shared: false, options }
    }
}

/// Both hosts.
pub(crate) struct Stage {
    pub(crate) bench: Bench,
}

/// A client that stays; the end of this value is its own.
pub(crate) struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        // An error here says that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stage {
    /// With OpenSSH's daemon, and these lines in its settings.
    pub(crate) fn sshd(lines: &[&str]) -> Stage {
        let mut stage = Stage::new();
        let place = stage.settings(lines);
        let ports: Vec<u16> =
            lines.iter().filter_map(|line| line.rsplit([' ', ':']).next()?.parse().ok()).collect();
        let server = stage.bench.host_mut("server");
        server.start("sshd", TERMINALS, &["/usr/sbin/sshd", "-D", "-e", "-f", &place]);
        server.wait_for(Socket::Tcp, &ports);
        stage
    }

    /// The same where guests may change the firewall of the server, and of nobody else.
    #[allow(dead_code, reason = "who only asks needs no such thing")]
    pub(crate) fn guarded(lines: &[&str]) -> Stage {
        let mut stage = Stage::new();
        let place = stage.settings(lines);
        let server = stage.bench.host_mut("server");
        server.start_guarded("sshd", TERMINALS, &["/usr/sbin/sshd", "-D", "-e", "-f", &place]);
        server.wait_for(Socket::Tcp, &[22]);
        stage
    }

    /// With somebody who listens in its place, as process 1.
    pub(crate) fn activated(options: &str, port: u16) -> Stage {
        let mut stage = Stage::new();
        let place = stage.settings(&[]);
        let mode = if options.is_empty() { "-D" } else { "-i" };
        let prepare = format!(
            "{TERMINALS}; exec systemd-socket-activate {options} -l {port} /usr/sbin/sshd {mode} -e -f {place}"
        );
        let server = stage.bench.host_mut("server");
        server.start("activate", &prepare, &["false"]);
        server.wait_for(Socket::Tcp, &[port]);
        stage
    }

    /// With dropbear.
    pub(crate) fn dropbear(port: u16) -> Stage {
        let mut stage = Stage::new();
        let folder = stage.bench.host("server").folder().display().to_string();
        let key = format!("{folder}/dropbear_key");
        tool(stage.bench.host("server"), "dropbearkey", &["-t", "ed25519", "-f", &key]);
        // Its one place for keys is below the home, which is a folder of ours there.
        let prepare = format!(
            "{TERMINALS}; mount -t tmpfs tmpfs /root; cd /root; chmod 700 .; mkdir -m 700 .ssh
            cat {folder}/key.pub > .ssh/authorized_keys"
        );
        let server = stage.bench.host_mut("server");
        let door = port.to_string();
        server.start("dropbear", &prepare, &["dropbear", "-F", "-E", "-P", "", "-r", &key, "-p", &door]);
        server.wait_for(Socket::Tcp, &[port]);
        stage
    }

    pub(crate) fn new() -> Stage {
        for (program, package) in [("sshd", "openssh-server"), ("ssh", "openssh-client"), ("sudo", "sudo")] {
            need(program, package);
        }
        let bench = Bench::new(&["client", "server"]);
        bench.cable(
            ("client", "eth0", &["203.0.113.1/24", "203.0.113.77/24", "2001:db8::1/64"]),
            ("server", "eth0", &["203.0.113.2/24", "2001:db8::2/64"]),
        );
        let server = bench.host("server");
        let folder = server.folder().to_owned();
        let (name, uid) = VISITOR;
        let etc = folder.join("etc");
        fs::create_dir(&etc).expect("a folder");
        let home = folder.join("home");
        fs::create_dir(&home).expect("a folder");
        chown(&home, Some(uid), Some(uid)).expect("root may give it away");
        let with = |file: &str, line: String| {
            let text = fs::read_to_string(Path::new("/etc").join(file)).expect("accounts");
            fs::write(etc.join(file), text + &line).expect("accounts");
        };
        with("passwd", format!("{name}:x:{uid}:{uid}::{}:/bin/sh\n", home.display()));
        with("group", format!("{name}:x:{uid}:\n"));
        with("shadow", format!("{name}:*:19000:0:99999:7:::\n"));
        let sudoers = etc.join("sudoers");
        fs::write(
            &sudoers,
            format!("Defaults use_pty\nroot ALL=(ALL) ALL\n{name} ALL=(ALL) NOPASSWD: ALL\n"),
        )
        .expect("who may sudo");
        fs::set_permissions(&sudoers, fs::Permissions::from_mode(0o440)).expect("a file of ours");
        fs::copy(env!("CARGO_BIN_EXE_doorward"), folder.join("doorward"))
            .expect("a copy that anybody may run");
        for key in ["host_key", "key"] {
            let place = folder.join(key).display().to_string();
            tool(server, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &place]);
        }
        Stage { bench }
    }

    pub(crate) fn settings(&self, lines: &[&str]) -> String {
        let server = self.bench.host("server");
        let folder = server.folder().display();
        let common = format!(
            "HostKey {folder}/host_key\nAuthorizedKeysFile {folder}/key.pub\nAuthenticationMethods publickey\n\
             PermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\nUseDNS no\nPidFile none\nMaxStartups 100\nPrintLastLog no\nPrintMotd no\n"
        );
        // A Match block would hold for all that follows.
        server.file("sshd.conf", &format!("{common}{}\n", lines.join("\n"))).display().to_string()
    }

    /// The command, where everybody may run it.
    pub(crate) fn doorward(&self) -> String {
        self.bench.host("server").folder().join("doorward").display().to_string()
    }

    /// What one says to log in.
    pub(crate) fn ssh_words(&self, login: &Login) -> Vec<String> {
        let folder = self.bench.host("server").folder().display();
        let control = self.bench.host("client").folder().join("c");
        let control = control.display();
        let mut words = vec![format!(
            "ssh -F none -i {folder}/key -o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR \
             -o UserKnownHostsFile=/dev/null -o ConnectTimeout=15 -p {}",
            login.port
        )];
        words.extend(login.from.map(|from| format!("-b {from}")));
        words.extend(login.master.then(|| format!("-N -M -S {control}")));
        words.extend(login.shared.then(|| format!("-S {control}")));
        words.extend(login.terminal.then(|| "-tt".to_owned()));
        words.extend(login.options.iter().map(|&option| option.to_owned()));
        words.push(format!("{}@{}", login.user, login.address));
        words.iter().flat_map(|part| part.split(' ')).map(str::to_owned).collect()
    }

    /// Logs in and runs a command. Both ends as sshd says them, and what the command says.
    pub(crate) fn ask(&self, login: &Login, command: &str) -> (Value, Value) {
        let outcome = self.run(login, &format!("echo $SSH_CONNECTION; {command}"));
        let (truth, answer) =
            outcome.output.split_once('\n').unwrap_or_else(|| panic!("{login:?}: {outcome:?}"));
        let parts: Vec<&str> = truth.split_whitespace().collect();
        let [peer, from, host, to] = parts[..] else { panic!("{login:?}: {outcome:?}") };
        let end = |addr: &str, port: &str| {
            let addr = addr.split('%').next().unwrap_or(addr);
            let addr: IpAddr = addr.parse().expect("an address of sshd's");
            SocketAddr::new(addr, port.parse().expect("a port of sshd's")).to_string()
        };
        let answer = serde_json::from_str(answer).unwrap_or_else(|_| panic!("{command}: {outcome:?}"));
        (json!([end(peer, from), end(host, to)]), answer)
    }

    /// Logs in and runs a command to its end.
    pub(crate) fn run(&self, login: &Login, command: &str) -> Outcome {
        let words = self.ssh_words(login);
        let mut ssh = self.bench.host("client").command(&words[0]);
        ssh.env("TERM", "xterm").args(&words[1..]).arg(command);
        self.bench.host("client").finish(ssh, LONG)
    }

    /// Logs in and stays, running a command. Comes back when it is there.
    pub(crate) fn hold(&self, login: &Login, command: &str) -> Held {
        let client = self.bench.host("client");
        let words = self.ssh_words(login);
        let mut ssh = client.command(&words[0]);
        ssh.env("TERM", "xterm").args(&words[1..]);
        let here = self.bench.host("server").folder().join("here");
        if !login.master {
            ssh.arg(format!("touch {}; {command}", here.display()));
            // Whoever logs in with a terminal writes there as anybody.
            let _ = fs::remove_file(&here);
            let open = fs::Permissions::from_mode(0o777);
            fs::set_permissions(self.bench.host("server").folder(), open).expect("a folder of ours");
        }
        ssh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let held = Held(ssh.spawn().expect("ip runs"));
        let control = client.folder().join("c");
        let there = until(LONG, || if login.master { control.exists() } else { here.exists() });
        assert!(there, "{login:?}: nobody is logged in");
        held
    }
}

/// Where somebody comes from.
pub(crate) fn peer(session: &Value) -> String {
    session["remote"].as_str().unwrap_or_else(|| panic!("{session:#}")).to_owned()
}

fn tool(host: &Host, program: &str, words: &[&str]) {
    let outcome = host.run(program, words, LONG);
    assert!(outcome.success, "{program}: {outcome:?}");
}
