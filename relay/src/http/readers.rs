//! Who may read the metrics. Must not know what they say.

use crate::config::MetricsSettings;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;

/// What a proxy adds to what it passes on: then whoever asks is somewhere else than the address says.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// Where the metrics are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Where devices come too.
    PublicPort,
    /// An address that is the metrics' own.
    OwnAddress,
}

/// What is said to whoever asks for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Welcome,
    /// With the right token.
    TokenNeeded,
    /// There is nothing for strangers.
    NotFound,
}

/// Who may read: this machine always, whoever has the token, and who can reach an address that has no token.
pub(super) struct Readers {
    /// The hash of the token, so that comparing takes as long for every guess.
    token: Option<[u8; 32]>,
}

impl Readers {
    pub(super) fn new(settings: &MetricsSettings) -> Self {
        Self { token: settings.token.as_ref().map(|token| Sha256::digest(token.reveal()).into()) }
    }

    pub(super) fn judge(&self, at: At, address: IpAddr, headers: &HeaderMap) -> Verdict {
        let is_proxied = PROXY_HEADERS.iter().any(|name| headers.contains_key(*name));
        if address.to_canonical().is_loopback() && !is_proxied {
            return Verdict::Welcome;
        }
        match self.token {
            Some(token) if shown(headers).is_some_and(|shown| shown == token) => Verdict::Welcome,
            Some(_) => Verdict::TokenNeeded,
            None if at == At::OwnAddress => Verdict::Welcome,
            None => Verdict::NotFound,
        }
    }
}

fn shown(headers: &HeaderMap) -> Option<[u8; 32]> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(|token| Sha256::digest(token.trim()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use hyper::header::HeaderValue;

    fn readers(settings: &str) -> Readers {
        let config: Config = toml::from_str(settings).expect("settings");
        Readers::new(&config.metrics)
    }

    #[test]
    fn strangers_read_nothing_at_the_devices_port_and_with_a_token_nowhere_without_it() {
        let (open, closed) = (readers(""), readers("[metrics]\ntoken = \"a long enough secret\""));
        let none = HeaderMap::new();
        let mut right = HeaderMap::new();
        right.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a long enough secret"));
        let mut proxied = right.clone();
        proxied.insert("via", HeaderValue::from_static("1.1 proxy"));
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"].map(|address| address.parse().expect("an address")) {
            assert_eq!(open.judge(At::PublicPort, here, &none), Verdict::Welcome);
            assert_eq!(open.judge(At::PublicPort, here, &proxied), Verdict::NotFound);
            assert_eq!(closed.judge(At::PublicPort, here, &none), Verdict::Welcome);
            assert_eq!(closed.judge(At::PublicPort, here, &proxied), Verdict::Welcome);
        }
        for afar in ["203.0.113.7", "::ffff:203.0.113.7", "2001:db8::7"].map(|address| address.parse().expect("one")) {
            assert_eq!(open.judge(At::PublicPort, afar, &none), Verdict::NotFound);
            assert_eq!(open.judge(At::PublicPort, afar, &right), Verdict::NotFound, "nobody was given one");
            assert_eq!(open.judge(At::OwnAddress, afar, &none), Verdict::Welcome);
            for at in [At::PublicPort, At::OwnAddress] {
                assert_eq!(closed.judge(at, afar, &none), Verdict::TokenNeeded);
                assert_eq!(closed.judge(at, afar, &right), Verdict::Welcome);
            }
        }
    }
}
