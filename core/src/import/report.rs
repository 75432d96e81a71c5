//! Report and progress of an import.

/// Kind of object that is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportKind {
    /// Accounts with their groups and password hashes.
    Accounts,
    /// Companies with their owners.
    Companies,
    /// Cdns that customers are mapped to.
    Cdns,
    /// Customers of the cdns.
    Customers,
    /// Domains of the customers.
    Domains,
    /// Five-minute figures of the domains.
    Figures,
    /// Apps of the configuration centre.
    Apps,
    /// Grants on apps.
    Grants,
    /// Configuration items with their versions.
    Items,
    /// Machines of the inventory.
    Machines,
}

impl ImportKind {
    /// Every kind, in the order of the import.
    pub const ALL: [Self; 10] = [
        Self::Accounts,
        Self::Companies,
        Self::Cdns,
        Self::Customers,
        Self::Domains,
        Self::Figures,
        Self::Apps,
        Self::Grants,
        Self::Items,
        Self::Machines,
    ];

    /// Name in the document; `domains` are members of `customers` there.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Companies => "companies",
            Self::Cdns => "cdns",
            Self::Customers => "customers",
            Self::Domains => "domains",
            Self::Figures => "figures",
            Self::Apps => "apps",
            Self::Grants => "grants",
            Self::Items => "items",
            Self::Machines => "machines",
        }
    }
}

/// Outcome for one kind of object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Objects that are new in the store.
    pub imported: u64,
    /// Objects that the store had already, equal to the document's.
    pub skipped: u64,
    /// Records that were skipped or changed, each with its place and the reason: the first [`ImportReport::MAX_NOTES`].
    pub notes: Vec<String>,
    /// The number of all notes.
    pub all_notes: u64,
}

impl ImportCounts {
    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < ImportReport::MAX_NOTES {
            self.notes.push(note);
        }
        self.all_notes += 1;
    }
}

/// Outcome of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    counts: [ImportCounts; ImportKind::ALL.len()],
}

impl ImportReport {
    /// The most notes that are kept of one kind.
    pub const MAX_NOTES: usize = 20;

    /// The outcome for a kind.
    pub fn of(&self, kind: ImportKind) -> &ImportCounts {
        &self.counts[kind as usize]
    }

    pub(super) fn of_mut(&mut self, kind: ImportKind) -> &mut ImportCounts {
        &mut self.counts[kind as usize]
    }
}

/// Listener to the progress of an import.
pub trait ImportProgress: Send {
    /// So many of all the records of a kind are done.
    fn advance(&mut self, kind: ImportKind, done: usize, all: usize);
}

/// Progress that nobody watches.
impl ImportProgress for () {
    fn advance(&mut self, _kind: ImportKind, _done: usize, _all: usize) {}
}
