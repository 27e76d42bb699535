//! Streams on their way: one thread for each request, and one channel to the thread that judges what they bring.
//!
//! A stamp is taken on the thread that reads, as soon as a read returns.

use std::io::Read;
use std::sync::mpsc::Sender;
use std::time::Instant;

use crate::http::{Client, Head, rest};
use crate::sse::Parser;
use crate::words::quoted;

/// Bytes read at a time.
const BUFFER: usize = 16 * 1024;

/// News of one request.
pub(crate) struct Message {
    /// Which.
    pub(crate) sequence: usize,
    /// When it came.
    pub(crate) at: Instant,
    pub(crate) what: What,
}

/// What came.
pub(crate) enum What {
    /// The data of an event.
    Data(Vec<u8>),
    /// Something else than a stream.
    NoStream(Head, Vec<u8>),
    /// The stream is over; with what an event held that did not end.
    Ended(Option<Vec<u8>>),
    /// An event is longer than any server has reason to send.
    TooLong,
    /// The connection failed, and how.
    Broken(String),
}

/// Sends a request and passes on what comes, until it is over or nobody listens any more.
pub(crate) fn carry(client: &Client, url: &str, body: &[u8], sequence: usize, news: &Sender<Message>) {
    let tell = |what| {
        let at = Instant::now();
        news.send(Message { sequence, at, what }).is_ok()
    };
    let (head, mut reader) = match client.post(url, body) {
        Ok(answered) => answered,
        Err(why) => {
            tell(What::Broken(why));
            return;
        }
    };
    if head.is_packed() {
        let encoding = quoted(head.encoding.as_bytes());
        tell(What::Broken(format!(
            "the server, or what stands before it, packed its answer ({encoding}) where nobody asked for that"
        )));
        return;
    }
    if head.status != 200 || head.content_type != "text/event-stream" {
        // Of a body that does not come to its end, what came says enough.
        tell(What::NoStream(head, rest(&mut reader).unwrap_or_default()));
        return;
    }
    let mut parser = Parser::default();
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = match reader.read(&mut buffer) {
            Ok(0) => {
                tell(What::Ended(parser.unfinished()));
                return;
            }
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tell(What::Broken(client.broken(&error)));
                return;
            }
        };
        let mut events = Vec::new();
        let fed = parser.feed(buffer.get(..length).unwrap_or_default(), &mut events);
        if !events.into_iter().all(|data| tell(What::Data(data))) {
            return;
        }
        if fed.is_err() {
            tell(What::TooLong);
            return;
        }
    }
}
