//! Policy: which paths this machine lets be replaced. Only the local settings decide; a server cannot widen it.

use std::path::PathBuf;

use crate::error::Refusal;
use crate::path::{PathPrefix, TargetPath};

/// Places that need an explicit `allow` line at or below them, with what they hold.
const REFUSED: &[(&str, &str)] = &[
    ("/proc", "kernel interfaces"),
    ("/sys", "kernel interfaces"),
    ("/dev", "devices"),
    ("/boot", "what the machine starts from"),
    ("/etc/shadow", "passwords"),
    ("/etc/shadow-", "passwords"),
    ("/etc/gshadow", "passwords"),
    ("/etc/gshadow-", "passwords"),
    ("/etc/ld.so.preload", "code loaded into every program"),
    ("/etc/ssh", "SSH keys"),
    ("/etc/crontab", "cron jobs"),
    ("/etc/anacrontab", "cron jobs"),
    ("/etc/cron.d", "cron jobs"),
    ("/etc/cron.hourly", "cron jobs"),
    ("/etc/cron.daily", "cron jobs"),
    ("/etc/cron.weekly", "cron jobs"),
    ("/etc/cron.monthly", "cron jobs"),
    ("/etc/cron.yearly", "cron jobs"),
    ("/var/spool/cron", "cron jobs"),
    ("/etc/systemd", "systemd units"),
    ("/lib/systemd", "systemd units"),
    ("/usr/lib/systemd", "systemd units"),
    ("/usr/local/lib/systemd", "systemd units"),
    ("/run/systemd", "systemd units"),
];

/// Policy of this machine.
#[derive(Clone, Debug)]
pub struct Policy {
    allow: Vec<PathPrefix>,
    deny: Vec<PathPrefix>,
    own: Vec<PathPrefix>,
}

/// Path that the policy lets through, divided at the allowed folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct AllowedPath {
    /// Path of the order.
    pub(crate) target: TargetPath,
    /// Folder of the `allow` line, which is opened first.
    pub(crate) root: PathBuf,
    /// Components of the file's folder beneath `root`.
    pub(crate) below: Vec<String>,
}

impl Policy {
    /// Policy with the lines of the settings. `own` are the agent's own files, refused like the built-in places.
    pub fn new(allow: Vec<PathPrefix>, deny: Vec<PathPrefix>, own: Vec<PathPrefix>) -> Self {
        Self { allow, deny, own }
    }

    /// Lines of `allow`.
    pub fn allow(&self) -> &[PathPrefix] {
        &self.allow
    }

    /// Whether orders for the path may be carried out; the refusal names the line or the place.
    pub fn check(&self, path: &TargetPath) -> Result<(), Refusal> {
        self.allowed(path).map(drop)
    }

    pub(crate) fn allowed(&self, path: &TargetPath) -> Result<AllowedPath, Refusal> {
        if self.allow.is_empty() {
            return Err(Refusal::NothingAllowed);
        }
        let components = path.components();
        if let Some(place) = self.deny.iter().find(|place| place.covers_components(&components)) {
            return Err(Refusal::Denied { path: path.to_string(), place: place.to_string() });
        }
        for (depth, why) in self.refused_depths(&components) {
            let opened = |line: &&PathPrefix| line.components().len() >= depth && line.covers(path);
            if self.allow.iter().find(opened).is_none() {
                let place = format!("/{}", components[..depth].join("/").escape_debug());
                return Err(Refusal::BuiltIn { path: path.to_string(), place, why });
            }
        }
        let covering = self.allow.iter().filter(|line| line.covers_components(&components));
        let Some(line) = covering.max_by_key(|line| line.components().len()) else {
            return Err(Refusal::NotAllowed(path.to_string()));
        };
        // A line may name the file itself; then its folder is what is opened.
        let depth = line.components().len().min(components.len() - 1);
        let root = PathBuf::from(format!("/{}", components[..depth].join("/")));
        let below = components[depth..components.len() - 1].iter().map(|&name| name.to_owned()).collect();
        Ok(AllowedPath { target: path.clone(), root, below })
    }

    /// Every refused place that covers the path, as its number of components and what it holds.
    fn refused_depths(&self, path: &[&str]) -> Vec<(usize, &'static str)> {
        let mut depths = Vec::new();
        for (place, why) in REFUSED {
            let place: Vec<&str> = place[1..].split('/').collect();
            if path.starts_with(&place) {
                depths.push((place.len(), *why));
            }
        }
        for place in self.own.iter().filter(|place| place.covers_components(path)) {
            depths.push((place.components().len(), "the agent's own files"));
        }
        if let ["etc", name, ..] = path
            && name.starts_with("sudoers")
        {
            depths.push((2, "who may become root"));
        }
        for (at, name) in path.iter().enumerate() {
            if *name == ".ssh" {
                depths.push((at + 1, "SSH keys"));
            }
            if *name == ".config" && path.get(at + 1) == Some(&"systemd") {
                depths.push((at + 2, "systemd units"));
            }
        }
        depths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str], deny: &[&str]) -> Policy {
        let lines = |lines: &[&str]| lines.iter().map(|line| PathPrefix::new(line).unwrap()).collect();
        Policy::new(lines(allow), lines(deny), lines(&["/var/lib/agent", "/usr/bin/agent"]))
    }

    fn check(policy: &Policy, path: &str) -> Result<(), Refusal> {
        policy.check(&TargetPath::new(path).unwrap())
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        assert_eq!(check(&policy(&[], &[]), "/a"), Err(Refusal::NothingAllowed));
        assert_eq!(check(&policy(&["/b"], &[]), "/a"), Err(Refusal::NotAllowed("/a".to_owned())));
    }

    #[test]
    fn a_denied_place_wins_over_an_allowed_one_within_it() {
        let policy = policy(&["/etc/nginx", "/etc/nginx/keys/a"], &["/etc/nginx/keys"]);
        assert!(check(&policy, "/etc/nginx/nginx.conf").is_ok());
        assert!(check(&policy, "/etc/nginx/keysafe").is_ok());
        assert!(matches!(check(&policy, "/etc/nginx/keys/a"), Err(Refusal::Denied { .. })));
    }

    #[test]
    fn built_in_places_need_a_line_at_or_below_them() {
        let everything = policy(&["/"], &[]);
        for path in [
            "/proc/sys/kernel/core_pattern",
            "/sys/a",
            "/dev/sda",
            "/boot/vmlinuz",
            "/etc/shadow",
            "/etc/sudoers",
            "/etc/sudoers.d/a",
            "/root/.ssh/authorized_keys",
            "/home/a/b/.ssh/c/d",
            "/etc/ssh/ssh_host_ed25519_key",
            "/etc/cron.d/a",
            "/etc/cron.yearly/a",
            "/etc/crontab",
            "/var/spool/cron/crontabs/root",
            "/etc/ld.so.preload",
            "/etc/systemd/system/a.service",
            "/home/a/.config/systemd/user/a.service",
            "/var/lib/agent/journal",
            "/usr/bin/agent",
        ] {
            assert!(matches!(check(&everything, path), Err(Refusal::BuiltIn { .. })), "{path}");
        }
        for path in ["/etc/shadows", "/etc/nginx/a", "/home/a/.sshx/b", "/process", "/var/lib/agents"] {
            assert!(check(&everything, path).is_ok(), "{path}");
        }
        let opened = policy(&["/", "/etc/cron.d/backup", "/root/.ssh"], &[]);
        assert!(check(&opened, "/etc/cron.d/backup").is_ok());
        assert!(check(&opened, "/root/.ssh/authorized_keys").is_ok());
        assert!(check(&opened, "/etc/cron.d/other").is_err());
        assert!(check(&opened, "/home/a/.ssh/authorized_keys").is_err());
    }

    #[test]
    fn the_most_specific_line_is_the_root() {
        let policy = policy(&["/a", "/a/b/c"], &[]);
        let allowed = policy.allowed(&TargetPath::new("/a/b/c/d/e").unwrap()).unwrap();
        assert_eq!((allowed.root, allowed.below), (PathBuf::from("/a/b/c"), vec!["d".to_owned()]));
        let allowed = policy.allowed(&TargetPath::new("/a/b/c").unwrap()).unwrap();
        assert_eq!((allowed.root, allowed.below), (PathBuf::from("/a/b"), Vec::new()));
    }
}
