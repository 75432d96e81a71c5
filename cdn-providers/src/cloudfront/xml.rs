//! XML of CloudFront and S3: elements with texts, without attributes or namespaces.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// Deepest nesting of an answer.
const MAX_DEPTH: usize = 32;

/// Element of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    /// Text between its tags, but for that of its children.
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a document; `None` if it is not well-formed or nests too deeply.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::from_str(std::str::from_utf8(bytes).ok()?);
        // The root stands for the document.
        let mut open = vec![Self::default()];
        loop {
            let top = open.last_mut()?;
            match reader.read_event().ok()? {
                Event::Start(tag) => {
                    let name = tag.local_name().into_inner().to_owned();
                    if open.len() > MAX_DEPTH {
                        return None;
                    }
                    open.push(Self { name, ..Self::default() });
                }
                Event::Empty(tag) => {
                    let name = tag.local_name().into_inner().to_owned();
                    top.children.push(Self { name, ..Self::default() });
                }
                Event::End(_) => {
                    let closed = open.pop()?;
                    open.last_mut()?.children.push(closed);
                }
                Event::Text(text) => top.text.push_str(&text),
                Event::CData(text) => top.text.push_str(&text),
                Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                    Some(character) => top.text.push(character),
                    None => top.text.push_str(resolve_predefined_entity(&reference)?),
                },
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        let document = open.pop()?;
        if open.is_empty() { document.children.into_iter().next() } else { None }
    }

    /// First child with a name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Children with a name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Text of the element below a path of names; empty if there is none.
    pub(super) fn text(&self, path: &[&str]) -> &str {
        let found = path.iter().try_fold(self, |element, name| element.child(name));
        found.map_or("", |element| element.text.trim())
    }

    /// Its own text.
    pub(super) fn own_text(&self) -> &str {
        self.text.trim()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_their_texts_are_read() {
        let document =
            b"<?xml version=\"1.0\"?>\n<A xmlns=\"http://x/\"><B> 1&amp;2&#x4e2d;<![CDATA[<3>]]> </B>\
                         <C/><B>4</B><D><E>5</E></D></A>";
        let root = Element::parse(document).unwrap();
        assert_eq!(root.name, "A");
        assert_eq!(root.text(&["B"]), "1&2中<3>");
        assert_eq!(root.all("B").map(Element::own_text).collect::<Vec<_>>(), ["1&2中<3>", "4"]);
        assert_eq!((root.text(&["D", "E"]), root.text(&["C"]), root.text(&["F", "G"])), ("5", "", ""));
    }

    #[test]
    fn what_is_not_well_formed_is_not_read() {
        let deep = "<a>".repeat(100) + &"</a>".repeat(100);
        for document in ["", "no", "<a>", "<a></b>", "<a>&unknown;</a>", "{}", deep.as_str()] {
            assert_eq!(Element::parse(document.as_bytes()), None, "{document}");
        }
        assert_eq!(Element::parse(b"<a>\xff</a>"), None);
    }
}
