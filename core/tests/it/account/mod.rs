//! Accounts and their log-ins.

mod login;
mod password;
