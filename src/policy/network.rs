//! Networks: where a connection may come from.
//!
//! Owns how one is written. An address of IPv4 that is written as one of IPv6 is the former.

use crate::caller::Address;
use std::net::IpAddr;

/// Where connections come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The Unix socket.
    Socket,
    /// Addresses whose first bits are those of this one.
    Addresses(IpAddr, u8),
}

/// How many bits an address has.
const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The first bits of an address, in the highest bits.
fn first_bits(address: IpAddr, count: u8) -> u128 {
    let all = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    };
    match count {
        0 => 0,
        count => all & (u128::MAX << (128 - u32::from(count))),
    }
}

impl Network {
    /// Reads `socket`, an address, or an address with the number of bits that count.
    ///
    /// # Errors
    /// What is wrong with it: a sentence's end.
    pub fn parse(text: &str) -> Result<Network, &'static str> {
        if text == "socket" {
            return Ok(Network::Socket);
        }
        let (address, count) = match text.split_once('/') {
            Some((address, count)) => (address, Some(count)),
            None => (text, None),
        };
        let address: IpAddr = (address.parse())
            .map_err(|_| "it is neither \"socket\" nor an address like 10.0.0.0/8 or fd00::/8")?;
        let given = match count {
            None => bits(address),
            Some(count) => {
                let digits =
                    (1..=3).contains(&count.len()) && count.bytes().all(|b| b.is_ascii_digit());
                let count = digits.then(|| count.parse::<u16>().ok()).flatten();
                let count = count.filter(|count| *count <= u16::from(bits(address)));
                count.ok_or("what stands behind the / is no number of bits")? as u8
            }
        };
        if first_bits(address, given) != first_bits(address, bits(address)) {
            return Err("bits are set behind those that count");
        }
        let canonical = address.to_canonical();
        match bits(canonical) < bits(address) && given >= 96 {
            true => Ok(Network::Addresses(canonical, given - 96)),
            false => Ok(Network::Addresses(address, given)),
        }
    }

    /// A connection comes from there.
    pub fn has(&self, address: Address) -> bool {
        match (self, address) {
            (Network::Socket, Address::Socket) => true,
            (Network::Addresses(network, count), Address::Ip(address)) => {
                bits(*network) == bits(address)
                    && first_bits(*network, *count) == first_bits(address, *count)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_their_networks() {
        let ip = |text: &str| Address::Ip(text.parse().unwrap());
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7/32", "10.0.0.6", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "1.2.3.4", false),
            ("fd00::/9", "fd7f::1", true),
            ("fd00::/9", "fd80::1", false),
            ("::ffff:10.0.0.0/104", "10.1.1.1", true),
        ] {
            let read = Network::parse(network).unwrap();
            assert_eq!(read.has(ip(address)), expected, "{network} {address}");
            assert!(!read.has(Address::Socket) && !read.has(Address::Unknown));
        }
        let socket = Network::parse("socket").unwrap();
        assert!(socket.has(Address::Socket) && !socket.has(ip("127.0.0.1")));
        for wrong in [
            "",
            "socket/1",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0",
            "fe80::1%eth0",
            "localhost",
            "::/129",
            "10.0.0.0/8/8",
            "10.0.0.0/0008",
        ] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }
}
