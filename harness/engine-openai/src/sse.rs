//! Server-sent events, as far as these servers use them: the `data` of each event, however its bytes are cut.
//!
//! Source of the rules: WHATWG HTML, "Server-sent events", section 9.2.6 (interpreting an event stream).

/// Bytes of one event or line. A token with five candidates takes about one kilobyte.
pub(crate) const MOST_BYTES: usize = 1 << 20;

/// A line or an event is longer than any server has reason to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Turns bytes into events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// A line ended with a carriage return: a newline that follows it is part of the same end.
    after_return: bool,
    /// The first line is behind us: before it a byte order mark may stand.
    begun: bool,
}

impl Parser {
    /// Takes the next bytes, and appends the data of each event that they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], events: &mut Vec<Vec<u8>>) -> Result<(), TooLong> {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
            if self.line.len() + part.len() > MOST_BYTES {
                return Err(TooLong);
            }
            self.line.extend_from_slice(part);
            rest = after;
            if let Some((ending, after)) = rest.split_first() {
                self.after_return = *ending == b'\r';
                rest = after;
                self.end_line(events)?;
            }
        }
        Ok(())
    }

    /// What an event would hold whose end did not come. The standard throws it away.
    pub(crate) fn unfinished(mut self) -> Option<Vec<u8>> {
        let mut events = Vec::new();
        self.end_line(&mut events).ok()?;
        events.pop().or_else(|| self.has_data.then_some(self.data))
    }

    fn end_line(&mut self, events: &mut Vec<Vec<u8>>) -> Result<(), TooLong> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                events.push(std::mem::take(&mut self.data));
            }
            return Ok(());
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(at) => {
                let value = line.get(at + 1..).unwrap_or_default();
                (
                    line.get(..at).unwrap_or_default(),
                    value.strip_prefix(b" ").unwrap_or(value),
                )
            }
            None => (line, [].as_slice()),
        };
        // Comments have no name; names of events and times to wait are of no use here.
        if field != b"data" {
            return Ok(());
        }
        if self.data.len() + value.len() + 1 > MOST_BYTES {
            return Err(TooLong);
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        Parser::default().feed(bytes, &mut events).unwrap();
        texts(events)
    }

    fn texts(events: Vec<Vec<u8>>) -> Vec<String> {
        events
            .into_iter()
            .map(|event| String::from_utf8(event).unwrap())
            .collect()
    }

    #[test]
    fn events_are_their_data() {
        assert_eq!(parsed(b"data: {\"a\":1}\n\ndata:[DONE]\n\n"), ["{\"a\":1}", "[DONE]"]);
        assert_eq!(
            parsed(b": ping\n\nid: 7\nevent: x\nretry: 1\n\ndata: a\r\ndata: b\r\n\r\n"),
            ["a\nb"]
        );
        assert_eq!(parsed(b"\xef\xbb\xbfdata: a\r\rdata: b\n\n"), ["a", "b"]);
        assert_eq!(parsed(b"data\n\ndata: \n\ndata:  two\n\n"), ["", "", " two"]);
        assert_eq!(parsed(b"database: no\n\ndata: half\n"), Vec::<String>::new());
    }

    #[test]
    fn what_has_no_end_is_told_apart() {
        let unfinished = |bytes: &[u8]| {
            let mut parser = Parser::default();
            parser.feed(bytes, &mut Vec::new()).unwrap();
            parser.unfinished().map(|event| String::from_utf8(event).unwrap())
        };
        assert_eq!(unfinished(b"data: a\n\n"), None);
        assert_eq!(unfinished(b"data: [DONE]\n").as_deref(), Some("[DONE]"));
        assert_eq!(unfinished(b"data: [DONE]").as_deref(), Some("[DONE]"));
        assert_eq!(unfinished(b": comment"), None);
    }

    #[test]
    fn nothing_grows_without_end() {
        let mut parser = Parser::default();
        let block = vec![b'x'; 1 << 16];
        let fed = (0..32).find_map(|_| parser.feed(&block, &mut Vec::new()).err());
        assert_eq!(fed, Some(TooLong));
        let mut parser = Parser::default();
        let mut line = vec![b'x'; 1 << 16];
        line.splice(..0, *b"data:");
        line.push(b'\n');
        let fed = (0..32).find_map(|_| parser.feed(&line, &mut Vec::new()).err());
        assert_eq!(fed, Some(TooLong));
        // Comments are not kept, so they may go on for ever.
        let mut parser = Parser::default();
        for _ in 0..64 {
            parser
                .feed(&[b":", block.as_slice(), b"\n\n"].concat(), &mut Vec::new())
                .unwrap();
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_are_cut(
            lines in prop::collection::vec(("(data|data:|data: |: |event: )?[a-zé\\PC]{0,6}", 0..3_usize), 0..12),
            cuts in prop::collection::vec(1..5_usize, 1..60),
        ) {
            let mut bytes = Vec::new();
            for (line, ending) in &lines {
                bytes.extend_from_slice(line.as_bytes());
                bytes.extend_from_slice([b"\n".as_slice(), b"\r\n", b"\n\n"][*ending]);
            }
            let mut events = Vec::new();
            let mut parser = Parser::default();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, after) = rest.split_at((*cut).min(rest.len()));
                parser.feed(part, &mut events).unwrap();
                rest = after;
            }
            let mut whole = Vec::new();
            Parser::default().feed(&bytes, &mut whole).unwrap();
            prop_assert_eq!(events, whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut parser = Parser::default();
            parser.feed(&bytes, &mut Vec::new()).unwrap();
            parser.unfinished();
        }

        #[test]
        fn what_is_sent_arrives(texts in prop::collection::vec("[^\r\n]{0,20}", 0..6)) {
            let sent: String = texts.iter().map(|text| format!("data: {text}\n\n")).collect();
            prop_assert_eq!(parsed(sent.as_bytes()), texts);
        }
    }
}
