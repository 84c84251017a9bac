//! Which addresses a message may go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a host may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allowed {
    /// Those of the internet.
    Public,
    /// Those of this machine alone: the configuration names it.
    Loopback,
    /// Any.
    Private,
}

impl Allowed {
    /// Why an address is not one of them; `None`: it is.
    pub(super) fn refuses(self, address: IpAddr) -> Option<String> {
        let address = address.to_canonical();
        let is_good = match self {
            Self::Private => !address.is_unspecified() && !address.is_multicast(),
            Self::Loopback => address.is_loopback(),
            Self::Public => is_public(address),
        };
        (!is_good).then(|| match self {
            Self::Loopback => format!("{address} is not a loopback address"),
            _ => {
                format!("{address} is not a public address; set `private_addresses` if it is meant")
            }
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        // "This network", carriers' NAT, protocol assignments, benchmarks, reserved.
        || a == 0
        || a == 100 && (64..128).contains(&b)
        || (a, b, c) == (192, 0, 0)
        || a == 198 && (b == 18 || b == 19)
        || a >= 240;
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    match segments {
        // An IPv4 address in another coat: translated (NAT64), 6to4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            let bits = u32::from(high) << 16 | u32::from(low);
            is_public_v4(Ipv4Addr::from_bits(bits))
        }
        // Documentation, Teredo and the other assignments of protocols.
        [0x2001, 0xdb8 | 0..=0x1ff, ..] => false,
        // Global unicast.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internet_is_public() {
        let refused =
            |text: &str| Allowed::Public.refuses(text.parse().expect("an address")).is_some();
        for private in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "240.0.0.1",
            "192.0.0.8",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "::7f00:1",
        ] {
            assert!(refused(private), "{private}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808"] {
            assert!(!refused(public), "{public}");
        }
    }

    #[test]
    fn what_names_this_machine_stays_on_it() {
        let refuses =
            |text: &str| Allowed::Loopback.refuses(text.parse().expect("an address")).is_some();
        assert!(!refuses("127.0.0.1") && !refuses("::1"));
        assert!(refuses("8.8.8.8") && refuses("10.0.0.1"));
    }
}
