//! Access logs of CDN edges: parsed, added up, recognised when they come again, and kept for download.
//!
//! A program that takes logs in implements [`Ledger`] (where the figures and positions are recorded) and calls
//! [`ingest`] with an [`Input`]; one that follows a growing file looks at it with a [`Follower`]; one to which a log comes
//! in pieces drives a [`Feeder`].
//! Nothing here knows a database, a clock or an async runtime.
//!
//! ```
//! # use std::convert::Infallible;
//! use pilothouse_access_log::{Batch, Domains, Format, Input, Known, Ledger, Options, Progress, Rules, SourceKey, ingest};
//!
//! #[derive(Default)]
//! struct Memory { flux: i64, sources: Vec<(SourceKey, Vec<u8>)> }
//!
//! impl Ledger for Memory {
//!     type Error = Infallible;
//!     fn sources(&mut self, keys: [SourceKey; 2]) -> Result<Vec<Known>, Infallible> {
//!         let rows = self.sources.iter().enumerate().filter(|(_, (key, _))| keys.contains(key));
//!         Ok(rows.map(|(id, (_, state))| Known { id: id as i64, state: state.clone() }).collect())
//!     }
//!     fn pack_name(&mut self) -> String { format!("pack-{}", self.sources.len()) }
//!     fn record(&mut self, batch: Batch) -> Result<i64, Infallible> {
//!         self.flux += batch.cells.iter().map(|cell| cell.flux).sum::<i64>();
//!         let row = (batch.source.key, batch.source.state);
//!         match batch.source.known {
//!             Some(id) => { self.sources[id as usize] = row; Ok(id) }
//!             None => { self.sources.push(row); Ok(self.sources.len() as i64 - 1) }
//!         }
//!     }
//!     fn progress(&mut self, _: Progress) -> Result<(), Infallible> { Ok(()) }
//! }
//!
//! let domains = Domains::new([("a.example.com", 7)]);
//! let rules = Rules { format: Format::Tsv, domains: &domains, default_domain: None, cities: None,
//!     timezone: chrono_tz::Asia::Shanghai };
//! let log = "1795237945.037\ta.example.com\t200\t235\t127.0.0.1\tMISS\t0.000\tGET\t/b/1867\n";
//! let mut memory = Memory::default();
//! for _ in 0..2 {
//!     ingest(Input::stream("log", log.as_bytes()), &rules, &Options::default(), &mut memory).unwrap();
//! }
//! assert_eq!(memory.flux, 235, "the same content is counted once");
//! ```

mod aggregate;
pub mod archive;
pub mod city;
mod count;
mod domains;
mod feeder;
mod follow;
mod format;
mod ingest;
mod input;
pub mod parse;
mod source;

pub use aggregate::{Cell, CityCell, Counters, DomainId, Rules};
pub use city::{Cities, CityKey};
pub use count::{Counted, Counter};
pub use domains::Domains;
pub use feeder::{Batch, Feeder, Parsed, Paused, RulesError, SourceChange};
pub use follow::{Follower, Lag, Looked};
pub use format::{Format, UnknownFormat};
pub use ingest::{Found, IngestError, Known, Ledger, Options, Progress, Report, ingest};
pub use input::Input;
pub use source::{Source, SourceKey};
