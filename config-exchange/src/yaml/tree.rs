//! Tree of the nodes of a YAML stream. Aliases point to their nodes and are not copied out.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::scalar::Scalar;
use crate::document::Place;
use crate::failure::{Failure, Result};
use crate::limits::MAX_DEPTH;

/// Index of a node in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(usize);

/// A node, with the place where it begins.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) content: Content,
    /// Line, counted from 1.
    pub(crate) line: usize,
    /// Column, counted from 0.
    pub(crate) column: usize,
}

/// Content of a node.
#[derive(Debug)]
pub(crate) enum Content {
    Scalar {
        value: Scalar,
        /// The text as it stands there, where the value is another one.
        spelling: Option<String>,
        /// Whether it is the plain word `<<`, which as a key merges maps.
        is_merge: bool,
    },
    List(Vec<NodeId>),
    Map(Vec<Member>),
}

/// Key and value in a map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) key: NodeId,
    pub(crate) value: NodeId,
}

/// The documents of a stream.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    nodes: Vec<Node>,
    /// Root of each document that says something.
    pub(crate) roots: Vec<NodeId>,
    /// Lines of scalars, the first and the last of each.
    pub(crate) scalar_lines: Vec<(usize, usize)>,
}

impl Node {
    /// Text of a scalar as it stands there; `None` of a collection.
    pub(crate) fn text(&self) -> Option<&str> {
        let Content::Scalar { value, spelling, .. } = &self.content else { return None };
        match value {
            Scalar::Text(text) => Some(text),
            _ => spelling.as_deref(),
        }
    }
}

impl Documents {
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }
}

/// Reads the documents of a stream.
pub(crate) fn documents(file: &str, text: &str) -> Result<Documents> {
    let mut builder =
        Builder { file, documents: Documents::default(), anchors: HashMap::new(), open: Vec::new() };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let line = error.marker().line();
            Place { file, line }.failure(format!("is not YAML: {}", error.info()))
        })?;
        builder.take(event, span)?;
    }
    Ok(builder.documents)
}

struct Builder<'f> {
    file: &'f str,
    documents: Documents,
    anchors: HashMap<usize, NodeId>,
    /// Collections that have begun and not ended.
    open: Vec<Open>,
}

struct Open {
    node: NodeId,
    /// The key whose value comes next.
    key: Option<NodeId>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                let value = self.scalar(&text, is_plain, tag.as_deref(), span)?;
                let is_merge = is_plain && text == "<<";
                self.documents.scalar_lines.push((span.start.line(), span.end.line()));
                let spelling = (!matches!(value, Scalar::Text(_))).then(|| text.into_owned());
                let node = self.begin(Content::Scalar { value, spelling, is_merge }, anchor, span);
                self.place(node);
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).copied();
                let node = node.ok_or_else(|| self.failure(span, "is not YAML: an alias of nothing"))?;
                self.place(node);
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span)?;
                self.open(Content::List(Vec::new()), anchor, span)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span)?;
                self.open(Content::Map(Vec::new()), anchor, span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { node, .. }) = self.open.pop() {
                    self.place(node);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn scalar(&self, text: &str, is_plain: bool, tag: Option<&Tag>, span: Span) -> Result<Scalar> {
        match tag {
            Some(tag) if tag.is_yaml_core_schema() => {
                let read = Scalar::tagged(&tag.suffix, text);
                read.ok_or_else(|| {
                    self.failure(span, format!("is not a value of the tag {tag} that is known here"))
                })
            }
            // The tag `!` alone says that it is text.
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Ok(Scalar::Text(text.to_owned())),
            Some(tag) => Err(self.failure(span, format!("has the tag {tag}, which is not known here"))),
            None if is_plain => Ok(Scalar::plain(text)),
            None => Ok(Scalar::Text(text.to_owned())),
        }
    }

    fn check_tag(&self, tag: Option<&Tag>, known: &str, span: Span) -> Result<()> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() || tag.suffix != known => {
                Err(self.failure(span, format!("has the tag {tag}, which is not known here")))
            }
            _ => Ok(()),
        }
    }

    fn failure(&self, span: Span, reason: impl Into<String>) -> Failure {
        Place { file: self.file, line: span.start.line() }.failure(reason)
    }

    fn open(&mut self, content: Content, anchor: usize, span: Span) -> Result<()> {
        let node = self.begin(content, anchor, span);
        self.open.push(Open { node, key: None });
        if self.open.len() > MAX_DEPTH {
            return Err(self.failure(span, format!("is nested more than {MAX_DEPTH} deep")));
        }
        Ok(())
    }

    fn begin(&mut self, content: Content, anchor: usize, span: Span) -> NodeId {
        let id = NodeId(self.documents.nodes.len());
        let (line, column) = (span.start.line(), span.start.col());
        self.documents.nodes.push(Node { content, line, column });
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        id
    }

    /// Puts a whole node into the collection that is open.
    fn place(&mut self, node: NodeId) {
        let Some(open) = self.open.last_mut() else {
            self.documents.roots.push(node);
            return;
        };
        match &mut self.documents.nodes[open.node.0].content {
            Content::List(elements) => elements.push(node),
            Content::Map(members) => match open.key.take() {
                None => open.key = Some(node),
                Some(key) => members.push(Member { key, value: node }),
            },
            Content::Scalar { .. } => {}
        }
    }
}
