//! The few values that rules and packets share, so that they meet; judges nothing.

use crate::dice::Dice;
use doorward::net::Family;
use doorward::trace::Device;

/// Interfaces of the network in which random rulesets are tried.
pub(crate) const DEVICES: [&str; 5] = ["eth0", "eth1", "wg0", "br-1", "docker0"];
/// Users and groups who send.
pub(crate) const OWNERS: [(u32, u32); 4] = [(0, 0), (1000, 1000), (1001, 100), (65_534, 65_534)];

/// Values that constants of rules and fields of packets are taken from.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) devices: Vec<Device>,
    four: Vec<[u8; 4]>,
    six: Vec<[u8; 16]>,
    ports: Vec<u16>,
    marks: Vec<u32>,
}

impl World {
    pub(crate) fn new(dice: &mut Dice, devices: Vec<Device>) -> World {
        let mut four = vec![
            [10, 1, 2, 3],
            [10, 1, 2, 200],
            [10, 1, 255, 7],
            [192, 0, 2, 1],
            [198, 51, 100, 7],
            [203, 0, 113, 77],
            [203, 0, 113, 129],
            [172, 16, 5, 9],
        ];
        four.push([dice.byte() % 100 + 11, dice.byte(), dice.byte(), dice.byte()]);
        let base = |tail: [u8; 4]| {
            let mut addr = [0; 16];
            addr[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            addr[12..].copy_from_slice(&tail);
            addr
        };
        let mut six =
            vec![base([0, 0, 0, 1]), base([0, 0, 0, 7]), base([0, 1, 0, 7]), base([0xff, 0, 0, 0xff])];
        let mut other = base([0, 0, 1, 1]);
        other[4] = 0xde;
        six.push(other);
        let mut unique_local = [0; 16];
        (unique_local[0], unique_local[15]) = (0xfd, 0x77);
        six.push(unique_local);
        let mut random: [u8; 16] = dice.bytes(16).try_into().unwrap();
        random[0] = 0x24;
        six.push(random);
        let ports = vec![0, 1, 22, 53, 80, 255, 256, 443, 1023, 1024, 8080, 32_768, 60_000, 65_534, 65_535];
        let marks = vec![0, 1, 2, 0x10, 0xff, 0x100, 0x1234_5678, 0x8000_0000, u32::MAX, dice.word()];
        World { devices, four, six, ports, marks }
    }

    /// An address: one of the known, or near one.
    pub(crate) fn address(&self, dice: &mut Dice, family: Family) -> Vec<u8> {
        let mut addr = match family {
            Family::V4 => dice.pick(&self.four).to_vec(),
            Family::V6 => dice.pick(&self.six).to_vec(),
        };
        match dice.below(8) {
            0 => *addr.last_mut().unwrap() ^= 1 << dice.below(8),
            1 => {
                let at = dice.between(1, addr.len() - 1);
                addr[at] ^= 1 << dice.below(8);
            }
            _ => {}
        }
        addr
    }

    /// A port: nearly always one of the known.
    pub(crate) fn port(&self, dice: &mut Dice) -> u16 {
        match dice.below(8) {
            0 => u16::from_be_bytes([dice.byte(), dice.byte()]),
            _ => *dice.pick(&self.ports),
        }
    }

    pub(crate) fn mark(&self, dice: &mut Dice) -> u32 {
        if dice.chance(60) { self.marks[dice.below(4)] } else { *dice.pick(&self.marks) }
    }

    /// The name of an interface; seldom of one that is not there.
    pub(crate) fn device_name(&self, dice: &mut Dice) -> String {
        match dice.below(10) {
            0 => "lo".to_owned(),
            1 => "eth10".to_owned(),
            _ => dice.pick(&self.devices).name.clone(),
        }
    }

    pub(crate) fn device_index(&self, dice: &mut Dice) -> u32 {
        if dice.chance(10) { 1 } else { dice.pick(&self.devices).index }
    }
}

/// One of those who send.
pub(crate) fn owner(dice: &mut Dice) -> (u32, u32) {
    *dice.pick(&OWNERS)
}
