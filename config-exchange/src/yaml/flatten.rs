//! Flattening of a YAML tree.

use std::collections::HashSet;

use super::comment::Comments;
use super::scalar::Scalar;
use super::tree::{Content, Documents, Member, Node, NodeId};
use crate::document::{Collector, Entry};
use crate::failure::{Failure, Result};
use crate::flatten::{DOCUMENT, element, is_too_long, member};
use crate::limits::MAX_DEPTH;

/// The most nodes that are looked at, with those that aliases stand for as often as they stand for them.
const MAX_NODES: usize = 1_000_000;

/// Adds what a document says to a collector.
pub(super) struct Flattener<'d, 'f> {
    pub(super) documents: &'d Documents,
    pub(super) comments: Comments<'d>,
    pub(super) collector: Collector<'f>,
    nodes: usize,
}

/// A member of a map by the text of its key.
struct NamedMember {
    name: String,
    member: Member,
}

impl<'d, 'f> Flattener<'d, 'f> {
    pub(super) fn new(documents: &'d Documents, comments: Comments<'d>, collector: Collector<'f>) -> Self {
        Self { documents, comments, collector, nodes: 0 }
    }

    /// Adds the entries of a document, from its root on.
    pub(super) fn document(&mut self, root: NodeId) -> Result<()> {
        let node = self.documents.node(root);
        match &node.content {
            // A document that says nothing.
            Content::Scalar { value: Scalar::Null, .. } => Ok(()),
            Content::Scalar { .. } => self.value(DOCUMENT, root, None, 1),
            _ => self.value("", root, None, 1),
        }
    }

    /// Adds the entries of the node at `path`; `key` is that of the map it stands in.
    fn value(&mut self, path: &str, id: NodeId, key: Option<NodeId>, depth: usize) -> Result<()> {
        let documents = self.documents;
        let node = documents.node(id);
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.failure(node, format!("holds more than {MAX_NODES} values with its aliases")));
        }
        if depth > MAX_DEPTH {
            return Err(self.failure(node, format!("is nested more than {MAX_DEPTH} deep")));
        }
        if is_too_long(path) {
            return Err(self.failure(node, "makes a key that is longer than 4096 bytes"));
        }
        match &node.content {
            Content::Scalar { value, .. } => {
                let value = match value {
                    Scalar::Text(text) | Scalar::Other(text) => text.clone(),
                    Scalar::Null => String::new(),
                };
                self.leaf(path, node, key, value)
            }
            Content::List(elements) if elements.is_empty() => self.leaf(path, node, key, String::new()),
            Content::List(elements) => elements
                .iter()
                .enumerate()
                .try_for_each(|(index, id)| self.value(&element(path, index), *id, None, depth + 1)),
            Content::Map(members) if members.is_empty() && path.is_empty() => Ok(()),
            Content::Map(members) if members.is_empty() => {
                let place = self.collector.at(node.line);
                self.collector.dropped.at(&place, format!("the empty map {path}"));
                Ok(())
            }
            Content::Map(members) => {
                for NamedMember { name, member: one } in self.members(node, members, depth)? {
                    self.value(&member(path, &name), one.value, Some(one.key), depth + 1)?;
                }
                Ok(())
            }
        }
    }

    fn leaf(&mut self, path: &str, node: &Node, key: Option<NodeId>, value: String) -> Result<()> {
        let described = key.map(|key| self.documents.node(key));
        let description = described.map(|key| self.comments.above(key.line, key.column)).unwrap_or_default();
        let line = described.map_or(node.line, |key| key.line);
        self.collector.add(line, Entry { key: path.to_owned(), value, description })
    }

    /// The members of a map, with those that it merges and has not itself before its own.
    fn members(&mut self, node: &Node, members: &[Member], depth: usize) -> Result<Vec<NamedMember>> {
        if depth > MAX_DEPTH {
            return Err(self.failure(node, format!("is nested more than {MAX_DEPTH} deep")));
        }
        let (mut own, mut merged) = (Vec::new(), Vec::new());
        let mut names = HashSet::new();
        for &member in members {
            self.nodes += 1;
            let key = self.documents.node(member.key);
            if matches!(key.content, Content::Scalar { is_merge: true, .. }) {
                merged.push(member.value);
                continue;
            }
            let name = self.name(key)?;
            if !names.insert(name.clone()) {
                return Err(self.failure(key, format!("the key {name} is there twice")));
            }
            own.push(NamedMember { name, member });
        }
        let mut all = Vec::new();
        for id in merged {
            for source in self.sources(id)? {
                let source_node = self.documents.node(source);
                let Content::Map(members) = &source_node.content else {
                    return Err(self.failure(source_node, "only maps can be merged by <<"));
                };
                let inherited = self.members(source_node, members, depth + 1)?;
                all.extend(inherited.into_iter().filter(|member| names.insert(member.name.clone())));
            }
            if self.nodes > MAX_NODES {
                return Err(
                    self.failure(node, format!("holds more than {MAX_NODES} values with its aliases"))
                );
            }
        }
        all.extend(own);
        Ok(all)
    }

    /// Maps that a merge key names: one, or a list of them.
    fn sources(&self, id: NodeId) -> Result<Vec<NodeId>> {
        let node = self.documents.node(id);
        match &node.content {
            Content::Map(_) => Ok(vec![id]),
            Content::List(elements) => Ok(elements.clone()),
            Content::Scalar { .. } => Err(self.failure(node, "only maps can be merged by <<")),
        }
    }

    /// Text of a key; of one that is no text, within brackets.
    fn name(&self, key: &Node) -> Result<String> {
        match &key.content {
            Content::Scalar { value: Scalar::Text(text), .. } => Ok(text.clone()),
            Content::Scalar { value: Scalar::Other(text), .. } => Ok(format!("[{text}]")),
            Content::Scalar { value: Scalar::Null, .. } => Err(self.failure(key, "a key must not be null")),
            _ => Err(self.failure(key, "a key must not be a list or a map")),
        }
    }

    fn failure(&self, node: &Node, reason: impl Into<String>) -> Failure {
        self.collector.at(node.line).failure(reason)
    }
}
