//! A host with a firewall and somebody outside who tries its doors; what is in force is told by packets alone.

use crate::common::{Answer, HOST4, HOST6, Pair, finish, start};
use crate::tool::{Folder, Said};
use crate::traced::{self, Fate, Look, Run};
use doorward::compile::TABLE;
use doorward::ruleset::{Step, TableFamily, Transaction};
use doorward_kernel::{CommitError, Scope};
use serde_json::Value;
use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// What is refused is answered, so that no try has to wait for silence.
pub(crate) const OLD: &str = "allow ping\nallow 2222/tcp, 8080/tcp\nblock out 7777/udp\ndefault reject in\n";
pub(crate) const NEW: &str = "allow 2222/tcp, 3306/tcp\nblock out 8888/udp\ndefault reject in\n";
const PORTS: [u16; 3] = [2222, 3306, 8080];
const OUT: [u16; 2] = [7777, 8888];
const ENDS: [(&str, &str); 2] = [("203.0.113.1", HOST4), ("2001:db8::1", HOST6)];
/// Nothing here is far away; but the machine may have other things to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who judges.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Judge {
    Old,
    New,
    /// Every door is open.
    Nobody,
    /// What is built in for a boot that can load nothing else: it answers nobody at these doors.
    Emergency,
    /// Some doors are the old one's, some the new one's: for each family what came of each door.
    Torn(Vec<[bool; 5]>),
}

/// Both hosts, the policies, and the state of the host's disk.
pub(crate) struct Field {
    pub(crate) pair: Pair,
    pub(crate) folder: Folder,
    template: PathBuf,
    listeners: Vec<TcpListener>,
}

impl Field {
    /// With the old policy confirmed. None where tests need root and have not.
    pub(crate) fn new() -> Option<Field> {
        let pair = Pair::new()?;
        let listeners = PORTS.map(|port| pair.listen(port)).into();
        let folder = Folder::new().with("old.dw", OLD).with("new.dw", NEW);
        let template = folder.path().join("template");
        let field = Field { pair, folder, template, listeners };
        field.run(&["apply", "--no-trial", "old.dw"]).well();
        copy(&field.state(), &field.template);
        assert_eq!(field.judge(), Judge::Old);
        Some(field)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The command on the host.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.pair.on_host(|| self.folder.run(args))
    }

    /// The same, watched.
    pub(crate) fn traced(&self, args: &[&str], fate: Fate) -> Run {
        let mut command = self.folder.doorward();
        command.args(args);
        self.pair.on_host(|| traced::run(&command, self.folder.path(), fate))
    }

    /// The same, with a look before each call.
    pub(crate) fn looked_at(&self, args: &[&str], look: Look<'_>) -> Run {
        let mut command = self.folder.doorward();
        command.args(args);
        self.pair.on_host(|| traced::looked_at(&command, self.folder.path(), Fate::Runs, look))
    }

    pub(crate) fn status(&self) -> Value {
        self.run(&["status", "--json"]).well().json()
    }

    /// As after the old policy was confirmed and nothing else ever happened.
    pub(crate) fn reset(&self) {
        let _ = std::fs::remove_dir_all(self.state());
        copy(&self.template, &self.state());
        self.reboot();
    }

    /// The kernel forgets; what boots is loaded.
    pub(crate) fn reboot(&self) {
        self.forget();
        self.run(&["boot"]).well();
    }

    /// The kernel forgets.
    pub(crate) fn forget(&self) {
        let ours = Scope::Table(TableFamily::Inet, TABLE.to_owned());
        while !self.pair.socket.read_headers(&ours).unwrap().ruleset.tables.is_empty() {
            let mut gone = Transaction::on(TableFamily::Inet, TABLE);
            gone.steps.push(Step::DeleteTable);
            match self.pair.socket.commit(&gone, None) {
                Ok(()) | Err(CommitError::Raced) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Tries all doors at once, in both families.
    pub(crate) fn judge(&self) -> Judge {
        let begun = ENDS.map(|(from, to)| PORTS.map(|port| start(from, (to, port))));
        let out = self.pair.on_host(|| ENDS.map(|(to, from)| OUT.map(|port| goes_out(from, (to, port)))));
        // Where nobody answers it is waited once for all of them.
        let end = Instant::now() + PATIENCE;
        let answers =
            begun.map(|tries| tries.map(|one| finish(one, end.saturating_duration_since(Instant::now())).0));
        self.drain();
        if answers == [[Answer::Silence; 3]; 2] && out == [[true; 2]; 2] {
            return Judge::Emergency;
        }
        let seen: Vec<[bool; 5]> = answers
            .into_iter()
            .zip(out)
            .map(|(answers, out)| {
                let [a, b, c] = answers.map(|answer| match answer {
                    Answer::Open => true,
                    Answer::Refused => false,
                    Answer::Silence => panic!("a door says nothing at all"),
                });
                [a, b, c, out[0], out[1]]
            })
            .collect();
        let all = |wanted| seen.iter().all(|one| *one == wanted);
        match seen {
            _ if all([true, false, true, false, true]) => Judge::Old,
            _ if all([true, true, false, true, false]) => Judge::New,
            _ if all([true; 5]) => Judge::Nobody,
            _ => Judge::Torn(seen),
        }
    }

    /// Takes what has connected: behind a full queue nobody would answer any more.
    pub(crate) fn drain(&self) {
        for listener in &self.listeners {
            while listener.accept().is_ok() {}
        }
    }

    /// Waits until the old policy judges again; how long that took. A look that meets the switch itself counts for
    /// nothing: it takes longer than that.
    pub(crate) fn back_within(&self, patience: Duration) -> Duration {
        let began = Instant::now();
        let mut odd = 0;
        loop {
            match self.judge() {
                Judge::Old => return began.elapsed(),
                Judge::New => odd = 0,
                // Once is the switch.
                Judge::Torn(seen) if odd > 0 => panic!("torn: {seen:?}"),
                Judge::Torn(_) => odd += 1,
                judge @ (Judge::Nobody | Judge::Emergency) => panic!("{judge:?} judges"),
            }
            assert!(began.elapsed() < patience, "the old policy does not come back");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn goes_out(from: &str, to: (&str, u16)) -> bool {
    let from: std::net::IpAddr = from.parse().unwrap();
    match UdpSocket::bind((from, 0)).unwrap().send_to(b"x", to) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => false,
        Err(error) => panic!("{error}"),
    }
}

fn copy(from: &PathBuf, to: &PathBuf) {
    let done = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(done.success());
}
