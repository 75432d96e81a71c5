mod events;
mod fixture;
mod updates;
mod worker;

pub(crate) use fixture::{events, subscribed};
