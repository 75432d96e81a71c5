//! Stories of configuration delivery.

mod apollo_move;
mod delivery;
mod feature_release;
mod folder_apply;
mod many_namespaces;
mod release_sequences;
mod revoked_key;
mod server_restart;
