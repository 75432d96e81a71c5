//! Archives that Apollo's portal exports and imports.
//!
//! | version | what is read |
//! |---|---|
//! | 2.0 and later | every app and environment: `owner/app/ENV/app+cluster+namespace`, a JSON list of items each |
//! | 2.5 and later | one app: `app/ENV/app+cluster+namespace` |
//! | 1.7 to 1.9 | the first layout, with properties files and texts |
//!
//! A cluster is a profile. Keys of the namespace `application` are keys; a namespace `name.json`, `.yml`, `.yaml`, `.xml` or
//! `.txt` is the key of that name; keys of any other stand below `namespace/`.

mod item;
mod namespace;
mod read;
mod write;

pub use read::{Selection, read};
pub use write::write;
