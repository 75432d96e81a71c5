//! Users and groups of this machine, from `/etc/passwd` and `/etc/group`. Those of a directory service are named by number.

use std::fs;

use crate::error::{Context, Refusal, Result};

/// Number of a user.
pub(crate) fn user_id(name: &str) -> Result<u32> {
    id("user", "/etc/passwd", name)
}

/// Number of a group.
pub(crate) fn group_id(name: &str) -> Result<u32> {
    id("group", "/etc/group", name)
}

fn id(kind: &'static str, file: &str, name: &str) -> Result<u32> {
    // The greatest number means "unchanged" to the kernel.
    if name.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = name.parse()
        && number != u32::MAX
    {
        return Ok(number);
    }
    let text = fs::read(file).context(format!("reading {file}"))?;
    let found = find(&String::from_utf8_lossy(&text), name);
    found.ok_or_else(|| Refusal::Unknown { kind, name: name.to_owned() }.into())
}

/// Number in a file whose lines begin with name, password and number, divided by colons.
fn find(text: &str, name: &str) -> Option<u32> {
    for line in text.lines() {
        let mut fields = line.split(':');
        if fields.next() == Some(name) {
            return fields.nth(1)?.parse().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_numbers_taken() {
        let text = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\n";
        assert_eq!(find(text, "www-data"), Some(33));
        assert_eq!(find(text, "www"), None);
        assert_eq!(user_id("root").unwrap(), 0);
        assert_eq!(group_id("1234").unwrap(), 1234);
        for name in ["", "no such user", "-1", "+1", "4294967295"] {
            assert!(user_id(name).is_err(), "{name}");
        }
    }
}
