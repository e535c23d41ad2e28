//! The address where a cloud hands out keys of the machine: root of the host reaches it, no other account does, and no
//! container.

use crate::bench::until;
use crate::rules::{self, BackEnd};
use crate::{Town, skip, talks};
use rustix::thread::{Uid, set_thread_res_uid};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

/// IPv4 of all clouds, IPv6 of one.
const METADATA: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];
/// What users are told to write: the web port, as some clouds also answer for names there.
const PAGE: &str = include_str!("../../../../docs/cloud-metadata.md");
/// The same for whatever there is.
const ANYTHING: &str = "define metadata = 169.254.169.254, fd00:ec2::254
allow ssh
block out anything to metadata except by user root
block forward anything to metadata
allow forward anything on docker0, br-app
";
const LONG: Duration = Duration::from_secs(20);
/// So often each of them tries, over each family.
const TRIES: usize = 20;

/// Who tries: on which host, as which account.
const CALLERS: [(&str, &str, u32); 5] = [
    ("root", "server", 0),
    ("uid 1000", "server", 1000),
    ("uid 33", "server", 33),
    ("root of a container", "container", 0),
    ("uid 1000 of a container on another bridge", "other", 1000),
];

/// How many of the tries of one caller are answered; all begin at once. Who is let in may have to wait on a busy machine.
fn answered(town: &Town, (host, account): (&str, u32), let_in: bool) -> usize {
    thread::scope(|scope| {
        let tries: Vec<_> = METADATA
            .into_iter()
            .flat_map(|address| std::iter::repeat_n(address, TRIES))
            .map(|address| {
                let to = SocketAddr::new(address.parse::<IpAddr>().expect("an address"), 80);
                scope.spawn(move || {
                    town.bench.host(host).inside(|| {
                        // Of this thread only, which ends with the task.
                        let id = Uid::from_raw(account);
                        set_thread_res_uid(id, id, id).expect("root may be anybody");
                        if let_in { until(LONG, || talks(None, to)) } else { talks(None, to) }
                    })
                })
            })
            .collect();
        tries.into_iter().map(|one| one.join().expect("an answer")).filter(|heard| *heard).count()
    })
}

#[test]
fn metadata_is_for_root_alone() {
    if std::env::var_os("DOORWARD_QUICK").is_some() && skip::without_root() {
        return;
    }
    let mut town = Town::new(false);
    let (outside, server) = (town.bench.host("outside"), town.bench.host("server"));
    for (address, bits) in METADATA.into_iter().zip([32, 128]) {
        let nodad = if bits == 128 { " nodad" } else { "" };
        outside.ip(&format!("addr add {address}/{bits} dev eth0{nodad}"));
        server.ip(&format!("route add {address}/{bits} dev eth0"));
    }
    town.listen("outside", 80);
    for back_end in [BackEnd::Iptables, BackEnd::Nftables] {
        rules::clear(town.bench.host("server"));
        town.settled(back_end);
        let all = METADATA.len() * TRIES;
        let tell = |what: &str, let_in: [bool; 5]| {
            let mut words = Vec::new();
            for ((name, host, account), let_in) in CALLERS.into_iter().zip(let_in) {
                let heard = answered(&town, (host, account), let_in);
                words.push(format!("{name} {heard} of {all}"));
                assert_eq!(heard, if let_in { all } else { 0 }, "{back_end:?}, {what}: {name}");
            }
            println!("{back_end:?}, {what}: {}", words.join(", "));
        };
        // The control: whoever asks is answered.
        tell("no policy", [true; 5]);
        let of_page = PAGE.split("```").find_map(|block| block.strip_prefix("dw\n")).expect("a policy");
        for (what, policy) in [("http", of_page), ("anything", ANYTHING)] {
            town.apply(policy);
            tell(what, [true, false, false, false, false]);
        }
    }
}
