//! Rules of what identifies an account: its name and its mail.

use crate::text::check_visible;
use crate::{Error, Result, check_text};

/// Refuses what cannot be the name, mail and department of a new account.
pub(crate) fn check_identity(name: &str, mail: &str, department: &str) -> Result<()> {
    check_name("name", name)?;
    check_visible("name", name)?;
    check_mail("mail", mail)?;
    check_visible("mail", mail)?;
    check_text("department", department, 0, 128, false)
}

/// Refuses what cannot be an account's name: 1 to 64 bytes, no `@`, no blanks.
fn check_name(field: &'static str, name: &str) -> Result<()> {
    check_text(field, name, 1, 64, false)?;
    if name.contains(|c: char| c == '@' || c.is_whitespace()) {
        return Err(Error::invalid(field, "must not hold @ or blanks"));
    }
    Ok(())
}

/// Refuses what cannot be a mail address: 3 to 254 bytes, one `@` between two parts, no blanks.
pub(crate) fn check_mail(field: &'static str, mail: &str) -> Result<()> {
    check_text(field, mail, 3, 254, false)?;
    match mail.split_once('@') {
        Some((user, host))
            if !user.is_empty()
                && !host.is_empty()
                && !host.contains('@')
                && !mail.contains(char::is_whitespace) =>
        {
            Ok(())
        }
        _ => Err(Error::invalid(field, "must be a mail address, user@host")),
    }
}
