//! The numbers of one data worker.
//!
//! Owns the sheet that a worker writes and the admin thread reads, and how a duration falls into
//! buckets. Knows no names: a slot is an index that the registry gave out. Called by the data
//! workers on every request.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Slots in one chunk of a sheet; a chunk is 8 KiB.
const CHUNK: usize = 1024;

/// Slots that a sheet can hold, and so the bound on all series together.
pub(crate) const CAPACITY: u32 = 1 << 20;

/// Upper bounds of the buckets, in microseconds: from half a millisecond, as within a site, past the
/// deadlines of orders (2 s) and reads (5 s).
pub(crate) const BOUNDS: [u64; 17] = [
    500, 1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 30_000, 50_000, 100_000, 200_000, 300_000,
    500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000,
];

/// Buckets of one histogram: one for each bound, and one for what is beyond them.
pub(crate) const BUCKETS: usize = BOUNDS.len() + 1;

/// Slots of one histogram: its buckets, then the sum in microseconds.
pub(crate) const HISTOGRAM_SLOTS: u32 = BUCKETS as u32 + 1;

/// Where a series lands that found no room. Wide enough for a histogram, never shown.
pub(crate) const OVERFLOW_SLOT: u32 = 0;

/// A number that only grows. Resolved once, then free to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter(pub(crate) u32);

/// A number of things that are there now. Resolved once, then free to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge(pub(crate) u32);

/// How long things took. Resolved once, then free to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram(pub(crate) u32);

/// One worker's numbers. Clones write the same numbers; they stay on the thread that asked for
/// them, since a sheet has one writer.
#[derive(Clone)]
pub struct Cells {
    sheet: Arc<Sheet>,
    one_thread: PhantomData<Rc<()>>,
}

impl Cells {
    pub(crate) fn new(sheet: Arc<Sheet>) -> Cells {
        Cells {
            sheet,
            one_thread: PhantomData,
        }
    }

    /// Counts one.
    #[inline]
    pub fn inc(&self, counter: Counter) {
        self.sheet.add(counter.0, 1);
    }

    /// Counts `n`.
    #[inline]
    pub fn add(&self, counter: Counter, n: u64) {
        self.sheet.add(counter.0, n);
    }

    /// One more is there. The matching [`Cells::down`] may come from another worker.
    #[inline]
    pub fn up(&self, gauge: Gauge) {
        self.sheet.add(gauge.0, 1);
    }

    /// One less is there.
    #[inline]
    pub fn down(&self, gauge: Gauge) {
        self.sheet.add(gauge.0, 1_u64.wrapping_neg());
    }

    /// So many more are there, or fewer.
    #[inline]
    pub fn shift(&self, gauge: Gauge, by: i64) {
        self.sheet.add(gauge.0, by.cast_unsigned());
    }

    /// Records that something took `took`.
    #[inline]
    pub fn observe(&self, histogram: Histogram, took: Duration) {
        self.sheet.observe(histogram, took);
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").finish_non_exhaustive()
    }
}

/// A worker's numbers by slot. Chunks appear when the writer first touches them and never move.
pub(crate) struct Sheet {
    chunks: Box<[OnceLock<Box<Chunk>>]>,
}

/// On its own cache lines, also where the processor fetches them in pairs.
#[repr(align(128))]
struct Chunk([AtomicU64; CHUNK]);

impl Sheet {
    /// A sheet with room for `capacity` numbers, all 0.
    pub(crate) fn new(capacity: u32) -> Sheet {
        let chunks = (capacity as usize).div_ceil(CHUNK);
        Sheet {
            chunks: (0..chunks).map(|_| OnceLock::new()).collect(),
        }
    }

    /// What stands in `slot`. May be called from any thread.
    pub(crate) fn get(&self, slot: u32) -> u64 {
        let (chunk, place) = split(slot);
        self.chunks
            .get(chunk)
            .and_then(OnceLock::get)
            .map_or(0, |chunk| chunk.0[place].load(Ordering::Relaxed))
    }

    /// Adds to `slot`, wrapping. Only one thread may write a sheet: the sum is a load and a store,
    /// not a locked instruction, and a second writer would lose counts.
    #[inline]
    pub(crate) fn add(&self, slot: u32, n: u64) {
        let (chunk, place) = split(slot);
        let Some(chunk) = self.chunks.get(chunk) else {
            return;
        };
        let cell = &chunk.get_or_init(Chunk::zeroed).0[place];
        cell.store(
            cell.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// Adds a duration to a histogram. As with [`Sheet::add`], one thread only.
    #[inline]
    pub(crate) fn observe(&self, histogram: Histogram, took: Duration) {
        let first = histogram.0;
        self.add(first + bucket(took), 1);
        self.add(first + HISTOGRAM_SLOTS - 1, rounded_micros(took));
    }
}

impl fmt::Debug for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chunks = self.chunks.iter().filter(|chunk| chunk.get().is_some());
        f.debug_struct("Sheet")
            .field("chunks", &chunks.count())
            .finish()
    }
}

impl Chunk {
    fn zeroed() -> Box<Chunk> {
        Box::new(Chunk([const { AtomicU64::new(0) }; CHUNK]))
    }
}

fn split(slot: u32) -> (usize, usize) {
    (slot as usize / CHUNK, slot as usize % CHUNK)
}

/// Which bucket a duration falls into: the first whose bound is not below it.
fn bucket(took: Duration) -> u32 {
    // Rounded up, or 500.4 µs would count as within 500 µs.
    let micros = micros(took, 999);
    BOUNDS.partition_point(|bound| *bound < micros) as u32
}

/// To the nearest microsecond. A sum of nanoseconds would wrap within weeks under many long
/// streams; a sum of microseconds lasts for decades.
fn rounded_micros(took: Duration) -> u64 {
    micros(took, 500)
}

fn micros(took: Duration, round: u32) -> u64 {
    let below_second = (took.subsec_nanos() + round) / 1_000;
    took.as_secs()
        .saturating_mul(1_000_000)
        .saturating_add(u64::from(below_second))
}
