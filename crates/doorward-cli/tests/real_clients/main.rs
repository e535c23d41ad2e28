//! Real clients against real servers, with a policy loaded in the server's network namespace.
#![allow(clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "a test talks and fails so")]

mod bench;
mod clients;
mod doors;
mod firewall;
mod ftp;
mod plumbing;
mod processes;
mod servers;
#[path = "../../../../tests/support/skip.rs"]
mod skip;

use doors::{Door, Row, hold, table, world};

#[test]
fn every_door_is_as_the_policy_says() {
    if left_out() {
        return;
    }
    let bench = world();
    hold(&bench, "no firewall", &table(), all_open);
    firewall::policy(bench.host("server"), include_str!("../../../../examples/vps.dw"));
    hold(&bench, "vps.dw", &table(), |row, family| row.policy[family]);
}

#[test]
fn the_classic_script_agrees_over_ipv4_and_forgets_ipv6() {
    if left_out() {
        return;
    }
    let bench = world();
    hold(&bench, "no firewall", &table(), all_open);
    firewall::classic_script(bench.host("server"));
    hold(&bench, "the classic script", &table(), |row, family| match family {
        0 => row.script.or(row.policy[0]),
        _ => all_open(row, family),
    });
}

#[test]
fn ftp_helper_opens_what_it_announced() {
    if !left_out() {
        ftp::helper_opens_what_it_announced();
    }
}

#[test]
fn ftp_helper_cannot_be_tricked() {
    if !left_out() {
        ftp::helper_cannot_be_tricked();
    }
}

#[test]
fn ftps_works_without_a_helper() {
    if !left_out() {
        ftp::tls_works_without_a_helper(3);
    }
}

#[test]
#[ignore = "long: five hundred transfers"]
fn ftps_works_without_a_helper_each_time() {
    if !left_out() {
        ftp::tls_works_without_a_helper(50);
    }
}

#[test]
fn neighbours_are_found() {
    if !left_out() {
        plumbing::neighbours_are_found();
    }
}

#[test]
fn routers_are_heard() {
    if !left_out() {
        plumbing::routers_are_heard();
    }
}

#[test]
fn packet_too_big_is_believed() {
    if !left_out() {
        plumbing::packet_too_big_is_believed();
    }
}

/// Without a firewall every door is open: what is shut afterwards, the firewall has shut.
fn all_open(row: &Row, family: usize) -> Option<Door> {
    row.policy[family].map(|_| Door::Open)
}

/// Only `./test --quick` leaves these out, and says so; anybody else who is not root sees a failure.
fn left_out() -> bool {
    std::env::var_os("DOORWARD_QUICK").is_some() && skip::without_root()
}
