//! Requests to a server.
//!
//! Each request opens a connection of its own, as clients that come one by one do: the time to a first token has the
//! connection in it, and no request fails because a server closed an idle connection. Redirects are not followed: what is
//! sent, the key too, goes where the scenario says, or nowhere. A stream is read without a limit of time: how long is too
//! long is the supervisor's decision.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

use placebench_core::record::ServerAddress;
use serde_json::Value;
use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, BodyReader, Error, Proxy};

use crate::words::quoted;

/// Bytes of an answer that is no stream.
const MOST_BODY: u64 = 1 << 20;

/// Somebody to ask.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    key: Option<Arc<str>>,
    address: ServerAddress,
}

/// The head of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Without its parameters, in lower case.
    pub(crate) content_type: String,
    /// What answers, in its own words.
    pub(crate) server: String,
    /// Where a redirect leads.
    pub(crate) location: String,
    /// How the body is packed, where it is; this client asks for no packing.
    pub(crate) encoding: String,
    /// When to ask again, in the server's words.
    pub(crate) retry_after: String,
}

impl Head {
    /// Whether the body is compressed.
    pub(crate) fn is_packed(&self) -> bool {
        !matches!(self.encoding.trim(), "" | "identity")
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The document of an answer that went well.
    pub(crate) fn json(&self) -> Option<Value> {
        (self.head.status == 200)
            .then(|| serde_json::from_slice(&self.body).ok())
            .flatten()
    }

    /// What a person is told of it.
    pub(crate) fn words(&self) -> String {
        let Head { status, location, .. } = &self.head;
        match status {
            300..=399 if !location.is_empty() => format!(
                "status {status}, a redirect to {}, which is not followed: write the address that it leads to",
                quoted(location.as_bytes())
            ),
            401 | 403 => format!(
                "status {status}: it wants another key (api_key_env of [server] names the variable that holds it); it said {}",
                quoted(&self.body)
            ),
            429 | 503 if !self.head.retry_after.is_empty() => format!(
                "status {status} (it can be asked again after {}: Retry-After) and {}",
                quoted(self.head.retry_after.as_bytes()),
                quoted(&self.body)
            ),
            _ => format!("status {status} and {}", quoted(&self.body)),
        }
    }
}

impl Client {
    /// A client for the server at that address.
    ///
    /// # Errors
    /// When the file of certificates in `SSL_CERT_FILE` cannot be used.
    pub(crate) fn new(address: ServerAddress, key: Option<&str>) -> Result<Self, String> {
        let proxy = if address.is_loopback() {
            None
        } else {
            Proxy::try_from_env()
        };
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .proxy(proxy)
            .user_agent(concat!("placebench/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|_| address.is_https) {
            let certificates = certificates(&file).map_err(|why| format!("SSL_CERT_FILE cannot be used: {why}"))?;
            config = config.tls_config(TlsConfig::builder().root_certs(certificates).build());
        }
        Ok(Self {
            agent: config.build().new_agent(),
            key: key.map(|key| format!("Bearer {key}").into()),
            address,
        })
    }

    /// What is asked.
    pub(crate) fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// `path` of the API.
    pub(crate) fn api(&self, path: &str) -> String {
        format!("{}{}{path}", self.address.root, self.address.path)
    }

    /// `path` of the server itself, outside of the API.
    pub(crate) fn root(&self, path: &str) -> String {
        format!("{}{path}", self.address.root)
    }

    /// Asks for a document.
    pub(crate) fn get(&self, url: &str, limit: Option<Duration>) -> Result<Answer, String> {
        let mut request = self.agent.get(url).config().timeout_global(limit).build();
        if let Some(key) = &self.key {
            request = request.header("Authorization", &**key);
        }
        let response = request.call().map_err(|error| self.why(&error))?;
        self.answer(response)
    }

    /// Sends a document, and returns the head of what comes back, and the rest to be read.
    pub(crate) fn post(&self, url: &str, body: &[u8]) -> Result<(Head, BodyReader<'static>), String> {
        let mut request = self
            .agent
            .post(url)
            .header("Content-Type", "application/json")
            .header("Accept", "text/event-stream");
        if let Some(key) = &self.key {
            request = request.header("Authorization", &**key);
        }
        let response = request.send(body).map_err(|error| self.why(&error))?;
        Ok((head(&response), response.into_body().into_reader()))
    }

    fn answer(&self, response: Response<Body>) -> Result<Answer, String> {
        let head = head(&response);
        let body = rest(response.into_body().into_reader()).map_err(|error| self.broken(&error))?;
        Ok(Answer { head, body })
    }

    /// Why no answer came.
    fn why(&self, error: &Error) -> String {
        let root = &self.address.root;
        match error {
            Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => format!("nobody listens at {root}"),
            Error::Io(error) => self.broken(error),
            Error::HostNotFound => format!("there is no machine {}", self.address.host),
            Error::Timeout(_) => format!("{root} did not answer in time"),
            Error::Protocol(error) => format!("{root} does not speak HTTP: {error}"),
            error => format!("{root} could not be asked: {error}"),
        }
    }

    /// Why no more came.
    pub(crate) fn broken(&self, error: &std::io::Error) -> String {
        let root = &self.address.root;
        match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                format!("{root} closed the connection before its answer was whole")
            }
            _ if error.to_string().contains("invalid peer certificate") => format!(
                "the certificate of {root} is not trusted ({error}): name a file with the certificates to trust in SSL_CERT_FILE"
            ),
            _ => format!("the connection to {root} broke: {error}"),
        }
    }
}

/// What is left of an answer that is no stream, up to a limit.
pub(crate) fn rest(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    reader.take(MOST_BODY).read_to_end(&mut body)?;
    Ok(body)
}

fn head(response: &Response<Body>) -> Head {
    let text = |name: &str| {
        let value = response.headers().get(name);
        value.map_or_else(String::new, |value| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        })
    };
    let content_type = text("content-type");
    let kind = content_type.split(';').next().unwrap_or_default();
    Head {
        status: response.status().as_u16(),
        content_type: kind.trim().to_ascii_lowercase(),
        server: text("server"),
        location: text("location"),
        encoding: text("content-encoding"),
        retry_after: text("retry-after"),
    }
}

/// The certificates of a file that are trusted instead of those that come with this program.
fn certificates(file: &std::ffi::OsStr) -> Result<RootCerts, String> {
    let text = std::fs::read(file).map_err(|error| error.to_string())?;
    let mut trusted = Vec::new();
    for item in parse_pem(&text) {
        match item {
            Ok(PemItem::Certificate(certificate)) => trusted.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    if trusted.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(RootCerts::new_with_certs(&trusted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "nothing").unwrap();
        assert_eq!(
            certificates(file.path().as_os_str()).unwrap_err(),
            "it holds no certificate"
        );
        assert!(certificates(std::ffi::OsStr::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn a_certificate_that_is_not_trusted_has_a_way_out() {
        let address = ServerAddress {
            root: "https://a".to_owned(),
            host: "a".to_owned(),
            path: String::new(),
            is_https: true,
        };
        let client = Client::new(address, None).unwrap();
        let words = |error: &str| client.broken(&std::io::Error::other(error.to_owned()));
        assert!(words("invalid peer certificate: UnknownIssuer").contains("SSL_CERT_FILE"));
        assert_eq!(words("odd"), "the connection to https://a broke: odd");
    }

    #[test]
    fn an_answer_says_what_to_do() {
        let answer = |status, location: &str| Answer {
            head: Head {
                status,
                location: location.to_owned(),
                ..Head::default()
            },
            body: b"<h1>no</h1>".to_vec(),
        };
        assert!(answer(401, "").words().contains("api_key_env"));
        assert!(
            answer(302, "http://b/")
                .words()
                .contains("redirect to `http://b/`, which is not followed")
        );
        let mut packed = answer(200, "").head;
        assert!(!packed.is_packed());
        packed.encoding = "gzip".to_owned();
        assert!(packed.is_packed());
        let mut busy = answer(429, "");
        busy.head.retry_after = "7".to_owned();
        assert!(busy.words().contains("after `7`"), "{}", busy.words());
        assert_eq!(answer(500, "").words(), "status 500 and `<h1>no</h1>`");
        assert_eq!(answer(200, "").json(), None);
    }
}
