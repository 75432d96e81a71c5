//! Implementations of the CdnProvider port.
