//! Import of five-minute figures: bytes of domains, or their bandwidth.

use std::collections::BTreeMap;

use super::document::{FiguresRecord, PointRecord};
use super::place::Place;
use super::report::ImportKind;
use super::transaction::{END_OF_TIME, ImportTransaction, unknown};
use crate::Result;
use crate::account::{Entry, digest};
use crate::cdn::{
    BUCKET_SECONDS, Bucket, Cell, Day, DomainId, Figures, add_day_of_figures, bandwidth_of, day_of_bucket,
    domain_name, flux_of_bandwidth, fluxs_of_day,
};

/// The most bytes of a bucket: 27 Tbit/s.
const MAX_FLUX: i64 = 1_000_000_000_000_000;

/// Bytes by day and bucket.
type Days = BTreeMap<Day, BTreeMap<Bucket, i64>>;

/// The figures of each record, in days. Refuses what breaks a limit, a bucket that occurs twice, and bytes and bandwidth of
/// one bucket that differ.
pub(super) fn days(records: &[FiguresRecord]) -> Result<Vec<Days>> {
    let each = records.iter().enumerate();
    each.map(|(index, record)| days_of(Place { kind: ImportKind::Figures, index }, record)).collect()
}

fn days_of(place: Place, record: &FiguresRecord) -> Result<Days> {
    let mut days = Days::new();
    for (n, point) in record.fluxs.iter().enumerate() {
        let bucket = bucket(place, &format!("fluxs[{n}]"), *point)?;
        if days.entry(day_of_bucket(bucket)).or_default().insert(bucket, point.value).is_some() {
            return Err(place.invalid(format_args!("fluxs[{n}].timeStamp"), "occurs twice"));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for (n, point) in record.bandwidths.iter().enumerate() {
        let field = format!("bandwidths[{n}]");
        let bucket = bucket(place, &field, *point)?;
        if !seen.insert(bucket) {
            return Err(place.invalid(format_args!("{field}.timeStamp"), "occurs twice"));
        }
        let flux = flux_of_bandwidth(point.value);
        let known = *days.entry(day_of_bucket(bucket)).or_default().entry(bucket).or_insert(flux);
        if bandwidth_of(known).abs_diff(point.value) > 1 {
            let reason = format!("does not agree with the {known} bytes of the same bucket");
            return Err(place.invalid(format_args!("{field}.value"), reason));
        }
    }
    Ok(days)
}

fn bucket(place: Place, field: &str, point: PointRecord) -> Result<Bucket> {
    if !(0..END_OF_TIME).contains(&point.time_stamp) || point.time_stamp % BUCKET_SECONDS != 0 {
        let reason = "must be unix seconds of the years 1970 to 9999, a multiple of 300";
        return Err(place.invalid(format_args!("{field}.timeStamp"), reason));
    }
    if !(0..=MAX_FLUX).contains(&point.value) {
        return Err(place.invalid(format_args!("{field}.value"), format!("must be from 0 to {MAX_FLUX}")));
    }
    Ok(point.time_stamp / BUCKET_SECONDS)
}

impl ImportTransaction<'_> {
    /// Imports figures, which [`days`] has checked. The caller holds the locks on the cdns and on traffic.
    pub(super) async fn import_figures(&mut self, records: &[FiguresRecord], days: &[Days]) -> Result<()> {
        for (index, (record, days)) in records.iter().zip(days).enumerate() {
            let place = Place { kind: ImportKind::Figures, index };
            let domain = self.held_domain(place, record).await?;
            let buckets: usize = days.values().map(BTreeMap::len).sum();
            let mut equal = 0;
            for (day, fluxs) in days {
                equal += self.import_day(place, domain, *day, fluxs).await?;
            }
            let repeated = record.fluxs.len() + record.bandwidths.len() - buckets;
            self.imported_many(ImportKind::Figures, buckets - equal + repeated);
            if equal > 0 {
                let note = format!("{place}: {equal} buckets of {} exist and are equal", record.domain);
                self.skipped_many(ImportKind::Figures, equal, note);
            }
            if buckets > equal {
                let entry = Entry::new("traffic.import", &*record.domain);
                let digest = digest(&[&record.cdn, &record.domain, &(buckets - equal).to_string()]);
                self.record(entry.new_digest(digest)).await?;
            }
        }
        Ok(())
    }

    async fn held_domain(&mut self, place: Place, record: &FiguresRecord) -> Result<DomainId> {
        let cdn = self.known_cdn(place, "cdn", &record.cdn).await?.id;
        let absent = || unknown(place, "domain", "domain of that cdn", &record.domain);
        let name = domain_name("domain", &record.domain).map_err(|_| absent())?;
        Ok(self.work.domains().find(cdn, &name).await?.ok_or_else(absent)?.id)
    }

    /// Adds the figures of a day; how many the store had already. Refuses a bucket of which it has another figure.
    async fn import_day(
        &mut self,
        place: Place,
        domain_id: DomainId,
        day: Day,
        fluxs: &BTreeMap<Bucket, i64>,
    ) -> Result<usize> {
        let known = fluxs_of_day(&mut *self.work, domain_id, day).await?;
        let mut cells = Vec::new();
        let mut equal = 0;
        for (&bucket, &flux) in fluxs {
            match known.get(&bucket).copied().unwrap_or_default() {
                0 if flux == 0 => {}
                0 => cells.push(Cell { domain_id, bucket, figures: Figures { flux, ..Figures::default() } }),
                known if known == flux => equal += 1,
                known => {
                    let at = bucket * BUCKET_SECONDS;
                    let why = format!("the store has {known} bytes at {at}, the document {flux}");
                    return Err(place.conflict(why));
                }
            }
        }
        add_day_of_figures(&mut *self.work, self.now, (domain_id, day), &cells).await?;
        Ok(equal)
    }
}
