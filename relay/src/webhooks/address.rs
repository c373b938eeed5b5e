//! Where a webhook may be sent: the form of its URL, and addresses of the public internet unless others are allowed. Must not
//! know what is sent.

use super::WebhookError;
use crate::config::WebhookSettings;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::lookup_host;

/// The longest URL, in bytes.
pub(super) const URL_BYTES_MAX: usize = 2048;

/// A URL that a webhook may have: `https`, without a password and a fragment. A name in it is looked up when something is sent.
pub(super) fn parse_url(text: &str, settings: &WebhookSettings) -> Result<Url, WebhookError> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= URL_BYTES_MAX);
    let plain = |url: &Url| url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let url = url.filter(plain).filter(Url::has_host).ok_or(WebhookError::Url)?;
    match url.scheme() {
        "https" => {}
        "http" if settings.allow_http => {}
        "http" => return Err(WebhookError::Http),
        _ => return Err(WebhookError::Url),
    }
    match literal(&url) {
        Some(address) if !settings.allow_private && !is_public(address) => Err(WebhookError::Address),
        _ => Ok(url),
    }
}

/// The address that stands in the URL itself. `0x7f.1` and other ways to write one are an address to the URL too.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Looks names up, and gives the public addresses alone. What it gives is what is connected to: nothing is looked up twice.
pub(super) struct Resolver {
    pub(super) allow_private: bool,
}

/// A name has no address that may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name has no public address")]
pub(super) struct NotPublic;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = lookup_host((name.as_str(), 0)).await?;
            let open: Vec<SocketAddr> = found.filter(|found| allow_private || is_public(found.ip())).collect();
            match open.is_empty() {
                true => Err(NotPublic.into()),
                false => Ok(Box::new(open.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether it is an address of the public internet: none of a special use, by the registries of RFC 6890.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special: [(Ipv4Addr, u32); 15] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8),
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        // Behind a provider's own translation.
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 0, 0, 0), 24),
        (Ipv4Addr::new(192, 0, 2, 0), 24),
        (Ipv4Addr::new(192, 88, 99, 0), 24),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
        (Ipv4Addr::new(198, 18, 0, 0), 15),
        (Ipv4Addr::new(198, 51, 100, 0), 24),
        (Ipv4Addr::new(203, 0, 113, 0), 24),
        (Ipv4Addr::new(224, 0, 0, 0), 4),
        (Ipv4Addr::new(240, 0, 0, 0), 4),
    ];
    let bits = u32::from(address);
    special.iter().all(|(network, length)| (bits ^ u32::from(*network)) >> (32 - length) != 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let inside = || Ipv4Addr::from((u32::from(parts[6]) << 16) | u32::from(parts[7]));
    match parts {
        // A translator's way to an IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(inside()),
        // Protocols of the IETF, among them Teredo; documentation; 6to4.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // All else that is given out as unicast. IPv4 in IPv6, loopback, unique-local and multicast are not.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        let public =
            ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808"];
        for address in public {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
        let others = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.19.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::7f00:1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::1",
            "3fff::1",
            "100::1",
        ];
        for address in others {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn a_url_is_https_to_a_name_or_a_public_address() {
        let settings = WebhookSettings::default();
        for good in ["https://example.com/hook?a=1", "https://1.1.1.1:8443/", "https://[2606:4700::1111]/"] {
            assert!(parse_url(good, &settings).is_ok(), "{good}");
        }
        for literal in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
            "https://192.168.0.1/",
            "https://169.254.169.254/latest/meta-data",
        ] {
            assert_eq!(parse_url(literal, &settings), Err(WebhookError::Address), "{literal}");
        }
        assert_eq!(parse_url("http://example.com/", &settings), Err(WebhookError::Http));
        let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX));
        let others = [
            "",
            "example.com",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://a:b@example.com/",
            "https://a@b.c/",
            "https://a.b/#c",
            &long,
        ];
        for wrong in others {
            assert_eq!(parse_url(wrong, &settings), Err(WebhookError::Url), "{wrong}");
        }
        let open = WebhookSettings { allow_private: true, allow_http: true, ..settings };
        assert!(parse_url("http://127.0.0.1:80/", &open).is_ok());
    }
}
