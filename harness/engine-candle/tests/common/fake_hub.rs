//! A hub on this machine: the part of its API that a download uses, and the ways in which it goes wrong.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// The one commit every repository of this hub has.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A file of the hub's repositories.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) body: Vec<u8>,
    /// The checksum the hub states, for a file in LFS: such a file is answered with a redirection.
    pub(crate) sha256: Option<String>,
}

impl Served {
    /// A file in git.
    pub(crate) fn small(name: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            body: body.into(),
            sha256: None,
        }
    }

    /// A file in LFS, with the checksum the hub states.
    pub(crate) fn large(name: &str, body: impl Into<Vec<u8>>, sha256: &str) -> Self {
        Self {
            sha256: Some(sha256.to_owned()),
            ..Self::small(name, body)
        }
    }

    fn etag(&self) -> String {
        // Any hash will do that differs from file to file and has the length of git's.
        let hash = self
            .name
            .bytes()
            .fold(7_u64, |hash, byte| hash * 31 % 0xffff_ffff + u64::from(byte));
        self.sha256.clone().unwrap_or_else(|| format!("{hash:040x}"))
    }
}

/// What is wrong with the hub or the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Connections break after so many bytes of a large file, so many times. `silently`: nobody said how many would come.
    Cut { bytes: usize, times: usize, silently: bool },
    /// Large files are sent from their begin, whatever was asked for.
    WholeAnyway,
    /// Everything is answered with this status and the hub's word for the reason.
    Refuse(u16, &'static str),
    /// Only who has this token gets anything.
    Token(&'static str),
    /// Every file is listed with this size.
    ListedSize(u64),
    /// Only names are listed, as mirrors do.
    NamesOnly,
}

/// A request, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) authorization: Option<String>,
}

/// The hub.
#[derive(Clone)]
pub(crate) struct FakeHub {
    /// For `HF_ENDPOINT`.
    pub(crate) address: String,
    files: Arc<Vec<Served>>,
    faults: Arc<Mutex<Vec<Fault>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeHub {
    /// Starts one that serves until the test ends.
    pub(crate) fn start(files: Vec<Served>, faults: Vec<Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            files: Arc::new(files),
            faults: Arc::new(Mutex::new(faults)),
            asked: Arc::default(),
        };
        let server = hub.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is its own affair.
                drop(server.serve(stream));
            }
        });
        hub
    }

    /// Everything that was asked for so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ranges in which the content of large files was asked for, without the question how long it is.
    pub(crate) fn ranges(&self) -> Vec<String> {
        let content = self.asked().into_iter().filter(|asked| asked.path.starts_with("/cdn/"));
        content
            .filter_map(|asked| asked.range)
            .filter(|range| range != "bytes=0-0")
            .collect()
    }

    fn fault<T>(&self, pick: impl Fn(&mut Fault) -> Option<T>) -> Option<T> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter_mut().find_map(pick)
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? <= 2 {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            lines.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let path = lines
            .first()
            .and_then(|line| line.split(' ').nth(1))
            .unwrap_or_default();
        let asked = Asked {
            path: path.to_owned(),
            range: header("range"),
            authorization: header("authorization"),
        };
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(asked.clone());
        let answer = self.answer(&asked);
        stream.write_all(&answer)
    }

    fn answer(&self, asked: &Asked) -> Vec<u8> {
        let refusal = self.fault(|fault| match fault {
            Fault::Refuse(status, code) => Some((*status, *code)),
            Fault::Token(token) if asked.authorization != Some(format!("Bearer {token}")) => Some((401, "GatedRepo")),
            _ => None,
        });
        if let Some((status, code)) = refusal {
            return reply(&format!("{status} No"), &format!("x-error-code: {code}\r\n"), b"");
        }
        if let Some(rest) = asked.path.strip_prefix("/api/models/") {
            return match rest.starts_with("owner/tiny/revision/") {
                true => reply("200 OK", "", &self.listing()),
                false => reply("404 Not Found", "x-error-code: RepoNotFound\r\n", b""),
            };
        }
        let known = |file: &&Served| {
            asked.path == format!("/owner/tiny/resolve/{COMMIT}/{}", file.name)
                || asked.path == format!("/cdn/{}", file.etag())
        };
        let Some(file) = self.files.iter().find(known) else {
            return reply("404 Not Found", "x-error-code: EntryNotFound\r\n", b"");
        };
        if file.sha256.is_some() && !asked.path.starts_with("/cdn/") {
            let headers = format!(
                "location: {}/cdn/{}\r\nx-linked-etag: \"{}\"\r\nx-repo-commit: {COMMIT}\r\n",
                self.address,
                file.etag(),
                file.etag()
            );
            return reply("302 Found", &headers, b"");
        }
        self.content(file, asked)
    }

    fn listing(&self) -> Vec<u8> {
        let names_only = self.fault(|fault| (*fault == Fault::NamesOnly).then_some(()));
        let size = self.fault(|fault| match fault {
            Fault::ListedSize(size) => Some(*size),
            _ => None,
        });
        let siblings = self.files.iter().map(|file| match (names_only, &file.sha256) {
            (Some(()), _) => serde_json::json!({"rfilename": file.name}),
            (None, sha256) => serde_json::json!({
                "rfilename": file.name,
                "size": size.unwrap_or(file.body.len() as u64),
                "blobId": format!("{:040x}", 5),
                "lfs": sha256.as_ref().map(|sha256| serde_json::json!({"sha256": sha256, "pointerSize": 134})),
            }),
        });
        let siblings: Vec<_> = siblings.collect();
        serde_json::json!({"siblings": siblings, "sha": COMMIT})
            .to_string()
            .into_bytes()
    }

    fn content(&self, file: &Served, asked: &Asked) -> Vec<u8> {
        let etag = format!("etag: \"{}\"\r\nx-repo-commit: {COMMIT}\r\n", file.etag());
        let len = file.body.len();
        let range = asked.range.as_deref().and_then(|range| range.strip_prefix("bytes="));
        if range == Some("0-0") {
            let headers = format!("{etag}content-range: bytes 0-0/{len}\r\n");
            return reply("206 Partial Content", &headers, file.body.get(..1).unwrap_or_default());
        }
        let is_large = file.sha256.is_some();
        let whole = self.fault(|fault| (*fault == Fault::WholeAnyway).then_some(()));
        let start = match range.and_then(|range| range.trim_end_matches('-').parse().ok()) {
            Some(start) if !(is_large && whole.is_some()) => start,
            _ => 0_usize,
        };
        let Some(rest) = file.body.get(start..).filter(|rest| !rest.is_empty()) else {
            return reply("416 Range Not Satisfiable", "", b"");
        };
        let cut = self.fault(|fault| match fault {
            Fault::Cut { bytes, times, silently } if is_large && *times > 0 => {
                *times -= 1;
                Some((*bytes, *silently))
            }
            _ => None,
        });
        let headers = format!("{etag}content-range: bytes {start}-{}/{len}\r\n", len - 1);
        let Some((bytes, silently)) = cut else {
            return reply("206 Partial Content", &headers, rest);
        };
        let promise = match silently {
            true => String::new(),
            false => format!("content-length: {}\r\n", rest.len()),
        };
        let mut answer =
            format!("HTTP/1.1 206 Partial Content\r\n{promise}connection: close\r\n{headers}\r\n").into_bytes();
        answer.extend(rest.iter().take(bytes));
        answer
    }
}

fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}
