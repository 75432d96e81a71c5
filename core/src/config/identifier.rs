//! Identifiers that the rooms share: row ids of apps, app keys and items, and the rule for names of apps and profiles.

use crate::account::TokenLimits;
use crate::id::id;
use crate::{Error, Result, check_token};

id! {
    /// The id of an app. Never given twice, also not when an app of the same name is created again.
    AppId
}

id! {
    /// The id of an app key; not a secret.
    AppKeyId
}

id! {
    /// The id of an item. A key that is deleted and created again keeps it.
    ItemId
}

/// Refuses limits of a token that name no app or profile, what cannot name one, or more than 100 of either.
pub(crate) fn check_limits(limits: &TokenLimits) -> Result<()> {
    for (field, names) in [("apps", &limits.apps), ("profiles", &limits.profiles)] {
        let Some(names) = names else { continue };
        if names.len() > 100 {
            return Err(Error::invalid(field, "must be at most 100"));
        }
        for name in names {
            check_identifier(field, name)?;
        }
    }
    Ok(())
}

/// Refuses what cannot name an app or a profile: 1 to 64 of `[A-Za-z0-9._-]`, not `.` or `..`.
pub(super) fn check_identifier(field: &'static str, text: &str) -> Result<()> {
    check_token(field, text, 1, 64, "A-Z, a-z, 0-9, ., _ and -", |c| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
    })?;
    if matches!(text, "." | "..") { Err(Error::invalid(field, "must not be . or ..")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::check_identifier;

    #[test]
    fn identifiers() {
        for good in ["a", "app1", "A.b_c-9", "...", &"x".repeat(64)] {
            assert!(check_identifier("app", good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", "应用", "a\n", &"x".repeat(65)] {
            let refused = check_identifier("app", bad).unwrap_err().to_string();
            assert!(refused.starts_with("app: "), "{refused}");
        }
    }
}
