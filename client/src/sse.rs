//! Server-sent events, as the HTML standard describes them, from a body that comes in pieces.

use std::mem::take;

/// An event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its name; empty where the server gave none.
    pub(crate) name: String,
    /// Its lines, with LF between them.
    pub(crate) data: String,
}

/// What is left of a line or an event until the rest of it comes. Ids are not kept: the revision is in the event too.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    message: Message,
    has_data: bool,
    /// The last piece ended in CR, so a LF at the start of the next one belongs to it.
    after_cr: bool,
}

impl Parser {
    /// The events that are complete with this piece.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> Vec<Message> {
        let mut complete = Vec::new();
        if take(&mut self.after_cr) && piece.first() == Some(&b'\n') {
            piece = &piece[1..];
        }
        while let Some(end) = piece.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            self.line.extend_from_slice(&piece[..end]);
            let line = take(&mut self.line);
            complete.extend(self.take_line(&String::from_utf8_lossy(&line)));
            let cr = piece[end] == b'\r';
            piece = &piece[end + 1..];
            if cr {
                match piece.first() {
                    Some(b'\n') => piece = &piece[1..],
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
        }
        self.line.extend_from_slice(piece);
        complete
    }

    fn take_line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = take(&mut self.message);
            return take(&mut self.has_data).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.name),
            "data" => {
                if self.has_data {
                    self.message.data.push('\n');
                }
                self.has_data = true;
                self.message.data.push_str(value);
            }
            // A comment has an empty field; ids and retry times are not wanted.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, data: &str) -> Message {
        Message { name: name.into(), data: data.into() }
    }

    #[test]
    fn however_it_is_cut() {
        let text = "\u{feff}: hello\r\n\r\nevent: change\r\nid: 7\r\ndata: {\"a\":\r\ndata:\"ü\"}\r\n\r\n: beat\n\n\
                    data\n\nevent:nothing\n\ndata: x: y\rdata:  z\r\revent: change\ndata: cut";
        let wanted = [message("change", "{\"a\":\n\"ü\"}"), message("", ""), message("", "x: y\n z")];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let got: Vec<_> = text.as_bytes().chunks(size).flat_map(|piece| parser.feed(piece)).collect();
            assert_eq!(got, wanted, "in pieces of {size}");
            assert_eq!(parser.feed(b"\n\n"), [message("change", "cut")]);
        }
    }
}
