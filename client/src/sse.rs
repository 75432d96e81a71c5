//! Incremental parser of server-sent events (`text/event-stream` of the HTML standard).

use std::mem::take;

/// One dispatched event of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Value of the `event` field; empty for an event without one.
    pub(crate) event: String,
    /// Values of the `data` fields, joined with LF.
    pub(crate) data: String,
}

/// Incremental parser: keeps an incomplete line or event between two chunks. Event ids are ignored, because a change
/// event carries its revision in the data as well.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    message: Message,
    has_data: bool,
    /// Whether the last chunk ended in CR, so that LF at the start of the next one belongs to the same line end.
    after_cr: bool,
}

impl Parser {
    /// Parses a chunk of the body and returns the events that it completes.
    pub(crate) fn feed(&mut self, mut chunk: &[u8]) -> Vec<Message> {
        let mut complete = Vec::new();
        if take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
            chunk = &chunk[1..];
        }
        while let Some(end) = chunk.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            self.line.extend_from_slice(&chunk[..end]);
            let line = take(&mut self.line);
            complete.extend(self.parse_line(&String::from_utf8_lossy(&line)));
            let cr = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
            if cr {
                match chunk.first() {
                    Some(b'\n') => chunk = &chunk[1..],
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
        }
        self.line.extend_from_slice(chunk);
        complete
    }

    fn parse_line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = take(&mut self.message);
            return take(&mut self.has_data).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.event),
            "data" => {
                if self.has_data {
                    self.message.data.push('\n');
                }
                self.has_data = true;
                self.message.data.push_str(value);
            }
            // A comment has an empty field name; `id` and `retry` are not used.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event: &str, data: &str) -> Message {
        Message { event: event.into(), data: data.into() }
    }

    #[test]
    fn events_are_parsed_in_chunks_of_any_size() {
        let text = "\u{feff}: hello\r\n\r\nevent: change\r\nid: 7\r\ndata: {\"a\":\r\ndata:\"ü\"}\r\n\r\n: beat\n\n\
                    data\n\nevent:nothing\n\ndata: x: y\rdata:  z\r\revent: change\ndata: cut";
        let expected = [message("change", "{\"a\":\n\"ü\"}"), message("", ""), message("", "x: y\n z")];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let parsed: Vec<_> = text.as_bytes().chunks(size).flat_map(|chunk| parser.feed(chunk)).collect();
            assert_eq!(parsed, expected, "chunks of {size} bytes");
            assert_eq!(parser.feed(b"\n\n"), [message("change", "cut")]);
        }
    }
}
