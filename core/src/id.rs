//! Row ids: one type per aggregate, so that the id of one thing cannot stand where that of another belongs.
//!
//! ```compile_fail,E0308
//! use pilothouse_core::config::{AppId, ItemId};
//!
//! fn publish(_app: AppId, _item: ItemId) {}
//!
//! let (app, item) = (AppId(1), ItemId(2));
//! publish(item, app);
//! ```
//!
//! In the right order the same compiles:
//!
//! ```
//! use pilothouse_core::config::{AppId, ItemId};
//!
//! fn publish(_app: AppId, _item: ItemId) {}
//!
//! let (app, item) = (AppId(1), ItemId(2));
//! publish(app, item);
//! ```

/// Defines the id of an aggregate: a number that the store gives out.
macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl $name {
            /// The id of a row that no store has inserted yet: inserting ignores it and answers the real one.
            pub const UNSAVED: Self = Self(0);
        }

        impl From<i64> for $name {
            fn from(id: i64) -> Self {
                Self(id)
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}
pub(crate) use id;
