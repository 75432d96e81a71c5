//! Paths of orders and settings: absolute, normal, compared by component.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::error::Refusal;

/// Longest path in bytes: `PATH_MAX` of Linux.
const MOST_BYTES: usize = 4096;
/// Longest component in bytes: `NAME_MAX` of Linux.
const MOST_NAME_BYTES: usize = 255;

/// Path of a file that an order names: absolute, at most 4096 bytes, without NUL and without empty, `.` or `..` components.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct TargetPath(String);

impl TargetPath {
    /// Checks a path.
    pub fn new(path: impl Into<String>) -> Result<Self, Refusal> {
        let path = path.into();
        let components = components(&path)?;
        if components.is_empty() {
            return Err(Refusal::Path("must name a file"));
        }
        Ok(Self(path))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Last component.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Path of the folder, `/` for a file in the root.
    pub fn folder(&self) -> &str {
        match self.0.rfind('/') {
            Some(0) | None => "/",
            Some(at) => &self.0[..at],
        }
    }

    pub(crate) fn components(&self) -> Vec<&str> {
        self.0[1..].split('/').collect()
    }
}

impl TryFrom<String> for TargetPath {
    type Error = Refusal;

    fn try_from(path: String) -> Result<Self, Refusal> {
        Self::new(path)
    }
}

impl Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

/// Line of `allow` or `deny`: a file, or a folder with everything in it. `/` is everything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathPrefix(Vec<String>);

impl PathPrefix {
    /// Checks a line. A trailing slash is refused like any other empty component.
    pub fn new(path: &str) -> Result<Self, Refusal> {
        Ok(Self(components(path)?.into_iter().map(str::to_owned).collect()))
    }

    /// Whether the path is this place or lies in it, by whole components.
    pub fn covers(&self, path: &TargetPath) -> bool {
        self.covers_components(&path.components())
    }

    pub(crate) fn covers_components(&self, path: &[&str]) -> bool {
        path.len() >= self.0.len() && self.0.iter().zip(path).all(|(own, other)| own == other)
    }

    pub(crate) fn components(&self) -> &[String] {
        &self.0
    }
}

impl Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.join("/").escape_debug())
    }
}

fn components(path: &str) -> Result<Vec<&str>, Refusal> {
    if path.len() > MOST_BYTES {
        return Err(Refusal::Path("must not be longer than 4096 bytes"));
    }
    if path.contains('\0') {
        return Err(Refusal::Path("must not contain NUL"));
    }
    let Some(below) = path.strip_prefix('/') else { return Err(Refusal::Path("must be absolute")) };
    if below.is_empty() {
        return Ok(Vec::new());
    }
    let components: Vec<&str> = below.split('/').collect();
    for component in &components {
        match *component {
            "" => return Err(Refusal::Path("must not have empty components")),
            "." | ".." => return Err(Refusal::Path("must not have the components . and ..")),
            name if name.len() > MOST_NAME_BYTES => {
                return Err(Refusal::Path("must not have components longer than 255 bytes"));
            }
            _ => {}
        }
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_not_normal_are_refused() {
        let long = format!("/{}", "a/".repeat(2048) + "a");
        let name = format!("/{}", "a".repeat(256));
        for path in [
            "", ".", "/", "//", "a", "a/b", "/a/../b", "/a/./b", "/a/", "//a", "/a//b", "~", "/a\0", &long,
            &name,
        ] {
            assert!(TargetPath::new(path).is_err(), "{path:?}");
        }
        for path in ["/a", "/a/b", "/...", "/a/..b", "/$(x)", "/`x`", "/a\nb", "/ü"] {
            assert!(TargetPath::new(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn prefixes_are_compared_by_component() {
        let allow = PathPrefix::new("/etc/nginx").unwrap();
        for (path, covered) in [
            ("/etc/nginx", true),
            ("/etc/nginx/a/b", true),
            ("/etc/nginx.conf", false),
            ("/etc/nginxx/a", false),
            ("/etc/NGINX/a", false),
            ("/etc", false),
        ] {
            assert_eq!(allow.covers(&TargetPath::new(path).unwrap()), covered, "{path}");
        }
        assert!(PathPrefix::new("/").unwrap().covers(&TargetPath::new("/a").unwrap()));
        assert!(PathPrefix::new("/etc/").is_err());
    }

    #[test]
    fn a_path_is_its_folder_and_its_name() {
        let path = TargetPath::new("/a/b").unwrap();
        assert_eq!((path.folder(), path.name()), ("/a", "b"));
        assert_eq!(TargetPath::new("/b").unwrap().folder(), "/");
    }
}
