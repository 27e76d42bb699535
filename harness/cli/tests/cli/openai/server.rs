//! Servers for tests: as much HTTP as a client of that API needs, and whatever misbehaviour a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// What came in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `GET /v1/models`.
    pub(crate) line: String,
    /// Lines of the head, lower case.
    pub(crate) head: Vec<String>,
    pub(crate) body: Value,
}

/// What a server does with a request to generate.
pub(crate) type Behaviour = dyn Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// A server in this process; it goes with it.
pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// A server that behaves like that when it is asked to generate, and lists one model.
    pub(crate) fn start(
        behave: impl Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::with_models(
            &json!({"data": [{"id": "m", "owned_by": "somebody"}]}).to_string(),
            behave,
        )
    }

    /// The same with another answer to the question for models.
    pub(crate) fn with_models(
        models: &str,
        behave: impl Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (noted, models) = (Arc::clone(&seen), models.to_owned());
        std::thread::spawn(move || serve(&listener, &models, &noted, Arc::new(behave)));
        Self { port, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// Requests so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Documents of the requests to generate.
    pub(crate) fn orders(&self) -> Vec<Value> {
        let posts = self
            .seen()
            .into_iter()
            .filter(|request| request.line.starts_with("POST"));
        posts.map(|request| request.body).collect()
    }
}

/// Answers until the process ends.
pub(crate) fn serve(listener: &TcpListener, models: &str, seen: &Arc<Mutex<Vec<Request>>>, behave: Arc<Behaviour>) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let (models, behave, seen) = (models.to_owned(), Arc::clone(&behave), Arc::clone(seen));
        std::thread::spawn(move || {
            let Some(request) = read(&stream) else { return };
            seen.lock().unwrap().push(request.clone());
            // Clients of these tests hang up at any time.
            let _gone = match request.line.as_str() {
                "GET /v1/models" => document(&mut stream, 200, "application/json", &models),
                "GET /health" => document(&mut stream, 200, "text/plain", "ok"),
                line if line.starts_with("POST /v1/") => behave(&request, &mut stream),
                _ => document(&mut stream, 404, "text/plain", "no"),
            };
        });
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut head = Vec::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        if field.trim().is_empty() {
            break;
        }
        head.push(field.trim().to_ascii_lowercase());
    }
    let length = head.iter().find_map(|field| field.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line: line.trim().trim_end_matches(" HTTP/1.1").to_owned(),
        head,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

/// A whole answer.
pub(crate) fn document(stream: &mut TcpStream, status: u16, kind: &str, body: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The head of a stream that ends with the connection.
pub(crate) fn begin(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n")
}

/// One event.
pub(crate) fn event(stream: &mut TcpStream, data: &str) -> std::io::Result<()> {
    stream.write_all(format!("data: {data}\n\n").as_bytes())
}

/// A piece of text without anything else.
pub(crate) fn piece(text: &str) -> String {
    json!({"choices": [{"index": 0, "text": text, "finish_reason": null}]}).to_string()
}

/// A token with its number and its competitors, as llama.cpp tells it.
pub(crate) fn token(text: &str, id: u32) -> String {
    json!({"choices": [{"index": 0, "text": text, "finish_reason": null, "logprobs": {"content": [
        {"id": id, "token": text, "bytes": text.as_bytes(), "logprob": -0.25, "top_logprobs": [
            {"id": id, "token": text, "logprob": -0.25}, {"id": 99, "token": "?", "logprob": -2.25}]}]}}]})
    .to_string()
}

/// Why it ended, and how many tokens there were.
pub(crate) fn last(reason: &str, tokens: u32) -> String {
    json!({"choices": [{"index": 0, "text": "", "finish_reason": reason}],
           "usage": {"prompt_tokens": 5, "completion_tokens": tokens}})
    .to_string()
}

/// The events of a good answer of three tokens.
pub(crate) fn good() -> Vec<String> {
    vec![
        token("a", 1),
        token("é", 2),
        token("c", 3),
        last("length", 3),
        "[DONE]".to_owned(),
    ]
}

/// Sends them all.
pub(crate) fn send(stream: &mut TcpStream, events: &[String]) -> std::io::Result<()> {
    begin(stream)?;
    events.iter().try_for_each(|data| event(stream, data))
}

/// Keeps the connection open and says nothing more.
pub(crate) fn hang(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.flush()?;
    // Until the client has gone.
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    stream.read(&mut [0]).map(drop)
}
