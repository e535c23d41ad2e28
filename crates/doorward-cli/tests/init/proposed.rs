//! What `init` proposes for an FTP server, from the file in which it says which ports it takes for data.

use crate::{Host, golden};
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

/// A program of this name that listens at port 21; it is stopped when this goes.
struct Server(Child);

impl Server {
    fn new(host: &Host, program: &str) -> Server {
        let path = host.path(&format!("/usr/sbin/{program}"));
        fs::copy("/bin/sleep", &path).unwrap();
        let socket = OwnedFd::from(TcpListener::bind("[::]:21").unwrap());
        Server(Command::new(path).arg("60").stdin(Stdio::from(socket)).spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ftp_with_its_ports_for_data() {
    let mut told = String::new();
    for (program, file, text) in [
        ("vsftpd", "/etc/vsftpd.conf", "listen=YES\npasv_min_port=50000\npasv_max_port=50100\n"),
        // Something else listens there, which was to stay shut.
        ("vsftpd", "/etc/vsftpd.conf", "pasv_min_port=1024\npasv_max_port=65535\n"),
        ("vsftpd", "/etc/vsftpd.conf", "pasv_enable=NO\n"),
        ("vsftpd", "/etc/vsftpd.conf", "listen=YES\n#pasv_min_port=50000\n"),
        ("vsftpd", "/etc/hostname", "no file of its own\n"),
        ("proftpd", "/etc/proftpd/proftpd.conf", "<Global>\n  PassivePorts 49152 49200\n</Global>\n"),
        ("pure-ftpd", "/etc/pure-ftpd/conf/PassivePortRange", "30000 30099\n"),
        ("ftpd", "/etc/vsftpd.conf", "pasv_min_port=50000\npasv_max_port=50100\n"),
    ] {
        let Some(host) = Host::new() else { return };
        let host = host.with(file, text);
        let _server = Server::new(&host, program);
        let _other = TcpListener::bind("[::]:8443").unwrap();
        writeln!(told, "# {program}, and in {file}:\n#   {}", text.trim_end().replace('\n', "\n#   "))
            .unwrap();
        let policy = host.path("/etc/doorward/policy.dw");
        // Asked whether it is open to everybody, with both answers.
        for open in ["all", "none"] {
            let said =
                host.run(&["init", "--dry-run", "--open", open, "--policy", policy.to_str().unwrap()]).well();
            let about: Vec<&str> = said.out.lines().filter(|line| line.contains("allow ftp")).collect();
            writeln!(told, "{}", about.join("\n")).unwrap();
        }
        told.push('\n');
    }
    golden("init-ftp.txt", &told);
}
