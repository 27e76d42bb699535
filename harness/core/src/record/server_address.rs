//! Where a server is: what can be said of its address without asking anybody.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What stands for a free port in the address and the command of a server.
pub const PORT: &str = "{port}";
/// What stands for the path of the model in the command of a server.
pub const MODEL: &str = "{model}";

/// The address of an API: `http://127.0.0.1:8000/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// `http` or `https`, with what stands before the path: `http://127.0.0.1:8000`.
    pub root: String,
    /// The path, without a slash at its end: `/v1`.
    pub path: String,
    /// Name or number of the machine, without brackets.
    pub host: String,
    /// Whether what is sent there is encrypted.
    pub is_https: bool,
}

impl ServerAddress {
    /// Reads an address in which no placeholder is left.
    ///
    /// # Errors
    /// What is wrong with it, in words that follow its name.
    pub fn parse(url: &str) -> Result<Self, String> {
        if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("has a space or a control character in it".to_owned());
        }
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
            .ok_or_else(|| "begins with neither http:// nor https://".to_owned())?;
        if rest.contains(['?', '#']) {
            return Err("has a query or a fragment: only scheme, machine, port and path go into it".to_owned());
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err("holds a user or a password: name the variable of a key with api_key_env".to_owned());
        }
        let host = host_of(authority)?;
        Ok(Self {
            root: format!("{scheme}://{authority}"),
            path: path.trim_end_matches('/').to_owned(),
            host: host.to_owned(),
            is_https: scheme == "https",
        })
    }

    /// Whether only this machine can be meant.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let is_number = |host: &str| {
            host.parse::<Ipv4Addr>().is_ok_and(|number| number.is_loopback())
                || host.parse::<Ipv6Addr>().is_ok_and(|number| number.is_loopback())
        };
        self.host.eq_ignore_ascii_case("localhost") || is_number(&self.host)
    }
}

/// The machine of `machine:port`; a number of IPv6 is in brackets.
fn host_of(authority: &str) -> Result<&str, String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(inside) => {
            let (host, after) = inside
                .split_once(']')
                .ok_or_else(|| "has a bracket that is not closed".to_owned())?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err("has something in brackets that is no IPv6 address".to_owned());
            }
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err("has something between its bracket and its port".to_owned()),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(is_plain) {
        return Err("names no machine".to_owned());
    }
    match port.map(str::parse::<u16>) {
        Some(Ok(0) | Err(_)) => Err("has a port that is none: 1 to 65535".to_owned()),
        Some(Ok(_)) | None => Ok(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_taken_apart() {
        let address = ServerAddress::parse("http://127.0.0.1:8000/v1/").unwrap();
        assert_eq!(address.root, "http://127.0.0.1:8000");
        assert_eq!((address.path.as_str(), address.host.as_str()), ("/v1", "127.0.0.1"));
        assert!(!address.is_https && address.is_loopback());
        let bare = ServerAddress::parse("https://api.example.org").unwrap();
        assert_eq!(
            (bare.path.as_str(), bare.is_https, bare.is_loopback()),
            ("", true, false)
        );
    }

    #[test]
    fn only_what_can_only_mean_this_machine_is_loopback() {
        for (url, expected) in [
            ("http://localhost:1/v1", true),
            ("http://LOCALHOST/v1", true),
            ("http://127.8.9.1:1/v1", true),
            ("http://[::1]:1/v1", true),
            ("http://[::2]:1/v1", false),
            ("http://0.0.0.0:1/v1", false),
            ("http://localhost.example.org:1/v1", false),
            ("http://127.0.0.1.example.org:1/v1", false),
            ("http://10.0.0.1:1/v1", false),
        ] {
            assert_eq!(ServerAddress::parse(url).unwrap().is_loopback(), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (url, words) in [
            ("127.0.0.1:8000/v1", "neither http"),
            ("file:///etc/passwd", "neither http"),
            ("http://me:secret@host/v1", "password"),
            ("http://host/v1?key=1", "query"),
            ("http://:8000/v1", "no machine"),
            ("http://host:99999/v1", "port"),
            ("http://host:/v1", "port"),
            ("http://[::1/v1", "bracket"),
            ("http://[host]/v1", "IPv6"),
            ("http://ho st/v1", "space"),
            ("http://ho\r\nst/v1", "control"),
        ] {
            let why = ServerAddress::parse(url).unwrap_err();
            assert!(why.contains(words), "{url}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_it_takes_it_takes_again(text in "(http://|https://)?[\\PC]{0,40}") {
            if let Ok(address) = ServerAddress::parse(&text) {
                let again = ServerAddress::parse(&format!("{}{}", address.root, address.path)).unwrap();
                prop_assert_eq!(again, address);
            }
        }
    }
}
