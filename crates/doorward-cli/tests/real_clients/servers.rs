//! The real servers that the doors lead to, from Debian's packages; it knows no firewall.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::time::Duration;

use crate::bench::{Host, need};
use crate::processes::Socket;

/// The user that logs in over SSH and owns the mailbox; exists only inside the daemons' mounts.
pub(crate) const VISITOR: &str = "visitor";
pub(crate) const PASSWORD: &str = "open-sesame";
/// What the web server answers with on each of its ports.
pub(crate) const WEB_ANSWER: &str = "a door of the web server";
/// What the DNS servers know.
pub(crate) const DNS_NAME: &str = "answer.example";
pub(crate) const DNS_ANSWER: &str = "192.0.2.53";
/// What lies on the FTP server, and the largest thing on the web server.
pub(crate) const FTP_TEXT: &str = "a file of the ftp server\n";
pub(crate) const BIG: usize = 3_000_000;

const VISITOR_ID: u32 = 59_099;
/// Ports that nginx answers on without TLS: the web, and what must stay shut around it.
pub(crate) const WEB_PORTS: &[u16] = &[80, 20, 3306, 5432, 6379, 8080, 49_999, 50_050, 50_101];

/// Makes the files that several servers share: users, name service, certificate, keys.
pub(crate) fn prepare(host: &Host) {
    let etc = host.folder().join("etc");
    fs::create_dir(&etc).expect("a folder for what hides parts of /etc");
    let home = owned_folder(host, "home", VISITOR_ID);
    let users = fs::read_to_string("/etc/passwd").expect("the users");
    let groups = fs::read_to_string("/etc/group").expect("the groups");
    let user = format!("{VISITOR}:x:{VISITOR_ID}:{VISITOR_ID}::{}:/bin/sh\n", home.display());
    write(&etc.join("passwd"), &format!("{users}{user}"));
    write(&etc.join("group"), &format!("{groups}{VISITOR}:x:{VISITOR_ID}:\n"));
    write(&etc.join("shadow"), &format!("{VISITOR}:*:19000:0:99999:7:::\n"));
    write(&etc.join("resolv.conf"), "nameserver 127.0.0.1\n");
}

/// OpenSSH with a host key of its own and one visitor who has a key.
pub(crate) fn ssh(host: &mut Host) {
    need("sshd", "openssh-server");
    need("ssh-keygen", "openssh-client");
    let folder = host.folder().display().to_string();
    for key in ["host_key", "visitor_key"] {
        let place = format!("{folder}/{key}");
        tool(host, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &place]);
    }
    let place = host.file(
        "sshd.conf",
        &format!(
            "Port 22
            AddressFamily any
            HostKey {folder}/host_key
            AuthorizedKeysFile {folder}/visitor_key.pub
            AuthenticationMethods publickey
            AllowUsers {VISITOR}
            StrictModes no
            UsePAM no
            UseDNS no
            PidFile none
            "
        ),
    );
    let place = place.display().to_string();
    host.start("sshd", "mkdir /run/sshd", &["/usr/sbin/sshd", "-D", "-e", "-f", &place]);
    host.wait_for(Socket::Tcp, &[22]);
}

/// nginx: the web with and without TLS, and listeners on doors that must stay shut.
pub(crate) fn web(host: &mut Host, plain: &[u16], secure: &[u16]) {
    need("nginx", "nginx-light");
    certificate(host);
    let folder = host.folder().display().to_string();
    fs::write(host.folder().join("big"), vec![b'x'; BIG]).expect("a large file");
    let listen = |ports: &[u16], end: &str| -> String {
        let one = |port| format!("listen 0.0.0.0:{port}{end}; listen [::]:{port}{end};\n");
        ports.iter().map(one).collect()
    };
    let place = host.file(
        "nginx.conf",
        &format!(
            "daemon off; pid /run/nginx.pid; user www-data; worker_processes 1;
            events {{ worker_connections 256; }}
            http {{
                access_log off;
                ssl_certificate {folder}/certificate.pem;
                ssl_certificate_key {folder}/certificate.key;
                server {{
                    {} {}
                    location / {{ return 200 \"{WEB_ANSWER}\\n\"; }}
                    location = /big {{ root {folder}; }}
                }}
            }}
            ",
            listen(plain, ""),
            listen(secure, " ssl"),
        ),
    );
    let place = place.display().to_string();
    let words = ["nginx", "-e", "stderr", "-c", &place];
    host.start("nginx", "mkdir /var/lib/nginx", &words);
    host.wait_for(Socket::Tcp, plain);
    host.wait_for(Socket::Tcp, secure);
}

/// vsftpd for anybody, down and up; its passive data ports come from `passive`.
pub(crate) fn ftp(host: &mut Host, passive: (u16, u16)) {
    vsftpd(host, passive, 21, "");
}

/// The same for who speaks TLS only, on both connections: on 21 who asks for it, and on 990 from the first byte.
pub(crate) fn ftps(host: &mut Host, passive: (u16, u16)) {
    certificate(host);
    let folder = host.folder().display();
    let more = format!(
        "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\n\
        require_ssl_reuse=NO\nrsa_cert_file={folder}/certificate.pem\n\
        rsa_private_key_file={folder}/certificate.key\n"
    );
    vsftpd(host, passive, 21, &more);
    vsftpd(host, passive, 990, &format!("{more}implicit_ssl=YES\n"));
}

fn vsftpd(host: &mut Host, passive: (u16, u16), port: u16, more: &str) {
    need("vsftpd", "vsftpd");
    let root = host.folder().join(format!("ftp-{port}"));
    fs::create_dir(&root).expect("a folder for the ftp server");
    write(&root.join("file"), FTP_TEXT);
    write(&host.folder().join("up"), "sent by a client\n");
    let up = root.join("up");
    fs::create_dir(&up).expect("a folder for uploads");
    fs::set_permissions(&up, fs::Permissions::from_mode(0o777)).expect("ours");
    let place = host.file(
        &format!("vsftpd-{port}.conf"),
        &format!(
            "listen=NO\nlisten_ipv6=YES\nlisten_port={port}\nbackground=NO\n\
            anonymous_enable=YES\nlocal_enable=NO\nwrite_enable=YES\nanon_upload_enable=YES\n\
            anon_root={}\nsecure_chroot_dir=/run/empty\nno_anon_password=YES\n\
            pasv_min_port={}\npasv_max_port={}\n\
            seccomp_sandbox=NO\nxferlog_enable=NO\n{more}",
            root.display(),
            passive.0,
            passive.1,
        ),
    );
    let place = place.display().to_string();
    host.start(&format!("vsftpd-{port}"), "mkdir /run/empty", &["vsftpd", &place]);
    host.wait_for(Socket::Tcp, &[port]);
}

/// dnsmasq, authoritative for one name, over UDP and TCP on the given port.
pub(crate) fn dns(host: &mut Host, port: u16) {
    need("dnsmasq", "dnsmasq-base");
    let words = [
        "dnsmasq".to_owned(),
        "--keep-in-foreground".to_owned(),
        "--conf-file=/dev/null".to_owned(),
        "--user=root".to_owned(),
        "--no-resolv".to_owned(),
        "--no-hosts".to_owned(),
        format!("--pid-file=/run/dnsmasq-{port}.pid"),
        format!("--port={port}"),
        format!("--address=/{DNS_NAME}/{DNS_ANSWER}"),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    host.start(&format!("dnsmasq-{port}"), "", &words);
    host.wait_for(Socket::Udp, &[port]);
    host.wait_for(Socket::Tcp, &[port]);
}

/// chrony as a time server; it never touches the clock of the machine.
pub(crate) fn time(host: &mut Host) {
    need("chronyd", "chrony");
    let place = host.file(
        "chrony.conf",
        "local stratum 1\nallow all\ncmdport 0\nbindcmdaddress /\npidfile /run/chronyd.pid\n",
    );
    let place = place.display().to_string();
    host.start("chronyd", "", &["chronyd", "-d", "-x", "-u", "root", "-f", &place]);
    host.wait_for(Socket::Udp, &[123]);
}

/// `OpenSMTPD` on 25 and 587, delivering into the visitor's mail folder.
pub(crate) fn mail_in(host: &mut Host) {
    need("smtpd", "opensmtpd");
    let place = host.file(
        "smtpd.conf",
        "listen on 0.0.0.0 port 25 hostname mail.example\n\
        listen on :: port 25 hostname mail.example\n\
        listen on 0.0.0.0 port 587 hostname mail.example\n\
        listen on :: port 587 hostname mail.example\n\
        action keep maildir \"~/mail\"\n\
        match from any for domain mail.example action keep\n",
    );
    let place = place.display().to_string();
    let prepare = "mkdir -p /var/lib/opensmtpd/empty /run/opensmtpd
        mkdir -m 711 /var/spool/smtpd";
    host.start("smtpd", prepare, &["smtpd", "-d", "-f", &place]);
    host.wait_for(Socket::Tcp, &[25, 587]);
}

/// Dovecot: IMAP and POP3, each with and without TLS, over the same mail folder.
pub(crate) fn mail_out(host: &mut Host) {
    need("dovecot", "dovecot-core");
    certificate(host);
    let folder = host.folder().display().to_string();
    let place = host.file(
        "dovecot.conf",
        &format!(
            "protocols = imap pop3
            listen = *, ::
            base_dir = /run/dovecot
            log_path = /dev/stderr
            ssl = yes
            ssl_cert = <{folder}/certificate.pem
            ssl_key = <{folder}/certificate.key
            disable_plaintext_auth = no
            first_valid_uid = {VISITOR_ID}
            mail_location = maildir:{folder}/home/mail
            passdb {{
                driver = static
                args = password={PASSWORD}
            }}
            userdb {{
                driver = static
                args = uid={VISITOR_ID} gid={VISITOR_ID} home={folder}/home
            }}
            "
        ),
    );
    let place = place.display().to_string();
    let prepare = "mkdir /run/dovecot /var/lib/dovecot";
    host.start("dovecot", prepare, &["dovecot", "-F", "-c", &place]);
    host.wait_for(Socket::Tcp, &[110, 143, 993, 995]);
}

/// radvd on a router's interface, announcing one prefix and itself as the way out.
pub(crate) fn router_advertisements(host: &mut Host, interface: &str, prefix: &str) {
    need("radvd", "radvd");
    let place = host.file(
        "radvd.conf",
        &format!(
            "interface {interface} {{
                AdvSendAdvert on;
                MinRtrAdvInterval 3;
                MaxRtrAdvInterval 4;
                prefix {prefix} {{ AdvOnLink on; AdvAutonomous on; }};
            }};
            "
        ),
    );
    let place = place.display().to_string();
    let words = ["radvd", "-n", "-m", "stderr", "-p", "/run/radvd.pid", "-C", &place];
    host.start("radvd", "", &words);
}

fn certificate(host: &Host) {
    need("openssl", "openssl");
    let key = host.folder().join("certificate.key");
    if key.exists() {
        return;
    }
    let folder = host.folder().display().to_string();
    let words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    let files = [
        "-keyout".to_owned(),
        format!("{folder}/certificate.key"),
        "-out".to_owned(),
        format!("{folder}/certificate.pem"),
    ];
    let mut all: Vec<&str> = words.to_vec();
    all.extend(["-nodes", "-days", "2", "-subj", "/CN=server.example"]);
    all.extend(files.iter().map(String::as_str));
    tool(host, "openssl", &all);
}

fn tool(host: &Host, program: &str, words: &[&str]) {
    let outcome = host.run(program, words, Duration::from_secs(20));
    assert!(outcome.success, "{program}: {outcome:?}");
}

fn owned_folder(host: &Host, name: &str, owner: u32) -> std::path::PathBuf {
    let place = host.folder().join(name);
    fs::create_dir(&place).expect("a folder");
    chown(&place, Some(owner), Some(owner)).expect("root may give it away");
    place
}

fn write(place: &Path, text: &str) {
    fs::write(place, text).expect("a file of the host");
}
